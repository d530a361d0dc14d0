"""The engine servers that this machine may run, made from ``engines.<stage>.run`` of the settings."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import appliance
from appliance.engines.key import key_of_ours
from appliance.ops.keeping import elsewhere, probe
from appliance.ops.keeping.program import (
    LLM_STOP_TIMEOUT_S,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    Address,
    Program,
)
from appliance.settings import LlmServers, Place, Run, Settings, Stage

_log = logging.getLogger(__name__)

ESPEAK = "espeak-ng"
LOOPBACK = "127.0.0.1"
FALLBACK = "llm.fallback"
"""The stage of the smaller language model."""
ENGINES_BY_NAME = ("stt", "tts", "embed", "rerank")
"""Stages whose command is told which engine to be; the others have one."""
WARM_UPS_TO_START = 5.0
"""An engine server that did not answer after so many of its stage's warm-ups is given up."""


@dataclass(frozen=True, slots=True)
class Group:
    """The engine servers of one entry of ``engines.<stage>.run``, which take the same work."""

    stage: str
    name: str
    """``stt.0``: the first entry of the stage."""
    run: Run
    programs: tuple[Program, ...]
    """One for each place: ``run.most`` of them."""
    capacity: int
    """Uses at once of one server; 0: as many as it says itself."""
    warm_up_s: float
    """From start to first answer, where none was measured."""


def servers(groups: tuple[Group, ...]) -> tuple[Program, ...]:
    """Every engine server that may run."""
    return tuple(program for group in groups for program in group.programs)


def engine_groups(settings: Settings) -> tuple[Group, ...]:
    """The engine servers that may run on this machine, as the settings name them."""
    found = []
    for stage, section in sections(settings):
        places, warm_up_s = list(enumerate(section.places())), _warm_up_s(settings, stage)
        for entry, run in enumerate(section.run):
            ours, places = places[: run.most], places[run.most :]
            if not _is_installed(stage, run):
                continue
            programs = tuple(
                engine_program(
                    stage, number, place, warm_up_s=warm_up_s, key=key_once(settings, section)
                )
                for number, place in ours
            )
            capacity = run.capacity
            if not capacity and isinstance(section, LlmServers):
                capacity = section.max_num_seqs
            found.append(Group(stage, f"{stage}.{entry}", run, programs, capacity, warm_up_s))
    return tuple(found)


def sections(settings: Settings) -> tuple[tuple[str, Stage], ...]:
    """Every stage of engine servers by its name, the second language model among them."""
    engines = settings.engines
    return (*engines.stages().items(), (FALLBACK, engines.llm.fallback))


def _warm_up_s(settings: Settings, stage: str) -> float:
    known = settings.capacity.warm_up_s
    return known.get(stage, known.get(stage.partition(".")[0], 0.0))


def _is_installed(stage: str, run: Run) -> bool:
    if run.engine != "espeak" or shutil.which(ESPEAK) is not None:
        return True
    _log.warning(
        "! %s of %s is left out: %s is not installed, so there is English only"
        " (apt-get install %s)",
        *(run.engine, stage, ESPEAK, ESPEAK),
    )
    return False


def key_once(settings: Settings, section: Stage) -> Callable[[], str]:
    """What a stage's servers ask for, read when it is first needed."""
    return cache(partial(key_of_ours, settings, section))


def engine_program(
    stage: str,
    number: int,
    place: Place,
    *,
    host: str = LOOPBACK,
    warm_up_s: float = 0.0,
    key: Callable[[], str] = lambda: "",
) -> Program:
    """How to run one engine server; ``number`` is its place among those of its stage.

    It listens on ``host``, which must be loopback or guarded: what is said there is not encrypted.
    ``key``: what it asks for, by its settings.
    """
    run = place.run
    command = stage.partition(".")[0]
    options = [
        *(("--engine", run.engine) if stage in ENGINES_BY_NAME else ()),
        *(("--fallback",) if stage == FALLBACK else ()),
        *(("--python", run.python) if command == "llm" and run.python else ()),
        *(("--model", run.model) if run.model else ()),
        *(("--device", run.device) if run.device != "auto" else ()),
        *(("--compute-type", run.compute_type) if run.compute_type else ()),
        *(("--languages", ",".join(run.languages)) if run.languages else ()),
        *(("--capacity", str(run.capacity)) if run.capacity else ()),
        *run.options,
    ]
    listen = [*(("--host", host) if host != LOOPBACK else ()), "--port", str(place.port)]
    address = Address(f"engines.{stage}.run", host, place.port)
    python = "" if command == "llm" else run.python  # it becomes vLLM, and tells that what it needs
    return Program(
        name=f"{stage}.{number}",
        command=ivr(command, *options, *listen, python=python),
        ready=lambda: probe.http_ok(address.host, address.port),
        remedy="See its last words above, or run it by itself:"
        f" ivr {' '.join((command, *options, *listen))}.",
        addresses=(address,),
        environment=our_code() if python else {},
        key=key,
        start_timeout_s=max(START_TIMEOUT_S, WARM_UPS_TO_START * warm_up_s),
        stop_timeout_s=LLM_STOP_TIMEOUT_S if command == "llm" else STOP_TIMEOUT_S,
    )


def our_code() -> dict[str, str]:
    """For another interpreter: where the appliance is, and nothing else that is installed with it."""
    home = Path(appliance.__file__).parent.parent
    if home.name in ("site-packages", "dist-packages"):
        home = home / elsewhere.__name__.replace(".", "/")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(home), os.environ.get("PYTHONPATH"))))}


def ivr(*arguments: str, python: str = "") -> Callable[[], list[str]]:
    """``ivr ARGUMENTS``, in the Python that we run in, or another that has an engine's packages;
    settings come by the environment."""
    return lambda: [python or sys.executable, "-m", "appliance", *arguments]
