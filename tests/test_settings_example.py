"""ivr.toml.example names every setting, with its default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from appliance.settings import Settings, load

EXAMPLE = Path(__file__).resolve().parents[1] / "ivr.toml.example"


def names(section: type[BaseModel], prefix: str = "") -> set[str]:
    """Every setting below ``section``, dotted."""
    found = set()
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= names(kind, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def named(values: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, value in values.items():
        found |= named(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return found


def test_it_names_every_setting() -> None:
    assert named(tomllib.loads(EXAMPLE.read_text())) == names(Settings)


def test_its_values_are_the_defaults() -> None:
    assert load(EXAMPLE, {}) == Settings()
