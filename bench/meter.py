"""CPU time and memory of the processes under test, sampled over a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree had used at one moment."""

    at_s: float
    cpu_s: float
    rss_mb: float


class Meter:
    """Samples the CPU time and memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        parent = psutil.Process(pid)
        # once: to look for children again at each sample would hold up the callers beside it
        self._processes = [parent, *parent.children(recursive=True)]
        self._usages: list[Usage] = []

    def sample(self) -> Usage:
        """Take one sample and keep it."""
        cpu_s = rss = 0.0
        for process in self._processes:
            cpu_s += time.clock_gettime(_cpu_clock(process.pid))
            rss += process.memory_info().rss
        self._usages.append(Usage(time.monotonic(), cpu_s, rss / 1e6))
        return self._usages[-1]

    def cores(self, from_s: float, to_s: float) -> float:
        """Mean cores in use between two moments of the monotonic clock."""
        window = [u for u in self._usages if from_s <= u.at_s <= to_s]
        if len(window) < 2:
            return 0.0
        first, last = window[0], window[-1]
        return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)

    def rss_mb(self, from_s: float, to_s: float) -> float:
        """Largest memory between two moments, in MB."""
        return max((u.rss_mb for u in self._usages if from_s <= u.at_s <= to_s), default=0.0)

    @property
    def usages(self) -> Sequence[Usage]:
        """All samples, in order."""
        return self._usages


def _cpu_clock(pid: int) -> int:
    """The CPU clock of a process with all its threads, in ns where /proc counts in 10 ms: what
    clock_getcpuclockid(3) gives."""
    return (~pid << 3) | 2
