"""What GPUs are here, as nvidia-smi tells: no CUDA library is loaded for it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

NVIDIA_SMI = "nvidia-smi"
ASK_TIMEOUT_S = 20.0
"""A driver that has to wake takes some seconds."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; sizes in bytes."""

    index: int
    name: str
    total: int
    used: int
    """By whatever runs on it now."""


def gpus() -> list[Gpu]:
    """The GPUs of this machine; none where nvidia-smi is not there, or cannot tell."""
    return parse(ask("index,name,memory.total,memory.used") or "")


def ask(fields: str, timeout_s: float = ASK_TIMEOUT_S) -> str | None:
    """What nvidia-smi says of ``fields`` (``index,name``): a line a GPU, without units; None where
    it is not there, cannot tell, or takes longer than ``timeout_s``."""
    program = shutil.which(NVIDIA_SMI)
    if program is None:
        return None
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(
            command, timeout=timeout_s, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def parse(text: str) -> list[Gpu]:
    """Lines of ``index, name, total MiB, used MiB``; what is not such a line is passed over."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and all(parts[i].isdigit() for i in (0, 2, 3)):
            found.append(Gpu(int(parts[0]), parts[1], int(parts[2]) * MIB, int(parts[3]) * MIB))
    return found
