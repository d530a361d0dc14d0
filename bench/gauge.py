"""What the processes under test used over one run: without calls, with them, and after them."""

from __future__ import annotations

from appliance.rehearsal.calls import Rehearsal
from bench.meter import Meter, Usage
from bench.report import Load


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
            shifting_s=shifting_s(self._meter, self._idle, up_s, end_s, self._last),
        )


def shifting_s(meter: Meter, idle: Usage, up_s: float, end_s: float, after: Usage) -> float:
    """CPU time that setting up and tearing down all calls took.

    That is all from ``idle`` to ``after`` (two samples without calls) less what the process uses
    without calls, and less what the calls that were up took while others were placed one by one.
    """
    talk = [u for u in meter.usages if up_s <= u.at_s <= end_s]
    if len(talk) < 2 or meter.usages[0] is idle:
        return 0.0
    idle_cores = meter.cores(meter.usages[0].at_s, idle.at_s)
    outside_s = (talk[0].at_s - idle.at_s) + (after.at_s - talk[-1].at_s)
    used_s = talk[0].cpu_s - idle.cpu_s + after.cpu_s - talk[-1].cpu_s
    talking_s = (up_s - idle.at_s) / 2 + (end_s - talk[-1].at_s)
    talking_cores = max(0.0, meter.cores(up_s, end_s) - idle_cores)
    return used_s - outside_s * idle_cores - talking_s * talking_cores
