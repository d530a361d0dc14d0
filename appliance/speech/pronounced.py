"""The operator's dictionary: how a written word is spelt for the voice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from appliance.speech.cleaned import cleaned, encodable
from appliance.speech.patterns import WORD, any_of

_WORD = re.compile(rf"[{WORD}]")


@dataclass(frozen=True, slots=True, eq=False)
class Dictionary:
    """Finds whole words, Latin ones in any case, the longest first."""

    pattern: re.Pattern[str] | None
    spellings: Mapping[str, str]

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, spelling) of each word of the dictionary in ``text``."""
        if self.pattern is not None:
            for found in self.pattern.finditer(text):
                yield found.start(), found.end(), self.spellings[found[0].casefold()]


def dictionary_of(pronunciations: Mapping[str, str]) -> Dictionary:
    """The dictionary of an agent; built once."""
    return _dictionary(frozenset(pronunciations.items()))


@lru_cache(256)
def _dictionary(pairs: frozenset[tuple[str, str]]) -> Dictionary:
    spellings = {
        cleaned(written).strip().casefold(): encodable(spelling).strip()
        for written, spelling in sorted(pairs)
    }
    spellings.pop("", None)
    if not spellings:
        return Dictionary(None, {})
    # a sign at its end ("A+") is a boundary itself
    inner = [w for w in spellings if _WORD.match(w[0]) and _WORD.match(w[-1])]
    other = [w for w in spellings if w not in inner]
    parts = []
    if other:
        parts.append(any_of(other))
    if inner:
        parts.append(rf"(?<![{WORD}]){any_of(inner)}(?![{WORD}])")
    return Dictionary(re.compile("|".join(parts), re.IGNORECASE), spellings)
