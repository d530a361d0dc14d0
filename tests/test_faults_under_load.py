"""Calls go on while the appliance is broken: the short form of ``python -m tests.faults``."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.rehearsal.calls import lines_for
from appliance.rehearsal.sip_caller import RATE_HZ
from tests.faults.judge import Allowed, Lost
from tests.faults.place import Place
from tests.faults.run import Trials, named, possible
from tests.faults.soak import Sample, growth, soak
from tests.faults.table import ALL, FAULTS

CALLS = 4
SOON = ("sip-child", "disk")
"""Tried here; tests/test_faults.py has engines and worker one by one, the harness has the rest."""
DOCS = Path(__file__).parent.parent / "docs" / "faults.md"


@pytest.fixture(scope="module")
def trials(open_tmp: Path) -> Trials:
    return Trials(open_tmp, CALLS)


@pytest.fixture(scope="module")
def opened(trials: Trials) -> Iterator[Place]:
    with trials.open() as made:
        yield made


@pytest.mark.server
@pytest.mark.sip
@pytest.mark.parametrize("name", SOON)
def test_no_more_is_lost_than_may_be(trials: Trials, opened: Place, name: str) -> None:
    faults = possible(named([name]))
    if not faults:
        pytest.skip(f"{name} needs root")
    tried = asyncio.run(trials.one(opened, faults[0]))
    assert not tried.wrong, tried.log[-3000:]


@pytest.mark.server
@pytest.mark.sip
@pytest.mark.long
def test_short_calls_leave_nothing_behind(trials: Trials, opened: Place) -> None:
    opened.up.until("admin", "console at")
    lines = lines_for(trials.script, RATE_HZ, barge_ins=False)
    found = asyncio.run(soak(opened, lines, CALLS, 400))
    assert not found.wrong
    assert {"up", "worker", "sip", "jobs", "admin"} <= set(found.processes)


@pytest.mark.server
@pytest.mark.sip
@pytest.mark.long
@pytest.mark.parametrize("clock", [False, True])
def test_every_fault(tmp_path_factory: pytest.TempPathFactory, clock: bool) -> None:
    folder = tmp_path_factory.mktemp("every")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    every = Trials(folder, CALLS)
    faults = [fault for fault in possible(FAULTS) if fault.clock is clock]
    with every.open(clock=clock) as place:
        wrong = {f.name: asyncio.run(every.one(place, f)).wrong for f in faults}
    assert not any(wrong.values()), wrong


def test_what_is_lost_beyond_what_may_be_is_said() -> None:
    lost = Lost(calls=1, unanswered=2, silence_ms=4000, refused_s=3, rows=1, turns=0)
    assert len(lost.beyond(Allowed())) == 6
    fine = dataclasses.replace(lost, turns=5)
    assert not fine.beyond(Allowed(calls=1, unanswered=2, silence_ms=5e3, refused_s=5, rows=1))


def test_growth_is_the_last_third_against_the_second() -> None:
    samples = [Sample(n, 100.0 + 10 * (n >= 60), 10 + (n >= 60), 3) for n in range(90)]
    grown = growth(samples)
    assert grown.rss_mb == (100.0, 110.0) and grown.fds == (10.0, 11.0)


def test_the_page_says_what_each_fault_may_cost() -> None:
    rows = {}
    for line in DOCS.read_text().splitlines():
        if found := re.match(r"\| `([a-z-]+)` \| (.+?) \| (.+?) \|", line):
            rows[found[1]] = (found[2], found[3])
    assert set(rows) == {fault.name for fault in FAULTS}
    for fault in FAULTS:
        does, cost = rows[fault.name]
        assert does == fault.does
        assert cost.startswith(_calls(fault.allowed)), (fault.name, cost)


def _calls(allowed: Allowed) -> str:
    return {0: "no call", ALL: "its calls"}.get(allowed.calls, f"{allowed.calls} calls")
