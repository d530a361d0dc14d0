"""What words mean for turn taking: the same question, a backchannel, a farewell."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_MARKS = "".join(c for c in map(chr, range(0x300, 0x2000)) if unicodedata.category(c)[0] == "M")
"""Vowel signs and the like, which ``\\w`` leaves out: "बिल" would fall apart and equal "बल"."""
_LETTER = rf"[^\W_]|[{_MARKS}\u200c\u200d]"
_WORD = re.compile(rf"(?:{_LETTER})+(?:['’-](?:{_LETTER})+)*")
_FILLERS = frozenset("uh um er erm ah eh please so well now then just अच्छा तो".split())
LONGEST_FAREWELL_WORDS = 8
"""A longer turn that holds a "bye" somewhere is a question ("how do I say goodbye to my plan")."""


def normal(text: str) -> tuple[str, ...]:
    """The words of ``text``, folded, without punctuation and fillers."""
    return tuple(w for w in _WORD.findall(text.casefold()) if w not in _FILLERS)


def same_meaning(a: str, b: str) -> bool:
    """Whether a reply to ``a`` also answers ``b``: the same words but for fillers."""
    return normal(a) == normal(b)


def is_backchannel(text: str, backchannels: Sequence[str]) -> bool:
    """Whether ``text`` is no more than a listener's "mm-hm" (or nothing at all)."""
    known = {word for phrase in backchannels for word in normal(phrase)}
    return all(word in known for word in normal(text))


def is_farewell(text: str, farewells: Sequence[str]) -> bool:
    """Whether the caller wants to end the call: one of ``farewells`` as whole words."""
    words = normal(text)
    if len(words) > LONGEST_FAREWELL_WORDS:
        return False
    joined = f" {' '.join(words)} "
    return any(f" {' '.join(normal(f))} " in joined for f in farewells if normal(f))
