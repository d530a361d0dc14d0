"""The judge of the machine is itself judged: what a stall spoilt is done again, and nothing else is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import metronome
from tests.metronome import MOST_ATTEMPTS, Metronome, on_a_steady_machine

pytestmark = pytest.mark.asyncio


@pytest.fixture
def stalls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether the machine stood still in each of the next attempts."""
    planned: list[bool] = []
    monkeypatch.setattr(Metronome, "machine_was_busy", property(lambda self: planned.pop(0)))
    monkeypatch.setattr(metronome, "REST_S", 0.0)
    yield planned


async def test_a_thread_that_only_sleeps_is_woken_on_every_core() -> None:
    with Metronome() as beat:
        await asyncio.sleep(0.3)
    assert all(worst > 0 for worst in beat._worst_ms.values()), beat


async def test_each_of_its_bounds_makes_a_machine_busy() -> None:
    with Metronome() as beat:
        pass
    core = beat._cores[-1]
    beat._worst_ms[core] = metronome.LONGEST_STALL_MS
    beat._starved[core] = metronome.MOST_STARVED
    others = [c for c in beat._cores if c != core]
    for other in others:
        beat._worst_ms[other] = beat._starved[other] = 0
    assert not beat.machine_was_busy
    beat._starved[core] += 1
    assert beat.machine_was_busy
    beat._starved[core], beat._worst_ms[core] = 0, metronome.LONGEST_STALL_MS + 1
    assert beat.machine_was_busy


async def test_what_fails_on_a_steady_machine_has_failed(stalls: list[bool]) -> None:
    tries = 0

    @on_a_steady_machine
    async def judge() -> None:
        nonlocal tries
        tries += 1
        assert tries > 2, "not heard"

    stalls[:] = [True, False]
    with pytest.raises(AssertionError, match="not heard"):
        await judge()
    assert tries == 2
    stalls[:] = [False]
    await judge()
    assert tries == 3


async def test_a_test_that_passed_is_not_run_again_and_what_a_fixture_gathered_is(
    stalls: list[bool],
) -> None:
    @on_a_steady_machine
    async def judge() -> None:
        pass

    @on_a_steady_machine
    async def gather() -> int:
        return len(stalls)

    stalls[:] = [True, False]
    await judge()
    assert stalls == [False]
    stalls[:] = [True, False]
    assert await gather() == 1


async def test_a_machine_that_never_stood_steady_proves_nothing(stalls: list[bool]) -> None:
    @on_a_steady_machine
    async def judge() -> None:
        raise TimeoutError

    stalls[:] = [True] * MOST_ATTEMPTS
    with pytest.raises(pytest.skip.Exception, match="stood still in each attempt"):
        await judge()
    assert not stalls


TWICE = """
import pytest
from tests import metronome

busy, tries = {busy}, []
metronome.REST_S = 0.0
metronome.Metronome.machine_was_busy = property(lambda self: busy)

@pytest.mark.server
def test_of_processes():
    tries.append(1)
    assert len(tries) == 2

@pytest.mark.server
def test_of_processes_that_do_not_work():
    assert not tries

def test_of_a_pure_part():
    raise ArithmeticError
"""


@pytest.mark.parametrize(
    ("busy", "told"), [(True, "2 failed, 1 passed, 2 rerun"), (False, "3 failed in")]
)
async def test_what_failed_while_the_machine_stood_still_is_done_once_again(
    busy: bool, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "test_twice.py"
    path.write_text(TWICE.format(busy=busy))
    options = ["-p", "tests.metronome", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    run = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "pytest", "-c", "pyproject.toml", *options, str(path)],
        cwd=Path(__file__).parent.parent,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(run.communicate(), 60)
    assert told in said.decode()
