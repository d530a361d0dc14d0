"""Which file each process of a test run takes next (``make test``, pytest-xdist).

Calls are heard in real time, so one file with calls runs at once, beside files that mostly wait for
servers; files that only compute come last, for at the end the short ones shall be left, and no process
wait for a long file of another's.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parent.parent
_MARK = re.compile(r"pytest\.mark\.(sip|server)\b")


@cache
def marks_of(file: str) -> frozenset[str]:
    """``sip`` and ``server``, as they stand in ``file`` (the process that deals the files out
    imports none of them)."""
    try:
        return frozenset(_MARK.findall((ROOT / file).read_text()))
    except FileNotFoundError:  # a path given from elsewhere
        return frozenset()


def choose(waiting: list[str], running: list[str]) -> str:
    """The next file of those ``waiting``, while others do ``running``: one with calls if there is no
    other, else the first that has none; what starts servers goes before what starts none."""
    calls = [file for file in waiting if "sip" in marks_of(file)]
    others = [file for file in waiting if file not in calls]
    if calls and not any("sip" in marks_of(file) for file in running):
        return calls[0]
    servers = [file for file in others if "server" in marks_of(file)]
    return (servers or others or calls)[0]


class Lanes(LoadFileScheduling):
    """xdist's ``loadfile`` with another order."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        running = [
            file
            for other, units in self.assigned_work.items()
            if other is not node
            for file, tests in units.items()
            if not all(tests.values())
        ]
        self.workqueue.move_to_end(choose(list(self.workqueue), running), last=False)
        super()._assign_work_unit(node)
