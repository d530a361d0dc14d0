"""What a new agent says before anybody has written anything: in English, or in its own language."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from appliance.events import Agent
from appliance.languages import primary
from appliance.store.agents import CONFIG_FIELDS, agent_fields

FILE = "defaults.toml"
DEFAULTS: dict[str, Any] = {
    name: value
    for name, value in agent_fields(Agent(id="", version=0, name="")).items()
    if name in CONFIG_FIELDS
}
"""Every field that an author writes, as it is when they leave it out."""


def blank(language: str, voices: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a new agent. ``voices``: those that speak ``language``; the first is taken.

    A language without phrases of its own gets the English ones, which ``check`` tells.
    """
    phrases = _phrases()
    own = phrases["en"] | phrases.get(primary(language), {})
    voice = {"voice": voices[0]} if voices else {}
    return DEFAULTS | own | {"language": language} | voice


def languages() -> tuple[str, ...]:
    """Those that have phrases of their own."""
    return tuple(_phrases())


@cache
def _phrases() -> dict[str, dict[str, Any]]:
    text = (resources.files(__package__) / FILE).read_text("utf-8")
    return tomllib.loads(text)
