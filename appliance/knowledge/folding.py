"""One spelling for words that are written in several ways: Indian scripts, Urdu, accents, digits."""

from __future__ import annotations

import re
import unicodedata

from appliance.spelling import ACCENTS, ARABIC_MARKS, JOINERS, NUKTAS, SAME_LETTERS, with_anusvara

_DROPPED = JOINERS + NUKTAS + ARABIC_MARKS + "'’" + "\u0a71"
"""The last one, Gurmukhi addak, doubles what follows; it is often left out."""
_LATIN_ACCENTS = re.compile(f"(?<=[a-z])[{ACCENTS}]+")


def _table() -> dict[int, str]:
    table = {ord(sign): "" for sign in _DROPPED}
    table |= {ord(sign): instead for sign, instead in SAME_LETTERS.items()}
    for code in range(0x80, 0x10000):
        if unicodedata.category(chr(code)) == "Nd":
            table[code] = str(unicodedata.digit(chr(code)))
    return table


_TABLE = _table()


def folded(text: str) -> str:
    """``text`` in small letters and one spelling: compatibility forms (NFKC) and accents, nukta,
    joiners and vowel points gone, nasals as anusvara, the digits of every script as 0 to 9. Folding
    what is folded changes nothing."""
    if text.isascii():
        return text.lower().replace("'", "")
    text = unicodedata.normalize("NFKC", text).lower()
    # apart, so that accents can go; the signs of Indian scripts that have parts come together again
    text = _LATIN_ACCENTS.sub("", unicodedata.normalize("NFD", text)).translate(_TABLE)
    return with_anusvara(unicodedata.normalize("NFC", text))
