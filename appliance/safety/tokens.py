"""Text as tokens with their places: words folded so that spellings of one word are equal, and digits.

Recognisers and people write the same word in several ways (पाँच, पांच; ज़ीरो, जीरो); what is
compared here is a fold without nuktas, nasal dots, joiners and case. It is no spelling to show.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from appliance.spelling import JOINERS, NUKTAS

_NASALS = "".join(chr(block + at) for block in range(0x900, 0xD80, 0x80) for at in (1, 2))
"""Chandrabindu and anusvara of every Indic block (they are laid out alike)."""
_DROPPED = {ord(c): None for c in NUKTAS + _NASALS + JOINERS + "\u0a70\u0a71"}
_DROPPED |= {at: None for at in range(0x300, 0x370)}
_HALF_NASAL = re.compile("[\u0919\u091e\u0923\u0928\u092e]\u094d(?=[\u0915-\u092d])")
"""न् in पन्द्रह, which पंद्रह writes with a dot."""
_TOKEN = re.compile(
    r"\d+|(?:(?![\d_\u0964\u0965])[\w\u0300-\u036f\u0900-\u0dff\u200b-\u200d\u2060])+"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a run of digits at ``[begin, end)`` of its text."""

    begin: int
    end: int
    text: str
    """Folded; for digits, the ASCII digits."""
    is_digits: bool


def tokens(text: str) -> list[Token]:
    """The words and digits of ``text``, in order; punctuation and space are what lies between."""
    found = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word[0].isdecimal():
            found.append(Token(match.start(), match.end(), ascii_digits(word), True))
        elif folded := fold(word):
            found.append(Token(match.start(), match.end(), folded, False))
    return found


def ascii_digits(text: str) -> str:
    """Decimal digits of any script -> ASCII."""
    return "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())


@lru_cache(8192)
def fold(word: str) -> str:
    """The fold of one word."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return _HALF_NASAL.sub("", plain).translate(_DROPPED)
