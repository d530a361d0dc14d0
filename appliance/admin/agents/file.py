"""An agent as a TOML file, the form of ``appliance/samples``: written here, read by anybody."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.errors import UserError
from appliance.store.agents import CONFIG_FIELDS

_OF_THE_SITE = frozenset({"id", "version", "knowledge_version"})
"""Read over in a file: the agent that it is read into has its own."""
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PLAIN_LINES = re.compile(r'(?!.*""")[^\\\x00-\x08\x0b-\x1f\x7f]*', re.DOTALL)
"""What a multi-line string holds as it is."""


def to_toml(agent_id: str, fields: Mapping[str, Any]) -> str:
    """The fields of an agent, tables last, as TOML 1.0. None values are left out."""
    lines = [f"id = {_text(agent_id)}"]
    tables: list[str] = []
    for name, value in fields.items():
        if isinstance(value, Mapping):
            entries = [f"{_key(str(key))} = {_value(item)}" for key, item in value.items()]
            tables += ["", f"[{_key(name)}]", *entries]
        elif value is not None:
            lines.append(f"{_key(name)} = {_value(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def from_toml(text: str) -> dict[str, Any]:
    """The fields in ``text``. Raises UserError: no TOML, or a field that no agent has."""
    try:
        found = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"This is no TOML: {e}.") from e
    except RecursionError as e:
        raise UserError("This is no agent: it is nested too deeply.") from e
    if unknown := sorted(set(found) - CONFIG_FIELDS - _OF_THE_SITE):
        raise UserError(f"An agent has no field {', '.join(map(repr, unknown[:5]))}.")
    fields = {name: value for name, value in found.items() if name in CONFIG_FIELDS}
    try:
        json.dumps(fields)
    except TypeError as e:
        raise UserError("An agent's fields hold no dates and no times.") from e
    if isinstance(prompt := fields.get("prompt"), str):
        fields["prompt"] = prompt.strip()
    return fields


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return _text(str(value), lines=True)


def _text(text: str, lines: bool = False) -> str:
    """A basic string; one of several lines as people write it, where nothing in it needs escapes."""
    if lines and "\n" in text and _PLAIN_LINES.fullmatch(text) and not text.endswith('"'):
        return f'"""\n{text}"""'
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
