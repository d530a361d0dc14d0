"""What a message from another process holds, if it holds it: nothing of it is believed unseen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LONGEST_TEXT_LETTERS = 4000
LONGEST_NAME_LETTERS = 200


def words(source: Mapping[str, Any], name: str, longest: int = LONGEST_TEXT_LETTERS) -> str:
    """A text, cut to ``longest`` letters; empty where it is none."""
    value = source.get(name)
    return value[:longest] if isinstance(value, str) else ""


def short(source: Mapping[str, Any], name: str) -> str:
    """A name, an id or a word, cut to 200 letters."""
    return words(source, name, LONGEST_NAME_LETTERS)


def integer(source: Mapping[str, Any], name: str) -> int | None:
    """A whole number; None where it is none."""
    value = source.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def clock_ms(event: Mapping[str, Any]) -> int:
    """When an event was, on its call's media clock."""
    return integer(event, "ms") or 0


def moment(value: object) -> datetime | None:
    """ISO 8601; without a zone it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
