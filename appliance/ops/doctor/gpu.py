"""GPUs and their driver, as nvidia-smi tells."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.checkpoints.gpu import NVIDIA_SMI, ask
from appliance.checkpoints.presence import runs
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded, words

FIELDS = (
    "index,name,driver_version,memory.total,memory.used,temperature.gpu,"
    "ecc.errors.uncorrected.volatile.total,clocks_throttle_reasons.hw_thermal_slowdown"
)
ASK_TIMEOUT_S = 6.0
HOT_C, TOO_HOT_C = 85, 95
FULL = 0.97
LEAST_DRIVER = 525
"""CUDA 12 wants it."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; None where it does not tell."""

    index: str
    name: str
    driver: str
    total_mib: int | None
    used_mib: int | None
    celsius: int | None
    ecc_errors: int | None
    slowed: bool


def parse(text: str) -> list[Gpu]:
    """Lines of :data:`FIELDS`; what is no such line is passed over."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == len(FIELDS.split(",")):
            numbers = [int(part) if part.isdigit() else None for part in parts[3:7]]
            total, used, celsius, ecc = numbers
            slowed = parts[7] == "Active"
            found.append(Gpu(parts[0], parts[1], parts[2], total, used, celsius, ecc, slowed))
    return found


async def look(box: Box) -> Sequence[Finding]:
    """Each GPU: driver, memory, temperature, ECC errors."""
    wanted = sorted({name for name, run in runs(box.settings) if run.device == "cuda"})
    text = await asyncio.to_thread(ask, FIELDS, ASK_TIMEOUT_S)
    if text is None:
        return [_none(wanted)]
    return [finding for gpu in parse(text) for finding in judge(gpu)] or [_none(wanted)]


def _none(wanted: Sequence[str]) -> Finding:
    there = shutil.which(NVIDIA_SMI) is not None
    if wanted:
        what = words("nvidia-smi tells of no GPU" if there else "There is no nvidia-smi")
        return Finding(
            "gpu",
            State.BAD,
            worded(
                '{what}, and {stages} asks for one (device = "cuda").',
                what=what,
                stages=", ".join(wanted),
            ),
            "Install the driver (apt-get install nvidia-driver) and start again, or set device to cpu.",
        )
    if there:
        do = "`nvidia-smi` says why: often a driver that does not fit the kernel; start again."
        return Finding("gpu", State.WARNING, "nvidia-smi is there and tells of no GPU.", do)
    return Finding("gpu", State.SKIPPED, "No GPU, and none is asked for.")


def judge(gpu: Gpu) -> list[Finding]:
    """What is wrong with one; or that it is well."""
    name = f"GPU {gpu.index} ({gpu.name})"
    found = []
    major = gpu.driver.partition(".")[0]
    if major.isdigit() and int(major) < LEAST_DRIVER:
        do = worded(
            "Install driver {driver} or later: engines are built for CUDA 12.", driver=LEAST_DRIVER
        )
        found.append(
            Finding(
                "gpu",
                State.BAD,
                worded("{name} has driver {driver}.", name=name, driver=gpu.driver),
                do,
                code="driver",
            )
        )
    if gpu.ecc_errors:
        found.append(
            Finding(
                "gpu",
                State.BAD,
                worded(
                    "{name} had {errors} memory errors beyond correction.",
                    name=name,
                    errors=gpu.ecc_errors,
                ),
                "Stop what runs on it and reset it (`nvidia-smi -r`); if they come back, replace it.",
                code="ecc",
            )
        )
    if gpu.celsius is not None and (gpu.celsius >= HOT_C or gpu.slowed):
        state = State.BAD if gpu.slowed or gpu.celsius >= TOO_HOT_C else State.WARNING
        slower = words(", and runs slower for it") if gpu.slowed else ""
        do = "Look at its fans and the air around it."
        found.append(
            Finding(
                "gpu",
                state,
                worded(
                    "{name} has {celsius} °C{slower}.",
                    name=name,
                    celsius=gpu.celsius,
                    slower=slower,
                ),
                do,
                code="hot",
            )
        )
    if gpu.total_mib and gpu.used_mib is not None and gpu.used_mib > FULL * gpu.total_mib:
        do = "`ivr models plan` says what fits; engines.llm.gpu_share takes less."
        what = worded(
            "{name}'s memory is full: {used} of {total} MiB.",
            name=name,
            used=gpu.used_mib,
            total=gpu.total_mib,
        )
        found.append(Finding("gpu", State.WARNING, what, do, code="gpu-memory"))
    used = worded("{used} of {total} MiB in use", used=gpu.used_mib, total=gpu.total_mib)
    good = worded(
        "{name}: driver {driver}, {used}, {celsius} °C.",
        name=name,
        driver=gpu.driver,
        used=used,
        celsius=gpu.celsius,
    )
    return found or [Finding("gpu", State.GOOD, good)]


CHECKS = (Check("gpu", "GPU", Group.MACHINE, look, how="nvidia-smi"),)
