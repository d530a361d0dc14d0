"""The words of an agent's knowledge that a recogniser of general language is likely to miss.

They are names: of the company, its products, its places. Whisper takes a few of them as a prompt;
many, or ordinary words, would only pull its transcripts towards them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

MOST_WORDS = 16
SHORTEST_TERM_LETTERS = 5
"""Of a word in a script without capitals; the shorter ones are mostly particles."""
LEAST_TERM_COUNT = 2
_SENTENCE_ENDS = tuple(".?!:;।॥|")


def hot_words(texts: Sequence[str]) -> tuple[str, ...]:
    """Up to ``MOST_WORDS`` names of ``texts`` (plain or Markdown), the most frequent first.

    In a script with capitals: words written with a capital within a sentence, and nowhere without.
    In one without: the longer words that come up again, and any Latin word among them (a brand).
    """
    found: Counter[str] = Counter()
    ordinary: set[str] = set()
    for text in texts:
        for word, opens in _words(text):
            if word.islower():
                ordinary.add(word)
            elif _is_term(word) or _is_name(word, opens):
                found[word] += 1
    best = [
        word
        for word, count in found.most_common()
        if word.lower() not in ordinary and (not _is_term(word) or count >= LEAST_TERM_COUNT)
    ]
    return tuple(best[:MOST_WORDS])


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """Every word, and whether it opens a sentence or a line."""
    for line in text.splitlines():
        tokens = line.split()
        for before, token in pairwise(["", *tokens]):
            word = _stripped(token)
            if word:
                yield word, not _stripped(before) or before.endswith(_SENTENCE_ENDS)


def _stripped(token: str) -> str:
    """Without the punctuation around it. Not by ``\\w``: that splits Indic words at vowel signs."""
    start, end = 0, len(token)
    while start < end and not _of_word(token[start]):
        start += 1
    while end > start and not _of_word(token[end - 1]):
        end -= 1
    return token[start:end].removesuffix("'s").removesuffix("’s")


def _of_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN"


def _is_name(word: str, opens: bool) -> bool:
    """A capital within the word (WiFi, FTTH), or at its start where no sentence starts."""
    return len(word) > 1 and any(c.isupper() for c in (word[1:] if opens else word))


def _is_term(word: str) -> bool:
    letters = sum(unicodedata.category(c) == "Lo" for c in word)
    return letters > 0 and len(word) >= SHORTEST_TERM_LETTERS
