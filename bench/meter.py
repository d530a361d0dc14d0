"""CPU time and memory of the processes under test, sampled over a run."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from bench.rehearsal import Rehearsal
from bench.report import Load


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

    def shifting_s(self, idle: Usage, up_s: float, end_s: float, after: Usage) -> float:
        """CPU time that setting up and tearing down all calls took.

        That is all from ``idle`` to ``after`` (two samples without calls) less what the process uses
        without calls, and less what the calls that were up took while others were placed one by one.
        """
        talk = [u for u in self._usages if up_s <= u.at_s <= end_s]
        if len(talk) < 2 or self._usages[0] is idle:
            return 0.0
        idle_cores = self.cores(self._usages[0].at_s, idle.at_s)
        outside_s = (talk[0].at_s - idle.at_s) + (after.at_s - talk[-1].at_s)
        used_s = talk[0].cpu_s - idle.cpu_s + after.cpu_s - talk[-1].cpu_s
        talking_s = (up_s - idle.at_s) / 2 + (end_s - talk[-1].at_s)
        talking_cores = max(0.0, self.cores(up_s, end_s) - idle_cores)
        return used_s - outside_s * idle_cores - talking_s * talking_cores


def _cpu_clock(pid: int) -> int:
    """The CPU clock of a process with all its threads, in ns where /proc counts in 10 ms: what
    clock_getcpuclockid(3) gives."""
    return (~pid << 3) | 2


class Gauge:
    """Meters one process over one run: without calls, with them, and after them."""

    def __init__(self, pid: int) -> None:
        self._meter = Meter(pid)
        self._begun: Usage | None = None
        self._idle: Usage | None = None
        self._last: Usage | None = None

    def begin(self) -> None:
        """No call is up, and nothing is left of the run before."""
        self._begun = self._meter.sample()

    def idle(self) -> None:
        """Still none; the first one comes now."""
        self._idle = self._meter.sample()

    def sample(self) -> None:
        """Once a second while calls are up, and once after they are over."""
        self._last = self._meter.sample()

    @property
    def idle_rss_mb(self) -> float:
        return self._idle.rss_mb if self._idle else 0.0

    def load(self, rehearsal: Rehearsal, machine_busy: float) -> Load:
        """What the run took. Call it after the last sample."""
        assert self._begun and self._idle and self._last
        up_s, end_s = rehearsal.up_s, rehearsal.end_s
        return Load(
            cores=self._meter.cores(up_s, end_s),
            idle_cores=self._meter.cores(self._begun.at_s, self._idle.at_s),
            rss_mb=self._meter.rss_mb(self._idle.at_s, end_s),
            machine_busy=machine_busy,
            shifting_s=self._meter.shifting_s(self._idle, up_s, end_s, self._last),
        )
