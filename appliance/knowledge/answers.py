"""The extractive answer: what is spoken when there is no language model, or when it fails.

Pure. It says the sentences of one passage, word for word, beginning with the one that answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.events import Passage
from appliance.knowledge.scoring import ANSWER_FLOOR
from appliance.knowledge.wordindex import idf
from appliance.knowledge.words import content_words
from appliance.speech.sentences import sentences

LONGEST_WORDS = 35
"""About 12 s of speech; a single sentence may be longer, for it is never cut."""
FIRST_SENTENCE = 0.3
"""Head start of a passage's first sentence, in shares of the question: a later one is begun with
only when it holds more of what was asked."""
HEADING_WEIGHT = 0.25
"""What a heading that asks the caller's question adds to its passage's score."""


@dataclass(frozen=True, slots=True)
class _Question:
    """The topic of a question: those of its stems that the passages know, with their weights."""

    weights: dict[str, float]

    def share(self, text: str) -> float:
        """How much (0-1) of the question's weight stands in ``text``."""
        total = sum(self.weights.values())
        held = set(content_words(text))
        return sum(w for word, w in self.weights.items() if word in held) / total if total else 0.0


def extract(question: str, passages: Sequence[Passage]) -> str | None:
    """The answer to ``question`` out of ``passages`` (best first, as a search returns them).

    Whole sentences, in order, word for word from one passage, 35 words at most unless the first
    sentence alone is longer. None when no passage is sure enough to answer.
    """
    sure = [p for p in passages if p.score >= ANSWER_FLOOR and p.text.strip()]
    if not sure:
        return None
    held_by = Counter(word for passage in passages for word in _words(passage))
    words = set(content_words(question)) & held_by.keys()
    asked = _Question({word: idf(held_by[word], len(passages)) for word in words})
    best = max(sure, key=lambda p: p.score + HEADING_WEIGHT * asked.share(p.heading))
    return _spoken(asked, best)


def _words(passage: Passage) -> set[str]:
    return set(content_words(f"{passage.heading} {passage.text}"))


def _spoken(asked: _Question, passage: Passage) -> str:
    found = sentences(passage.text)
    start = _first(asked, passage.heading, found)
    words = 0
    last = start
    for number in range(start, len(found)):
        words += len(found[number].split())
        if number > start and words > LONGEST_WORDS:
            break
        last = number
    begin = _offset(passage.text, found, start)
    end = _offset(passage.text, found, last) + len(found[last])
    return passage.text[begin:end]


def _first(asked: _Question, heading: str, found: Sequence[str]) -> int:
    """Where to begin. Words of the heading count for the first sentence, which answers it; and
    what answers a heading's question is said whole when that is short enough."""
    if heading.endswith("?") and sum(len(s.split()) for s in found) <= LONGEST_WORDS:
        return 0
    shares = [asked.share(sentence) for sentence in found]
    shares[0] = asked.share(f"{heading} {found[0]}") + FIRST_SENTENCE
    return shares.index(max(shares))


def _offset(text: str, found: Sequence[str], number: int) -> int:
    """Where sentence ``number`` begins in ``text``; sentences may repeat each other."""
    position = 0
    for sentence in found[:number]:
        position = text.index(sentence, position) + len(sentence)
    return text.index(found[number], position)
