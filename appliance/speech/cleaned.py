"""Text without what no voice can say: marks of layout, emoji, half characters."""

from __future__ import annotations

import re
import unicodedata

_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
_SAME = {
    0x00A0: " ", 0x2044: "/", 0x2215: "/", 0x2212: "-", 0x2010: "-", 0x2011: "-",
    0x2018: "'", 0x2019: "'",
    0x201C: '"', 0x201D: '"', 0x20A8: "Rs", 0x2022: " ", 0x00D7: "×",
}  # fmt: skip
_MIXED = re.compile(r"(?<=\d)(?=[¼½¾⅐-⅞])")
_LAYOUT = re.compile(
    r"(?m)^\s*(?:[-*+•▪●◦>]\s+|#{1,6}\s+)|^\s*(?:[-_*=]\s?){3,}$|`+|(?<![\w*])\*{1,3}(?=[^\s*\d])|(?<=[^\s*])\*{1,3}(?![\w*#])"
    r"|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)|~~|\|"
)
_LINK = re.compile(r"!?\[([^\]\n]{1,200})\]\([^)\s]{1,300}\)")
_UNSPEAKABLE = re.compile(r"[^\w\s\u0900-\u0dff\u200c\u200d.,?!;:'\"()/&@#%+=*°$€£₹±÷~<>№×\-–—।॥]")
_LONE_JOINER = re.compile(r"(?<![\u0900-\u0dff])[\u200c\u200d]+|[\u200c\u200d]+(?![\u0900-\u0dff])")
_LINES = re.compile(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_ENDED = re.compile(r"(?<=[.,?!;:।॥]) , ")


def cleaned(text: str) -> str:
    """One spelling for each letter and digit (NFKC, ASCII digits), and none of what cannot be said."""
    if text.isascii() and text.isalpha():
        return text
    text = _LINK.sub(r"\1", text)
    text = _LAYOUT.sub(" ", text)
    text = unicodedata.normalize("NFKC", _MIXED.sub(" ", text)).translate(_SAME)
    text = _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    text = _UNSPEAKABLE.sub(" ", text)
    text = _LONE_JOINER.sub("", text)
    return _ENDED.sub(" ", _LINES.sub(" , ", text.strip()))


def encodable(text: str) -> str:
    """``text`` without surrogates and control characters: as it is, if it can be sent at all."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cs", "Cc"))
