"""What Indian scripts, Urdu and Latin write in more than one way: what folds of words are made of.

Each fold is for a purpose and drops what that purpose can do without:

* ``turn.words.normal``: case and punctuation, of words that one recogniser wrote.
* ``knowledge.folding``: spellings, for a search; all scripts' digits become 0 to 9.
* ``safety.wordfold``: spellings and disguises, for rules; every word keeps its place in the text.
* ``safety.tokens``: spellings, and nasal dots, which recognisers leave out of number words.
"""

from __future__ import annotations

import re

MARKS = (
    "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
    "\u0900-\u0963\u0966-\u0dff"
)
"""For a class of a regular expression: combining marks of Latin, Arabic and the Indic scripts, which
``\\w`` leaves out, with the letters among them; no danda."""
ACCENTS = "\u0300-\u036f"
"""The same: of Latin, in decomposed text."""
JOINERS = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Letters of no width."""
NUKTAS = "\u093c\u09bc\u0a3c\u0abc\u0b3c\u0cbc"
"""Dot below: many leave it out, and Unicode has two ways to write it."""
ARABIC_MARKS = "".join(
    map(chr, (*range(0x610, 0x61B), 0x640, *range(0x64B, 0x660), 0x670))
)  # fmt: skip
"""Vowel points and the stretching line; texts for reading mostly go without."""
SAME_LETTERS = {
    "\u0901": "\u0902",  # Devanagari chandrabindu, as anusvara: हाँ, हां
    "\u0981": "\u0982",
    "\u0a81": "\u0a82",
    "\u0b01": "\u0b02",
    "\u0c01": "\u0c02",
    "\u0a01": "\u0a02",  # Gurmukhi: adak bindi and tippi, as bindi
    "\u0a70": "\u0a02",
    "\u09ce": "\u09a4\u09cd",  # Bengali khanda ta
    "\u0d7a": "\u0d23\u0d4d",  # Malayalam chillus: once written with a joiner
    "\u0d7b": "\u0d28\u0d4d",
    "\u0d7c": "\u0d30\u0d4d",
    "\u0d7d": "\u0d32\u0d4d",
    "\u0d7e": "\u0d33\u0d4d",
    "\u0d7f": "\u0d15\u0d4d",
    "\u064a": "\u06cc",  # Arabic letters typed for Urdu ones: yeh, kaf, heh, teh marbuta, alef
    "\u0649": "\u06cc",
    "\u0643": "\u06a9",
    "\u0647": "\u06c1",
    "\u0629": "\u06c1",
    "\u06c2": "\u06c1",
    "\u06c3": "\u06c1",
    "\u06be": "\u06c1",
    "\u0623": "\u0627",
    "\u0625": "\u0627",
    "\u0671": "\u0627",
}
"""One sign that stands for another: as :func:`str.maketrans` takes it."""

_BLOCKS = (0x0900, 0x0A00, 0x0A80, 0x0B00, 0x0C00, 0x0C80)
"""Scripts that may write a nasal before a consonant of its own row as anusvara (हिन्दी, हिंदी).
Unicode lays their letters out alike."""
_ROWS = ((0x19, 0x15, 0x18), (0x1E, 0x1A, 0x1D), (0x23, 0x1F, 0x22), (0x28, 0x24, 0x27),
         (0x2E, 0x2A, 0x2D))  # fmt: skip
"""In such a block: a nasal, and the consonants before which it is one, first to last."""


def _nasals() -> re.Pattern[str]:
    """Group i: a nasal of block i, where it is written in full."""
    groups = []
    for block in _BLOCKS:
        virama = chr(block + 0x4D)
        rows = [
            f"{chr(block + nasal)}{virama}(?=[{chr(block + first)}-{chr(block + last)}])"
            for nasal, first, last in _ROWS
        ]
        groups.append(f"({'|'.join(rows)})")
    return re.compile("|".join(groups))


_NASAL = _nasals()


def with_anusvara(text: str) -> str:
    """``text`` (NFC) with every nasal before a consonant of its row as anusvara."""
    return _NASAL.sub(_anusvara, text)


def _anusvara(match: re.Match[str]) -> str:
    assert match.lastindex is not None
    return chr(_BLOCKS[match.lastindex - 1] + 0x02)
