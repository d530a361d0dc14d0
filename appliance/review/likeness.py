"""Whether two answers say the same, for a person who wants to be told of changes and of nothing else.

Sentences out of the knowledge are the same word for word, or they have changed. A language model puts
the same differently every time: its answer has changed when it means something else, states other
numbers, or rests on other passages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np

from appliance.engines.base import Embedder
from appliance.errors import EngineError
from appliance.events import Passage, ReplySource
from appliance.knowledge.words import content_words
from appliance.safety.digits import read_numbers
from appliance.turn.words import normal

SAME = 0.5
"""From here on, by the nearer of cosine and shared words, two answers that state the same numbers are
the same. With all-MiniLM-L6-v2 the pairs of tests/answer_pairs.py have 0.57 and more where they are the
same, 0.44 at most where they are not and state no other numbers."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{2,3}\b)")
_FRACTIONS = frozenset(
    normalize("NFC", word)
    for word in "डेढ़ डेढ ढाई सवा साढ़े साढे पौने दीड अडीच सव्वा पाऊण દોઢ અઢી સવા સાડા પોણા দেড় আড়াই সাড়ে"
    " ਡੇਢ ਢਾਈ ਸਵਾ ਸਾਢੇ".split()
)
"""They change the number that follows: "डेढ़ सौ" is 150."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, as it is compared."""

    text: str
    source: ReplySource
    passages: tuple[Passage, ...]


def numbers(text: str, language: str) -> list[str]:
    """The numbers of ``text`` as digits, written or spoken: "1,200", "twelve hundred"."""
    return [run.digits for run in read_numbers(_THOUSANDS.sub("", text), language).runs]


def folded(text: str, language: str) -> tuple[str, ...]:
    """The words of ``text`` for comparison, its numbers as digits."""
    text = _THOUSANDS.sub("", text)
    pieces, at = [], 0
    for run in read_numbers(text, language).runs:
        for piece in run.pieces:
            pieces += [text[at : piece.begin], f" {piece.digits} "]
            at = piece.end
    return normal("".join([*pieces, text[at:]]))


def holds(answer: str, expected: str, language: str) -> bool:
    """Whether ``answer`` holds all the words of one of the alternatives (parted by ``|``)."""
    words = set(folded(answer, language))
    return any(words.issuperset(folded(one, language)) for one in expected.split("|"))


def shared_words(a: str, b: str, language: str) -> float:
    """0 to 1: the topic words that two texts share, out of those that either has (F1)."""
    one, other = Counter(content_words(a, language)), Counter(content_words(b, language))
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else float(normal(a) == normal(b))


def numbers_differ(a: str, b: str, language: str) -> bool:
    """Whether each of two answers states a number that the other does not, or one has lost all of
    the other's: "ninety rupees" and "on your bill"."""
    if _fractions(a) != _fractions(b):
        return True
    one, other = numbers(a, language), numbers(b, language)
    lost = _lacking(one, other), _lacking(other, one)
    return all(lost) or (any(lost) and not (one and other))


def _fractions(text: str) -> frozenset[str]:
    return _FRACTIONS.intersection(normal(normalize("NFC", text)))


def _lacking(stated: Sequence[str], elsewhere: Sequence[str]) -> bool:
    """Whether a number stands here that does not stand there. Digits are looked for in a row: what is
    one number here ("1800425") may be two there. A 1 is as often a word ("one of us")."""
    row = "".join(elsewhere)
    return any(number not in row for number in stated if number != "1")


def sources_differ(a: Sequence[Passage], b: Sequence[Passage]) -> bool:
    """Whether both answers rest on passages, and none of those is the same."""
    one, other = _cited(a), _cited(b)
    return bool(one and other) and not one & other


def _cited(passages: Sequence[Passage]) -> set[tuple[str, str]]:
    # not by id: a document that is read again has new ones
    return {(passage.document, passage.heading) for passage in passages if passage.cited}


def has_changed(before: Said, now: Said, similarity: float | None, language: str) -> bool:
    """Whether a person should look. ``similarity``: cosine, None where there is none."""
    if folded(before.text, language) == folded(now.text, language):
        return False
    if before.source == now.source == "extractive":
        return True
    if numbers_differ(before.text, now.text, language):
        return True
    if sources_differ(before.passages, now.passages):
        return True
    shared = shared_words(before.text, now.text, language)
    return max(shared, -1.0 if similarity is None else similarity) < SAME


async def cosine(embedder: Embedder, a: str, b: str) -> float | None:
    """How near two answers are in meaning, -1 to 1; None when no server gives vectors."""
    if not (a and b):
        return None
    try:
        one, other = await embedder.embed([a, b])
    except EngineError:
        return None
    return float(np.dot(one, other))
