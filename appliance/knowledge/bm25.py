"""BM25 over the texts of one knowledge base, in memory: the search when Postgres is away."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from appliance.knowledge.words import content_words

K1 = 1.2
B = 0.75
"""Robertson's usual constants: how soon repeats stop counting, how much length does."""
HEADING_WEIGHT = 2
"""A word of the heading counts as often, as in the weights of the stored text search."""


class Bm25:
    """An index of (heading, text) pairs, read-only once built."""

    def __init__(self, documents: Sequence[tuple[str, str]]) -> None:
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths = []
        for number, (heading, text) in enumerate(documents):
            words = content_words(heading) * HEADING_WEIGHT + content_words(text)
            self._lengths.append(len(words))
            for word, count in Counter(words).items():
                self._postings[word].append((number, count))
        self._mean_length = sum(self._lengths) / max(1, len(self._lengths)) or 1.0

    def idf(self, word: str) -> float:
        """How much a stem tells: about 0.1 when it is everywhere, most when it is nowhere."""
        holders = len(self._postings.get(word, ()))
        return math.log(1 + (len(self._lengths) - holders + 0.5) / (holders + 0.5))

    def knows(self, word: str) -> bool:
        """Whether the stem stands in any document."""
        return word in self._postings

    def search(self, question: str, limit: int) -> list[tuple[int, float]]:
        """The best documents for ``question``: (index, score > 0), best first."""
        scores: dict[int, float] = defaultdict(float)
        for word in set(content_words(question)):
            idf = self.idf(word)
            for number, count in self._postings.get(word, ()):
                length = self._lengths[number] / self._mean_length
                scores[number] += idf * count * (K1 + 1) / (count + K1 * (1 - B + B * length))
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]

    def coverage(self, question: str, document: str) -> float:
        """Share (0-1) of the question's topic that stands in ``document``, by weight of words."""
        asked = set(content_words(question))
        total = sum(self.idf(word) for word in asked)
        shared = sum(self.idf(word) for word in asked & set(content_words(document)))
        return shared / total if total else 0.0
