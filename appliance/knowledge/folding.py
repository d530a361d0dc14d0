"""One spelling for words that are written in several ways: Indian scripts, Urdu, accents, digits."""

from __future__ import annotations

import re
import unicodedata

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_NUKTA = "\u093c\u09bc\u0a3c\u0abc\u0b3c\u0cbc"
"""Dot below: many leave it out, Unicode has two ways to write it."""
_ARABIC_MARKS = "\u0640\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0654\u0670"
"""Vowel points and the stretching line; texts for reading mostly go without."""
_SPELT = {
    "\u0901": "\u0902",  # Devanagari chandrabindu, as anusvara: हाँ, हां
    "\u0981": "\u0982",
    "\u0a81": "\u0a82",
    "\u0b01": "\u0b02",
    "\u0c01": "\u0c02",
    "\u0a01": "\u0a02",  # Gurmukhi: adak bindi and tippi, as bindi
    "\u0a70": "\u0a02",
    "\u0a71": "",  # addak doubles what follows; often left out
    "\u09ce": "\u09a4\u09cd",  # Bengali khanda ta
    "\u0d7a": "\u0d23\u0d4d",  # Malayalam chillus: once written with a joiner
    "\u0d7b": "\u0d28\u0d4d",
    "\u0d7c": "\u0d30\u0d4d",
    "\u0d7d": "\u0d32\u0d4d",
    "\u0d7e": "\u0d33\u0d4d",
    "\u0d7f": "\u0d15\u0d4d",
    "\u064a": "\u06cc",  # Arabic letters typed for Urdu ones: yeh, kaf, heh, teh marbuta
    "\u0649": "\u06cc",
    "\u0643": "\u06a9",
    "\u0647": "\u06c1",
    "\u0629": "\u06c1",
    "\u06c3": "\u06c1",
    "\u06be": "\u06c1",
    "\u0623": "\u0627",
    "\u0625": "\u0627",
    "’": "",
    "'": "",
}
_BLOCKS = (0x0900, 0x0A80, 0x0B00, 0x0C00, 0x0C80)
"""Scripts that may write a nasal before a consonant of its own row as anusvara (हिन्दी, हिंदी).
Unicode lays their letters out alike."""
_ROWS = ((0x19, 0x15, 0x18), (0x1E, 0x1A, 0x1D), (0x23, 0x1F, 0x22), (0x28, 0x24, 0x27),
         (0x2E, 0x2A, 0x2D))  # fmt: skip
"""In such a block: a nasal, and the consonants before which it is one, first to last."""


def _table() -> dict[int, str]:
    table = {ord(sign): "" for sign in _ZERO_WIDTH + _NUKTA + _ARABIC_MARKS}
    table |= {ord(sign): instead for sign, instead in _SPELT.items()}
    for code in range(0x80, 0x10000):
        if unicodedata.category(chr(code)) == "Nd":
            table[code] = str(unicodedata.digit(chr(code)))
    return table


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


_TABLE = _table()
_NASAL = _nasals()
_ACCENTS = re.compile("(?<=[a-z])[\u0300-\u036f]+")


def _anusvara(match: re.Match[str]) -> str:
    assert match.lastindex is not None
    return chr(_BLOCKS[match.lastindex - 1] + 0x02)


def folded(text: str) -> str:
    """``text`` in small letters and one spelling: compatibility forms (NFKC) and accents, nukta,
    joiners and vowel points gone, nasals as anusvara, the digits of every script as 0 to 9. Folding
    what is folded changes nothing."""
    if text.isascii():
        return text.lower().replace("'", "")
    text = unicodedata.normalize("NFKC", text).lower()
    # apart, so that accents can go; the signs of Indian scripts that have parts come together again
    text = _ACCENTS.sub("", unicodedata.normalize("NFD", text)).translate(_TABLE)
    return _NASAL.sub(_anusvara, unicodedata.normalize("NFC", text))
