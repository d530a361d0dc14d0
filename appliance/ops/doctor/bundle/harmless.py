"""Settings that may be shown: by their kind, or by their name; of all others, whether they are set."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from appliance.settings import Settings

NAMES = frozenset({
    "host", "api_host", "esl_host", "playback_host", "timezone", "country", "nightly",
    "calling_hours", "foreign_hours", "level", "second_factor", "engine", "model", "device",
    "compute_type", "transports", "languages", "ocr_languages", "prefer",
})  # fmt: skip
"""Settings of text that say nothing of a person and open no door."""
URLS = frozenset({"urls", "worker_urls", "roster_url"})
"""Shown as scheme, host and port."""
SET, EMPTY = "(set)", "(not set)"


def shown(settings: Settings) -> dict[str, Any]:
    """Every setting by its name: its value, or whether it has one."""
    return _section(settings)


def _section(section: BaseModel) -> dict[str, Any]:
    found = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        found[name] = _hidden(value) if not field.repr else _value(name, value)
    return found


def _value(name: str, value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _section(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Path | IPv4Network | IPv6Network):
        return str(value)
    if isinstance(value, str):
        return value if name in NAMES else _place(value) if name in URLS else _hidden(value)
    if isinstance(value, tuple | list):
        return [_value(name, one) for one in value]
    if isinstance(value, Mapping):  # its keys may be somebody's names
        return [_value(name, one) for one in value.values()] if name in NAMES else f"({len(value)})"
    return _hidden(value)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}" if url else EMPTY


def _hidden(value: Any) -> str:
    return SET if value else EMPTY
