"""Tamil and Malayalam thousands, which grow together with their count, as two words again.

இரண்டாயிரத்து -> இரண்டு ஆயிரம்: the form that :mod:`~appliance.safety.digits` reads.
"""

from __future__ import annotations

import re
from functools import lru_cache

from appliance.safety.tokens import fold
from appliance.speech.languages import LANGUAGES

_WORD = re.compile("[\u0b80-\u0bff]+|[\u0d00-\u0d7f\u200c\u200d]+")


def apart(text: str) -> str:
    """``text`` with such words taken apart; any other text unchanged."""
    if text.isascii() or not _WORD.search(text):
        return text
    known = _fused()
    return _WORD.sub(lambda word: known.get(fold(word[0]), word[0]), text)


@lru_cache(maxsize=1)
def _fused() -> dict[str, str]:
    found: dict[str, str] = {}
    for language in LANGUAGES.values():
        numbers = language.numbers
        for scale in numbers.scales:
            plain = scale.one.split()[-1]
            for count, stem in enumerate(scale.stems):
                if count < 1 or not stem:
                    continue
                for many in {scale.many, scale.many_before} - {""}:
                    # of forty-three thousand the last word only: the forty stands by itself
                    word = many.format(stem).split()[-1]
                    one = numbers.below_hundred[count].split()[-1]
                    if fold(word) != fold(plain):
                        found.setdefault(fold(word), f"{one} {plain}")
    return found
