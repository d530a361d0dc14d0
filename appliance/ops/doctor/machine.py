"""The machine: its system, processors, memory, clock, and what it is virtualised by."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded, words

SUPPORTED = {("debian", "12"), ("ubuntu", "24.04")}
LEAST_CORES = 4
LEAST_MEMORY_BYTES = 7 << 30
"""An 8 GB machine tells of a little less."""
LOW_MEMORY = 0.05
"""Share of memory that is available."""
SWAPPED_BYTES = 256 << 20
STOLEN = 0.02
"""Share of processor time that the host gave to others since the start: 20 ms frames go late."""
CLOCK_ERROR_US = 500_000
STA_UNSYNC = 0x0040
"""timex.h"""
_TIMEX_BYTES, _TIMEX_MAXERROR, _TIMEX_STATUS = 256, 24, 40
"""struct timex of 64-bit Linux, and a little more."""
_OS_RELEASE = Path("/etc/os-release")
_PROC = Path("/proc")


async def look_at_system(box: Box) -> Sequence[Finding]:
    """/etc/os-release, and what systemd-detect-virt says."""
    release = await asyncio.to_thread(os_release)
    name = release.get("PRETTY_NAME", "an unknown system")
    what = worded(
        "{name}, Linux {kernel}, {machine}.",
        name=name,
        kernel=platform.release(),
        machine=platform.machine(),
    )
    known = (release.get("ID", ""), release.get("VERSION_ID", "")) in SUPPORTED
    do = "" if known else "Debian 12 and Ubuntu 24.04 are what it is tested on; others may do."
    state = State.GOOD if known else State.WARNING
    return [Finding("system", state, what, do, detail=release), await _virtualisation(box)]


async def _virtualisation(box: Box) -> Finding:
    ran = await box.run("systemd-detect-virt")
    kind = ran.out.strip() or "unknown"
    stolen = await asyncio.to_thread(stolen_share)
    if stolen > STOLEN:
        return Finding(
            "system",
            State.WARNING,
            worded(
                "The host took {share} % of this machine's processor time ({kind}).",
                share=f"{100 * stolen:.1f}",
                kind=kind,
            ),
            "Give the virtual machine processors of its own: audio goes late meanwhile.",
            code="steal",
            detail={"stolen": stolen, "virtualisation": kind},
        )
    told = (
        words("No virtualisation") if kind == "none" else worded("Virtualised by {kind}", kind=kind)
    )
    what = worded(
        "{told}; {share} % of processor time went to others.",
        told=told,
        share=f"{100 * stolen:.1f}",
    )
    return Finding("system", State.GOOD, what, code="virtualisation", detail={"kind": kind})


async def look_at_processors(box: Box) -> Sequence[Finding]:
    """Cores that we may use, their load, and AVX2."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[1]
    flags = await asyncio.to_thread(_cpu_flags)
    found = []
    if platform.machine() == "x86_64" and "avx2" not in flags:
        found.append(
            Finding(
                "cpu", State.WARNING, "The processor has no AVX2: engines are several times slower.",
                "In a virtual machine, let it see the host's processor (type host).", code="avx2",
            )
        )  # fmt: skip
    if cores < LEAST_CORES:
        do = worded(
            "Give it {cores} cores or more; docs/performance.md says what calls need.",
            cores=LEAST_CORES,
        )
        found.append(
            Finding(
                "cpu", State.WARNING, worded("{cores} cores are few for calls.", cores=cores), do
            )
        )
    if load > cores:
        found.append(
            Finding(
                "cpu",
                State.WARNING,
                worded(
                    "{load} processes wanted one of {cores} cores lately.",
                    load=f"{load:.1f}",
                    cores=cores,
                ),
                "See what runs beside the calls (`top`); audio goes late when cores are short.",
                code="load",
            )
        )
    good = worded(
        "{cores} cores, load {load} in the last five minutes.", cores=cores, load=f"{load:.1f}"
    )
    return found or [Finding("cpu", State.GOOD, good, detail={"cores": cores, "load": load})]


