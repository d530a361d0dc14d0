"""The order in which a run's processes take the files of tests."""

from __future__ import annotations

import pytest

from tests.lanes import choose, marks_of

CALLS, MORE_CALLS = "tests/test_faults.py", "tests/test_standin.py"
SERVER, MORE_SERVERS = "tests/test_calls.py", "tests/test_search.py"
PLAIN = "tests/test_lanes.py"


def test_marks_are_read_from_the_file() -> None:
    assert marks_of(CALLS) == {"sip", "server"} == marks_of(MORE_CALLS)
    assert marks_of(SERVER) == {"server"} == marks_of(MORE_SERVERS)
    assert marks_of(PLAIN) == marks_of("elsewhere.py") == frozenset()


@pytest.mark.parametrize(
    ("waiting", "running", "taken"),
    [
        ([PLAIN, SERVER, CALLS], [], CALLS),
        ([PLAIN, SERVER, CALLS], [MORE_SERVERS, PLAIN], CALLS),
        ([PLAIN, CALLS, SERVER], [MORE_CALLS], SERVER),  # one with calls at once
        ([CALLS, PLAIN], [MORE_CALLS, SERVER], PLAIN),
        ([CALLS], [MORE_CALLS], CALLS),  # nothing else is left
        ([PLAIN, MORE_SERVERS, SERVER], [], MORE_SERVERS),  # in their order
    ],
)
def test_what_is_taken_next(waiting: list[str], running: list[str], taken: str) -> None:
    assert choose(waiting, running) == taken
