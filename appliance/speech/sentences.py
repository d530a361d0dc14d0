"""Where a sentence ends, in the languages that end it with . ? ! or the danda, and in Urdu."""

from __future__ import annotations

import re

ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof smt st jr sr no nos rs approx dept govt ext tel fig vs inc ltd pvt co e.g i.e "
    "a.m p.m jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
"""Words whose full stop does not end a sentence. ``etc.`` is left out: it often does."""

SENTENCE_ENDS = ".?!।॥…؟۔"
"""The last two are Urdu's."""
_END = re.compile(rf"(?<![{SENTENCE_ENDS}])[{SENTENCE_ENDS}]++[\"'”’)\]]*+(?=\s)")
"""Each row of marks is read once: a megabyte of full stops would take an hour otherwise."""
_BESIDE_LETTERS = 40
"""So much of the text on either side of a full stop tells whether it ends a sentence."""


def sentences(text: str) -> list[str]:
    """The sentences of ``text`` in order, each a substring of it without outer white space."""
    found = []
    begin = 0
    for match in _END.finditer(text):
        if _goes_on(text, begin, match):
            continue
        found.append(text[begin : match.end()].strip())
        begin = match.end()
    found.append(text[begin:].strip())
    return [sentence for sentence in found if sentence]


def _goes_on(text: str, begin: int, match: re.Match[str]) -> bool:
    """True for the stop of an abbreviation or an initial, or with a small letter after it."""
    if match.group()[0] != ".":
        return False
    words = text[max(begin, match.start() - _BESIDE_LETTERS) : match.start()].rsplit(maxsplit=1)
    word = words[-1].lower().lstrip("(\"'") if words else ""
    if word in ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
        return True
    return text[match.end() : match.end() + _BESIDE_LETTERS].lstrip()[:1].islower()
