"""The machine, from /proc: no more than four files a second."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.ops.top.state import Machine

PROC = Path("/proc")
KIB = 1024


class MachineLook:
    """Remembers the CPU's counters from one look to the next."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._busy = 0
        self._all = 0

    def look(self, disk_free: int, disk: int) -> Machine:
        """What the machine does now; the disk is told, for it was asked for already."""
        memory = self._memory()
        total = memory.get("MemTotal", 0)
        return Machine(
            cpu=self._cpu(),
            load=float((self._proc / "loadavg").read_text().split()[0]),
            cores=os.cpu_count() or 1,
            memory_used=total - memory.get("MemAvailable", 0),
            memory=total,
            disk_free=disk_free,
            disk=disk,
        )

    def _cpu(self) -> float:
        """Share of busy time since the last look (proc(5): user nice system idle iowait …)."""
        numbers = [int(n) for n in (self._proc / "stat").read_text().split("\n")[0].split()[1:9]]
        everything, busy = sum(numbers), sum(numbers) - numbers[3] - numbers[4]
        passed, worked = everything - self._all, busy - self._busy
        self._all, self._busy = everything, busy
        return worked / passed if passed else 0.0

    def _memory(self) -> dict[str, int]:
        found = {}
        for line in (self._proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            found[name] = int(rest.split()[0]) * KIB
        return found
