"""The fields of an agent as its editor shows them: under which tab, what they are called, what they do.

Words stand in ``fields.toml``, in English, and are translated where they are shown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pydantic import TypeAdapter

FILE = "fields.toml"


@dataclass(frozen=True, slots=True)
class Spec:
    """One field of the editor."""

    name: str
    label: str
    help: str = ""
    kind: str = "line"
    """How it is edited: line, text (some lines), prompt (many), lines (a list, one entry a line), ms,
    number, switch, choice (one of ``options``), several (some of them), pairs (a table of two
    ``columns``), source (one of what the site has)."""
    source: str = ""
    """What the site has to choose from: voices, bases, stt, tts, models or targets."""
    options: Mapping[str, str] | None = None
    """Value -> what it does."""
    columns: tuple[str, str] = ("", "")
    least: int = 0
    spoken: bool = False
    """Callers hear it: so can who writes it."""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    specs: tuple[Spec, ...]
    help: str = ""


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    title: str
    icon: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Preset:
    """Both pauses of turn taking in one word."""

    title: str
    does: str
    complete_ms: int
    incomplete_ms: int


def _tab(said: dict[str, Any]) -> Tab:
    sections = tuple(
        Section(part["title"], _SPECS.validate_python(part["field"]), part.get("help", ""))
        for part in said["section"]
    )
    return Tab(said["name"], said["title"], said["icon"], sections)


_SPECS = TypeAdapter(tuple[Spec, ...])
_said = tomllib.loads((resources.files(__package__) / FILE).read_text("utf-8"))

TABS: tuple[Tab, ...] = tuple(map(_tab, _said["tab"]))
PRESETS: tuple[Preset, ...] = tuple(Preset(**preset) for preset in _said["preset"])
SPECS: Mapping[str, Spec] = {
    spec.name: spec for tab in TABS for section in tab.sections for spec in section.specs
}
TAB_OF: Mapping[str, str] = {
    spec.name: tab.name for tab in TABS for section in tab.sections for spec in section.specs
}


def words() -> frozenset[str]:
    """All English that this file brings to the screen, for the test of translations."""
    found = {tab.title for tab in TABS} | {p.title for p in PRESETS} | {p.does for p in PRESETS}
    for tab in TABS:
        for section in tab.sections:
            found |= {section.title, section.help}
    for spec in SPECS.values():
        found |= {spec.label, spec.help, *spec.columns, *(spec.options or {}).values()}
    return frozenset(found - {""})
