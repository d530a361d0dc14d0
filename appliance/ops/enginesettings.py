"""The settings of engine servers in a file of their own: nothing of databases, trunks or people.

An engine server runs code of others on what callers say; whoever takes one over should find no
password. So the services of engine servers read this file, and ``ivr.toml`` is hidden from them (see
systemd/).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from appliance.engines.key import key_of_ours
from appliance.errors import UserError, reason_of
from appliance.files import write_whole
from appliance.settings import Settings

SECTIONS = ("capacity", "cluster", "metrics", "log")
"""What they need beside ``engines`` and ``data_dir``."""
MODE = 0o600
NOTE = "# Made by `ivr pools settings` out of ivr.toml, at every start of engine servers.\n"


def write(settings: Settings, file: Path) -> None:
    """Write what engine servers need of ``settings`` to ``file``, and see that their key is there.

    Raises UserError: one of both cannot be written.
    """
    for stage in settings.engines.stages().values():
        if stage.run:
            key_of_ours(settings, stage)
    try:
        write_whole(file, rendered(settings).encode(), mode=MODE)
    except OSError as e:
        raise UserError(f"{file} cannot be written: {reason_of(e)}.") from e


def rendered(settings: Settings) -> str:
    """That file's text: TOML."""
    values = settings.model_dump(mode="json")
    engines = values["engines"]
    for stage in (
        *(engines[name] for name in settings.engines.stages()),
        engines["llm"]["fallback"],
    ):
        if not stage["run"]:  # another's server: we only ask it, and others of us do that
            stage["api_key"] = ""
    kept = {"data_dir": str(settings.data_dir.absolute()), "engines": engines}
    kept |= {name: values[name] for name in SECTIONS}
    return NOTE + "".join(f"{name} = {_toml(value)}\n" for name, value in kept.items())


def _toml(value: Any) -> str:
    """A value on one line. JSON's strings, numbers, booleans and lists are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return orjson.dumps(value).decode().replace("\x7f", "\\u007F")
