"""Regular expressions of rules: RE2, so that no pattern and no text takes more than linear time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import re2

from appliance.errors import UserError

LONGEST_PATTERN = 300
"""Letters."""
MOST_INSTRUCTIONS = 4000
"""Of a compiled pattern: a nested repeat of a few letters can be as large as it likes."""
SET_SIZE = 32
"""Patterns that are looked for in one walk over the text."""
SET_MEMORY_BYTES = 16 << 20


class Match(Protocol):
    """What RE2 found, as ``re.Match``."""

    def span(self) -> tuple[int, int]: ...


class Pattern(Protocol):
    """A compiled RE2 pattern."""

    def search(self, text: str) -> Match | None: ...
    def finditer(self, text: str) -> Any: ...


def _options() -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return options


def compile_pattern(text: str) -> Pattern:
    """``text`` as a pattern of RE2, in which case does not matter. Raises UserError in one sentence
    when it is none, is too large, or is found in everything."""
    shown = text if len(text) <= 60 else text[:60] + "…"
    if len(text) > LONGEST_PATTERN:
        raise UserError(
            f"The pattern {shown!r} has {len(text)} letters; {LONGEST_PATTERN} is the most."
        )
    try:
        pattern = re2.compile(text, _options())
    except (re2.error, UnicodeEncodeError) as e:
        reason = e.args[0] if e.args else ""
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise UserError(
            f"The pattern {shown!r} is not of RE2 (no look-around, no back-reference): {reason}."
        ) from e
    if pattern.programsize > MOST_INSTRUCTIONS:
        raise UserError(f"The pattern {shown!r} repeats too much; make its repeats smaller.")
    if pattern.search("") is not None:
        raise UserError(f"The pattern {shown!r} matches nothing at all, so it is found everywhere.")
    return cast(Pattern, pattern)


class Patterns:
    """Many patterns, looked for together: which of them are in a text is known after one walk a set."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._patterns = [compile_pattern(text) for text in texts]
        self._sets: list[Any] = []
        for begin in range(0, len(texts), SET_SIZE):
            options = _options()
            options.max_mem = SET_MEMORY_BYTES
            together = re2.Set.SearchSet(options)
            for text in texts[begin : begin + SET_SIZE]:
                together.Add(text)
            together.Compile()
            self._sets.append(together)

    def find(self, text: str, beyond: int = 0) -> list[tuple[int, int, int]]:
        """(number of the pattern, begin, end) of the first place where each ends behind ``beyond``."""
        found = []
        for number, together in enumerate(self._sets):
            for at in together.Match(text) or ():
                index = number * SET_SIZE + at
                for match in self._patterns[index].finditer(text):
                    begin, end = match.span()
                    if end > beyond:
                        found.append((index, begin, end))
                        break
        return found
