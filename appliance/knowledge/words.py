"""The words of a text as the lexical side of retrieval counts them: folded, without endings."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# letters and digits of any script, with the vowel signs that Indic scripts write as marks
# (Devanagari to Sinhala, without the danda)
_WORD = re.compile("(?:[^\\W_]|[\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u200c\u200d])+")

STOP_WORDS = frozenset(
    "a about am an and any are as at be been but by can could did do does for from had has have"
    " hello hi how i if in into is it its just me my no not of ok okay on or our please shall"
    " should so some tell than thank thanks that the their them then there these they this to um"
    " uh us was we were what when where which who why will with would yes you your know want need"
    " like get give say may might must much many".split()
)
"""English words that carry no topic in a caller's question."""

_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ations", "at"), ("ation", "at"), ("ings", ""),
            ("ing", ""), ("ers", ""), ("er", ""), ("ed", ""), ("es", ""), ("s", ""),
            ("e", ""), ("y", ""))  # fmt: skip
_SHORTEST_STEM = 3


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A light stem: enough for "install", "installing" and "installation" to meet."""
    if word.endswith("ss"):
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            left = word[: -len(ending)] + instead
            doubled = ending in ("ing", "ings", "er", "ers", "ed") and left[-1:] == left[-2:-1]
            return left[:-1] if doubled and left[-1] not in "lsz" else left
    return word


def content_words(text: str) -> list[str]:
    """The stems of the words of ``text`` that carry its topic, in order."""
    folded = unicodedata.normalize("NFKC", text).lower().replace("’", "").replace("'", "")
    return [stem(word) for word in _WORD.findall(folded) if word not in STOP_WORDS]
