"""What a report was measured on: the engines and the machine, in words."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

from appliance.capacity.servers import Live, ask
from appliance.checkpoints.gpu import gpus
from appliance.settings import Settings

_CPU_INFO = Path("/proc/cpuinfo")


def engines_in_words(settings: Settings) -> str:
    """``stt: 2 x pocketsphinx; tts: flite; …``: the servers that answer now."""
    return _in_words(ask(settings))


def machine_in_words() -> str:
    """Cores, memory, GPUs and system."""
    memory_gb = psutil.virtual_memory().total / 1e9
    parts = [f"{os.cpu_count()} cores ({_processor()})", f"{memory_gb:.0f} GB"]
    parts += [gpu.name for gpu in gpus()] or ["no GPU"]
    return f"{', '.join(parts)}, {platform.system()} {platform.release()}"


def _in_words(live: Sequence[Live]) -> str:
    stages = dict.fromkeys(server.stage for server in live)
    told = []
    for stage in stages:
        engines = Counter(each.engine or "a server" for each in live if each.stage == stage)
        names = [name if count == 1 else f"{count} x {name}" for name, count in engines.items()]
        told.append(f"{stage}: {', '.join(names)}")
    return "; ".join(told) or "none answered"


def _processor() -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
