"""Words of a text, folded so that the same word written in other ways is the same word.

Folded away: compatibility forms and case (Unicode NFKC, UAX 15), invisible letters, apostrophes,
accents of Latin, look-alikes of Latin letters, and what Indic scripts write in two ways: the nukta,
candrabindu and anusvara, a nasal before a consonant of its class, the joiners, chillus. Other vowel
signs stay: without them Indic words run together.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from appliance.spelling import ACCENTS, ARABIC_MARKS, MARKS, SAME_LETTERS, with_anusvara

_WORD = re.compile(f"[^\\W_](?:['’]?[^\\W_]|[{MARKS}])*")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e01ef]"
)
_DROPPED = re.compile(f"['’{ACCENTS}\u093c\u0a3c\u0abc\u0cbc\u200c\u200d{ARABIC_MARKS}]")
"""In decomposed text. Of the nuktas those of Bengali and Odia stay: there they make another letter."""
_SAME = str.maketrans(
    SAME_LETTERS
    | {
        "\u0981": "",  # Bengali chandrabindu is left out rather than written otherwise
        "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ѕ": "s",
        "ј": "j", "к": "k", "м": "m", "т": "t", "н": "h", "в": "b", "ԁ": "d", "ɡ": "g", "ı": "i",
        "α": "a", "ο": "o", "ρ": "p", "ε": "e", "ι": "i", "κ": "k", "ν": "v", "τ": "t", "υ": "u",
        "χ": "x",
    }
)  # fmt: skip
_INDIC = re.compile("[\u0900-\u0dff]")


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as words."""

    text: str
    """Normalised: NFKC, nothing invisible."""
    words: tuple[str, ...]
    """Folded."""
    spans: tuple[tuple[int, int], ...]
    """Where each word stands in ``text``."""

    @property
    def joined(self) -> str:
        """The folded words with a space on either side, to look for words in a row."""
        return f" {' '.join(self.words)} "

    def written(self, first: int, last: int) -> str:
        """The words ``first`` to ``last`` (inclusive) as they stand in ``text``."""
        return self.text[self.spans[first][0] : self.spans[last][1]]


def normalise(text: str) -> str:
    """NFKC without invisible letters (soft hyphens, joiners, direction marks, tags)."""
    if text.isascii():
        return text
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)))


@lru_cache(maxsize=16384)
def fold_word(word: str) -> str:
    """One word, folded."""
    if word.isascii():
        return word.lower().replace("'", "")
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", word).casefold())
    folded = unicodedata.normalize("NFKC", _DROPPED.sub("", folded)).casefold().translate(_SAME)
    return with_anusvara(folded) if _INDIC.search(folded) else folded


def fold(text: str) -> Folded:
    """The words of ``text``."""
    text = normalise(text)
    words, spans = [], []
    for found in _WORD.finditer(text):
        if word := fold_word(found[0]):
            words.append(word)
            spans.append(found.span())
    return Folded(text, tuple(words), tuple(spans))


@lru_cache(maxsize=4096)
def fold_kept(text: str) -> Folded:
    """:func:`fold` of a text that is looked at again and again: a passage, a prompt."""
    return fold(text)


_ELONGATED = re.compile(r"([^\W\d_])\1{2,}")
_LEET = re.compile(
    r"(?<![\w@$!])(?=[\w@$!]*[a-z])(?=[\w@$!]*[0134578@$!][\w@$])[\w@$!]{3,24}", re.IGNORECASE
)
_LEET_LETTERS = str.maketrans("0134578@$!", "oieastbasi")
_SPACED = re.compile(r"(?<!\w)(?:[^\W\d_][ .\-*_]{1,2}){2,}[^\W\d_](?!\w)")
_BROKEN = re.compile(r"(?<=[^\W\d_])[-\u2010-\u2015\u2212\u2800*~^|\\()\[\]{}]{1,3}(?=[^\W\d_])")
_NO_LETTER = re.compile(r"[\W_]+")


def readings(text: str) -> list[Folded]:
    """``text`` and the other ways it may be meant: letters drawn out (fuuuck), digits and signs for
    letters (sh1t), letters one by one (s h i t), words with marks inside (re*fund). Mostly there is
    but one."""
    found = [fold(text)]
    plain = found[0].text
    if _ELONGATED.search(plain):
        found.append(fold(_ELONGATED.sub(r"\1", plain)))
        found.append(fold(_ELONGATED.sub(r"\1\1", plain)))
    leet = _LEET.sub(lambda m: m[0].lower().translate(_LEET_LETTERS), plain)
    if leet != plain:
        found.append(fold(leet))
    if _BROKEN.search(plain):
        found.append(fold(_BROKEN.sub("", plain)))
    if _SPACED.search(plain):
        found.append(fold(_SPACED.sub(lambda m: _NO_LETTER.sub("", m[0]), plain)))
    return found
