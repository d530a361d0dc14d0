"""What the kernel is told: open files, core dumps, huge pages, UDP buffers."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from pathlib import Path

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.processes import Process, limits, processes
from appliance.ops.doctor.sentences import worded

FILES_A_CALL, FILES_ELSE = 8, 256
"""Open files: media websocket, engines, recording, spool; and what a process has anyway."""
CALL_PROCESSES = ("worker", "sip", "switch")
LOST = 1e-4
"""Share of UDP packets lost for want of buffer: RTP among them."""
LEAST_PACKETS = 10_000
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


async def our_processes(box: Box) -> list[Process]:
    """Processes of ours, asked of /proc once a round."""
    found = await box.once("processes", lambda: asyncio.to_thread(processes))
    return [process for process in found if process.ours]


async def look_at_open_files(box: Box) -> Sequence[Finding]:
    """Limits of the processes that carry calls; where none runs, our own."""
    wanted = FILES_A_CALL * box.settings.worker.max_calls + FILES_ELSE
    found = []
    running = [p for p in await our_processes(box) if p.ours in CALL_PROCESSES]
    for process in running:
        soft = limits(process.pid).get("Max open files", ("", ""))[0]
        if soft.isdigit() and int(soft) < wanted:
            found.append(
                Finding(
                    "open-files", State.WARNING,
                    worded(
                        "{process} may open {limit} files; {wanted} are wanted for {calls} calls.",
                        process=f"ivr {process.ours}", limit=soft, wanted=wanted,
                        calls=box.settings.worker.max_calls,
                    ),
                    "LimitNOFILE= in its unit, or `ulimit -n` before it is started.",
                )
            )  # fmt: skip
    if not running:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if 0 <= hard < wanted:
            do = "Raise it: LimitNOFILE= in the units, or /etc/security/limits.conf."
            found.append(
                Finding(
                    "open-files",
                    State.WARNING,
                    worded("{limit} files at most are open.", limit=hard),
                    do,
                )
            )
    good = worded(
        "{wanted} files are wanted for {calls} calls, and allowed.",
        wanted=wanted,
        calls=box.settings.worker.max_calls,
    )
    return found or [Finding("open-files", State.GOOD, good)]


async def look_at_core_dumps(box: Box) -> Sequence[Finding]:
    """A dump of a process's memory holds callers' words and keys."""
    dumping = [
        process for process in await our_processes(box)
        if limits(process.pid).get("Max core file size", ("0", "0"))[0] not in ("0", "")
    ]  # fmt: skip
    if not dumping:
        return [
            Finding("core-dumps", State.GOOD, "No process of ours leaves its memory on the disk.")
        ]
    pattern = await asyncio.to_thread(_CORE_PATTERN.read_text)
    names = ", ".join(sorted({f"ivr {process.ours}" for process in dumping}))
    return [
        Finding(
            "core-dumps",
            State.WARNING,
            worded(
                "When it crashes, the memory of {names} goes to {place}, callers' words in it.",
                names=names,
                place=pattern.strip()[:60],
            ),
            "LimitCORE=0 in the units, or Storage=none in /etc/systemd/coredump.conf.",
        )
    ]


async def look_at_huge_pages(box: Box) -> Sequence[Finding]:
    """Transparent huge pages stop Redis and Postgres for tens of milliseconds at times."""
    try:
        text = await asyncio.to_thread(_HUGE_PAGES.read_text)
    except OSError:
        return [Finding("huge-pages", State.SKIPPED, "This kernel has no transparent huge pages.")]
    mode = text.partition("[")[2].partition("]")[0]
    if mode != "always":
        return [
            Finding("huge-pages", State.GOOD, worded("Transparent huge pages: {mode}.", mode=mode))
        ]
    return [
        Finding(
            "huge-pages", State.WARNING,
            "Transparent huge pages are always on: a process may stand still while they are made.",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled; to keep it, the kernel's"
            " parameter transparent_hugepage=madvise.",
        )
    ]  # fmt: skip


async def look_at_udp(box: Box) -> Sequence[Finding]:
    """Packets that were lost for want of buffer, since the start."""
    counts = await asyncio.to_thread(udp_counts)
    got, lost = counts.get("InDatagrams", 0), counts.get("RcvbufErrors", 0)
    share = lost / (got + lost) if got + lost else 0.0
    told = worded(
        "{lost} of {total} UDP packets were lost for want of buffer since the start",
        lost=lost,
        total=got + lost,
    )
    if got + lost >= LEAST_PACKETS and share > LOST:
        do = "sysctl -w net.core.rmem_default=1048576 net.core.rmem_max=4194304, then start ours again."
        return [Finding("udp", State.WARNING, worded("{told}.", told=told), do, detail=counts)]
    return [Finding("udp", State.GOOD, worded("{told}.", told=told), detail=counts)]


def udp_counts() -> dict[str, int]:
    """/proc/net/snmp's line of UDP."""
    lines = [
        line.split()[1:]
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Udp:")
    ]
    return dict(zip(lines[0], map(int, lines[1]), strict=False)) if len(lines) == 2 else {}


CHECKS = (
    Check("open-files", "Open files", Group.MACHINE, look_at_open_files, how="/proc/PID/limits"),
    Check("udp", "UDP buffers", Group.MACHINE, look_at_udp, how="/proc/net/snmp"),
    Check("huge-pages", "Huge pages", Group.MACHINE, look_at_huge_pages, how="/sys/kernel/mm"),
    Check("core-dumps", "Core dumps", Group.SECURITY, look_at_core_dumps, how="/proc/PID/limits"),
)