async def look_at_memory(box: Box) -> Sequence[Finding]:
    """/proc/meminfo."""
    memory = await asyncio.to_thread(meminfo)
    total, free = memory.get("MemTotal", 0), memory.get("MemAvailable", 0)
    swapped = memory.get("SwapTotal", 0) - memory.get("SwapFree", 0)
    told = worded(
        "{total} GB, {free} GB of it free",
        total=f"{total / 1e9:.1f}",
        free=f"{free / 1e9:.1f}",
    )
    found = []
    if free < LOW_MEMORY * total:
        do = "Stop what else runs here, or run fewer engine servers ([engines])."
        found.append(
            Finding("memory", State.BAD, worded("Memory is nearly full: {told}.", told=told), do)
        )
    if total < LEAST_MEMORY_BYTES:
        do = "8 GB is the least for the engines that come with it; models need more."
        found.append(
            Finding(
                "memory", State.WARNING, worded("There is little memory: {told}.", told=told), do
            )
        )
    if swapped > SWAPPED_BYTES:
        found.append(
            Finding(
                "memory",
                State.WARNING,
                worded("{gb} GB of memory lies on the disk (swap).", gb=f"{swapped / 1e9:.1f}"),
                "A frame that waits for the disk is late: give the machine more memory, or less to do.",
                code="swap",
            )
        )
    return found or [Finding("memory", State.GOOD, worded("{told}.", told=told), detail=memory)]


async def look_at_clock(box: Box) -> Sequence[Finding]:
    """What the kernel says of its clock (adjtimex), which is what timedatectl shows."""
    clock = kernel_clock()
    if clock is None:
        return [Finding("clock", State.SKIPPED, "The kernel does not tell of its clock.")]
    if not clock.synchronised:
        return [
            Finding(
                "clock", State.WARNING, "The clock is not kept right by a time server.",
                "apt-get install systemd-timesyncd (or chrony), then: timedatectl set-ntp true. Tokens,"
                " certificates and call records need the right time.",
            )
        ]  # fmt: skip
    state = State.WARNING if clock.error_us > CLOCK_ERROR_US else State.GOOD
    do = (
        "Its time server is far or gone: `timedatectl timesync-status`."
        if state != State.GOOD
        else ""
    )
    what = worded("Kept right by a time server, within {ms} ms.", ms=f"{clock.error_us / 1000:.0f}")
    return [Finding("clock", state, what, do, detail={"error_us": clock.error_us})]


@dataclass(frozen=True, slots=True)
class Clock:
    """The kernel's own judgement."""

    synchronised: bool
    error_us: int
    """Largest error that it reckons with."""


def kernel_clock() -> Clock | None:
    """adjtimex(2) that changes nothing; None where it may not be asked."""
    try:
        ask = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ask(timex) < 0:
        return None
    status = ctypes.c_int.from_buffer(timex, _TIMEX_STATUS).value
    error = ctypes.c_long.from_buffer(timex, _TIMEX_MAXERROR).value
    return Clock(not status & STA_UNSYNC, error)


def os_release(path: Path = _OS_RELEASE) -> dict[str, str]:
    """The fields of os-release(5) that say which system this is."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    values = {name: value.strip("\"'") for name, _, value in pairs}
    return {name: values[name] for name in ("ID", "VERSION_ID", "PRETTY_NAME") if name in values}


def meminfo() -> dict[str, int]:
    """/proc/meminfo's totals, in bytes."""
    wanted = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
    found = {}
    for line in (_PROC / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in wanted:
            found[name] = int(rest.split()[0]) * 1024
    return found


def stolen_share() -> float:
    """Share (0-1) of processor time since the start that the host gave to others (proc_stat(5))."""
    times = [int(part) for part in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    total = sum(times)
    return times[7] / total if len(times) == 8 and total else 0.0


def _cpu_flags() -> set[str]:
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    flags = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return set(next(flags, "").split())


CHECKS = (
    Check("system", "System", Group.MACHINE, look_at_system, how="os-release, systemd-detect-virt"),
    Check("cpu", "Processors", Group.MACHINE, look_at_processors, how="affinity, load, cpuinfo"),
    Check("memory", "Memory", Group.MACHINE, look_at_memory, how="/proc/meminfo"),
    Check("clock", "Clock", Group.MACHINE, look_at_clock, how="adjtimex(2)"),
)
