"""What a parser gives back, whatever its format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.knowledge.reading.document import Page

OnPages = Callable[[int, int], None]
"""(pages read, pages in all)."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Pages, with what a person should know about them."""

    pages: list[Page]
    notes: list[str] = field(default_factory=list)


class Hidden:
    """Counts what was left out because a reader would not see it."""

    def __init__(self) -> None:
        self._chars: Counter[str] = Counter()

    def add(self, why: str, text: str) -> None:
        """``text`` is left out; ``why`` as in "text that is white on white"."""
        if text.strip():
            self._chars[why] += len(text.strip())

    def notes(self) -> list[str]:
        """One sentence for each reason."""
        return [
            f"Left out {chars} {'character' if chars == 1 else 'characters'} of {why}."
            for why, chars in self._chars.items()
        ]
