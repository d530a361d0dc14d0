"""Tries faults one after the other on one place, and says what each cost."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.judge import Lost, judge
from tests.faults.load import Callers, live_through, make_script
from tests.faults.place import Place, place
from tests.faults.table import FAULTS, Fault, do


@dataclass(frozen=True, slots=True)
class Tried:
    """One fault and what it cost."""

    fault: Fault
    lost: Lost
    log: str
    """What ``ivr up`` has logged so far."""

    @property
    def wrong(self) -> list[str]:
        """What is worse than it may be."""
        return self.lost.beyond(self.fault.allowed)


def possible(faults: Sequence[Fault]) -> list[Fault]:
    """Those that this machine lets us try."""
    return [
        fault
        for fault in faults
        if (shutil.which("cc") or not fault.clock) and (os.geteuid() == 0 or not fault.disk)
    ]


def named(names: Sequence[str]) -> list[Fault]:
    """Faults by name; all of them where none is given. Raises KeyError."""
    by_name = {fault.name: fault for fault in FAULTS}
    return [by_name[name] for name in names] if names else list(FAULTS)


class Trials:
    """Faults tried on one open place, each with callers of its own."""

    def __init__(self, folder: Path, calls: int) -> None:
        self._folder = folder
        self._calls = calls
        self._number = 0
        self.script_file, self.script = make_script(folder / "script")

    @contextmanager
    def open(self, *, clock: bool = False) -> Iterator[Place]:
        """A place to try faults on."""
        folder = self._folder / ("clock" if clock else "plain")
        folder.mkdir(mode=0o755)
        with place(folder, self.script_file, self._calls, clock=clock) as opened:
            yield opened

    async def one(self, opened: Place, fault: Fault) -> Tried:
        """Try one fault."""
        self._number += 1
        callers = Callers(
            target=f"sip:1001@127.0.0.1:{opened.up.sip_port}",
            script=self.script,
            calls=self._calls,
            name=f"fault-{self._number}-{fault.name}-",
            weather=fault.weather,
        )
        heals = fault.heals
        lived = await live_through(
            callers,
            lambda: do(fault.breaks, opened),
            lasts_s=fault.lasts_s,
            heal=(lambda: do(heals, opened)) if heals is not None else None,
        )
        lost = await judge(lived, callers.name, opened.up.database_url)
        return Tried(fault, lost, opened.up.log())


def try_all(trials: Trials, faults: Sequence[Fault], tell: Callable[[Tried], None]) -> list[Tried]:
    """Try ``faults``, those with the clock in a place of their own."""
    found = []
    for clock in (False, True):
        chosen = [fault for fault in faults if fault.clock is clock]
        if not chosen:
            continue
        with trials.open(clock=clock) as opened:
            for fault in chosen:
                found.append(asyncio.run(trials.one(opened, fault)))
                tell(found[-1])
    return found
