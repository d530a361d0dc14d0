"""Starts the Pipecat bot in its own environment and puts the same callers to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from appliance.engines.emulated_script import Script
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from appliance.ops.rehearsal.temporarysite import ROOT, ready, running
from appliance.rehearsal.calls import Watch
from bench.report import Rehearsed
from bench.ws_caller import Plan, rehearse_ws

PYTHON = ROOT / ".venv-pipecat" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Bot:
    """A Pipecat bot that answers."""

    url: str
    pid: int

    def caller(self, script: Script) -> Callable[[int, float, Watch], Rehearsed]:
        """Places N calls to the bot."""

        def call(calls: int, seconds: float, watch: Watch) -> Rehearsed:
            plan = Plan(self.url, "none", script, calls, seconds)
            return Rehearsed(uvloop.run(rehearse_ws(plan, watch)))

        return call


@contextmanager
def pipecat_bot(engines: dict[str, str], log: Path) -> Iterator[Bot]:
    """A fresh bot on the emulated ``engines``; ended with the block.

    Raises UserError when its environment is not made or it does not start.
    """
    if not PYTHON.exists():
        raise UserError("Pipecat's environment is not made: run bench/pipecat_env.sh.")
    port = free_port()
    command = [str(PYTHON), "-P", str(ROOT / "bench" / "pipecat_bot.py"), str(port)]
    command += [engines[stage] for stage in ("stt", "llm", "tts")]
    with (
        log.open("ab") as output,
        running(command, dict(os.environ), stdout=output, stderr=output) as process,
    ):
        ready(f"http://127.0.0.1:{port}/health", process, log)
        yield Bot(f"ws://127.0.0.1:{port}", process.pid)
