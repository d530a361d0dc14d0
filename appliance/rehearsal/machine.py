"""CPU and memory of the appliance's processes, and of the GPUs, once a second over a rehearsal."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import PurePath

import psutil

from appliance.checkpoints.gpu import MIB, ask
from appliance.rehearsal.content import Usage

EVERY_S = 1.0
LOOK_EVERY = 5
"""New processes are looked for every so many samples: reading all of /proc takes longer."""
GPU_TIMEOUT_S = 3.0
MOST_SAMPLES = 4000
"""More than an hour: the first ones then go."""
_COMMANDS = frozenset(
    {
        "worker",
        "sip",
        "switch",
        "stt",
        "tts",
        "turn",
        "embed",
        "rerank",
        "llm",
        "emulate",
        "up",
        "pools",
    }
)
_ENGINES = {"emulate": "engines (emulated)", "up": "supervisor", "pools": "supervisor"}
_OTHERS = {"postgres": "postgres", "freeswitch": "freeswitch", "vllm": "llm", "raylet": "ray"}
_GPU_FIELDS = "index,utilization.gpu,memory.used"
CALLERS = "callers (this)"


def kind_of(command: Sequence[str]) -> str | None:
    """What a process of the appliance is, by its command line; None for anything else."""
    names = [PurePath(word).name for word in command[:8]]
    if not names:
        return None
    own = "ivr" in names[:2] or any(
        a == "-m" and b == "appliance" for a, b in pairwise(command[:8])
    )
    if own:
        return next((_ENGINES.get(name, name) for name in names if name in _COMMANDS), None)
    first = re.split(r"[:\s]", command[0].lstrip("-"), maxsplit=1)[0]
    program = PurePath(first).name
    known = _OTHERS.get(program)
    return known or next((_OTHERS[n] for n in names[:3] if n == "vllm"), None)


class Machine:
    """Samples in a thread of its own while the block lasts; then ask for ``usage``."""

    def __init__(self, calls: Callable[[], int], *, children_only: bool) -> None:
        """``calls``: how many are up now. ``children_only``: of all the appliance's processes only
        those below this one, for a site that was started for the rehearsal."""
        self._calls = calls
        self._children_only = children_only
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)
        self._begin_s = time.monotonic()
        self._known: dict[psutil.Process, str] = {}
        self._rows: list[tuple[float, int, float, dict[str, float], dict[str, float]]] = []
        self._gpu: list[tuple[float, dict[str, tuple[float, float]]]] = []
        self._has_gpu = True  # until nvidia-smi is asked

    def __enter__(self) -> Machine:
        self._begin_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def cores(self, from_s: float, to_s: float) -> dict[str, float]:
        """Mean cores in use by each kind between two moments of the monotonic clock."""
        rows = [row for row in self._rows if from_s <= row[0] + self._begin_s <= to_s]
        kinds = sorted({kind for row in rows for kind in row[3]})
        return {
            kind: round(sum(row[3].get(kind, 0.0) for row in rows) / len(rows), 3) for kind in kinds
        }

    def busy(self, from_s: float, to_s: float) -> float | None:
        """Mean share of all cores in use between two moments of the monotonic clock."""
        rows = [row[2] for row in self._rows if from_s <= row[0] + self._begin_s <= to_s]
        return round(sum(rows) / len(rows), 3) if rows else None

    @property
    def usage(self) -> Usage:
        """Everything that was sampled."""
        rows = list(self._rows)
        kinds = sorted({kind for row in rows for kind in row[3]})
        gpus = sorted({gpu for _, row in self._gpu for gpu in row})
        return Usage(
            at_s=tuple(round(row[0], 1) for row in rows),
            calls=tuple(row[1] for row in rows),
            cores={k: tuple(round(row[3].get(k, 0.0), 3) for row in rows) for k in kinds},
            memory_mb={k: tuple(round(row[4].get(k, 0.0), 1) for row in rows) for k in kinds},
            busy=tuple(round(row[2], 3) for row in rows),
            gpu_at_s=tuple(round(at, 1) for at, _ in self._gpu),
            gpu_busy={g: tuple(row.get(g, (0.0, 0.0))[0] for _, row in self._gpu) for g in gpus},
            gpu_memory_mb={
                g: tuple(row.get(g, (0.0, 0.0))[1] for _, row in self._gpu) for g in gpus
            },
        )

    def _run(self) -> None:
        psutil.cpu_percent()
        before: dict[psutil.Process, float] = {}
        last_s, number = time.monotonic(), 0
        while not self._over.wait(EVERY_S):
            if number % LOOK_EVERY == 0:
                self._look()
            now_s, number = time.monotonic(), number + 1
            before = self._sample(now_s, now_s - last_s, before)
            last_s = now_s
            if self._has_gpu:
                self._sample_gpu(now_s)

    def _look(self) -> None:
        self._known = {process: kind for process, kind in self._ours()}

    def _ours(self) -> Iterator[tuple[psutil.Process, str]]:
        me = psutil.Process(os.getpid())
        mine = {me.pid, *(child.pid for child in me.children(recursive=True))}
        yield me, CALLERS
        for process in psutil.process_iter():
            if process.pid == me.pid or (self._children_only and process.pid not in mine):
                continue
            with contextlib.suppress(psutil.Error):
                if kind := kind_of(process.cmdline()):
                    yield process, kind

    def _sample(
        self, now_s: float, since_s: float, before: dict[psutil.Process, float]
    ) -> dict[psutil.Process, float]:
        spent: dict[psutil.Process, float] = {}
        cores: dict[str, float] = defaultdict(float)
        memory: dict[str, float] = defaultdict(float)
        for process, kind in self._known.items():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                spent[process] = times.user + times.system
                cores[kind] += (spent[process] - before.get(process, spent[process])) / since_s
                memory[kind] += process.memory_info().rss / 1e6
        busy = psutil.cpu_percent() / 100
        self._rows.append((now_s - self._begin_s, self._calls(), busy, dict(cores), dict(memory)))
        del self._rows[:-MOST_SAMPLES]
        return spent

    def _sample_gpu(self, now_s: float) -> None:
        said = ask(_GPU_FIELDS, GPU_TIMEOUT_S)
        if said is None:
            self._has_gpu = False  # a driver that does not answer would hold every sample up
        elif row := parse_gpus(said):
            self._gpu.append((now_s - self._begin_s, row))
            del self._gpu[:-MOST_SAMPLES]


def parse_gpus(text: str) -> dict[str, tuple[float, float]]:
    """``index, percent, MiB`` a line, as nvidia-smi writes them: GPU -> (share in use, MB)."""
    found = {}
    for line in text.splitlines():
        index, _, rest = line.partition(",")
        with contextlib.suppress(ValueError):  # "[N/A]" where a GPU does not say
            busy, memory = (float(part) for part in rest.split(","))
            found[f"GPU {index.strip()}"] = (busy / 100, round(memory * MIB / 1e6, 1))
    return found
