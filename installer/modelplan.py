"""Reads what ``ivr models plan --json`` says: ``modelplan.py FOLDER ENGINES`` writes into FOLDER

* ``models.plan``: the models to pull, one a line,
* ``engines.plan``: the environments that load them, one a line,
* ``engines.settings``: the settings that run them, as lines for merge.py; their interpreters are
  those of the environments in the folder ENGINES.

Python's own library only."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ENVIRONMENTS = {"faster-whisper": "stt", "wav2vec2": "wav2vec2", "coqui": "tts", "vllm": "llm"}
"""Which environment (requirements-NAME.lock) loads an engine's models."""


def toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def lines(table: dict, section: str, engines: Path) -> Iterator[str]:
    """``section.key<TAB>value`` of a table and those in it."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from lines(value, f"{section}{key}.", engines)
            continue
        if key == "run":
            value = [run | {"python": _python(run, engines)} for run in value]
        yield f"{section}{key}\t{toml(value)}"


def _python(run: dict, engines: Path) -> str:
    return str(engines / ENVIRONMENTS[run["engine"]] / "bin" / "python")


def main() -> None:
    folder, engines = Path(sys.argv[1]), Path(sys.argv[2])
    plan = json.load(sys.stdin)
    if not plan.get("fits"):
        sys.exit("these models do not fit this GPU together: fewer LANGUAGES or GPU_CALLS")
    servers = [server for server in plan["servers"] if server["model"]]
    models = dict.fromkeys(server["model"] for server in servers)
    environments = dict.fromkeys(ENVIRONMENTS[server["engine"]] for server in servers)
    settings = lines(tomllib.loads("\n".join(plan["settings"])), "", engines)
    for name, said in (
        ("models.plan", models), ("engines.plan", environments), ("engines.settings", settings),
    ):  # fmt: skip
        (folder / name).write_text("".join(f"{line}\n" for line in said))


if __name__ == "__main__":
    main()
