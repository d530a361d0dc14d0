"""Processes and what they have started, from /proc (proc(5))."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Those that ``pid`` has started itself, of each thread the oldest first; none once it ended."""
    found: list[int] = []
    with suppress(OSError):
        for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name)):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def descendants_of(pid: int) -> list[int]:
    """All that ``pid`` has started, and what these have."""
    return [found for child in children_of(pid) for found in (child, *descendants_of(child))]
