"""One version of a knowledge base held in the worker: what a call falls back on."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.events import Passage
from appliance.knowledge.bm25 import Bm25
from appliance.knowledge.scoring import CONTEXT_FLOOR, score
from appliance.store.passages import StoredPassage


class Memory:
    """All passages of one version, with an index over their words; read-only once built."""

    def __init__(self, passages: Sequence[StoredPassage]) -> None:
        self._passages = list(passages)
        self._index = Bm25([(p.heading, p.text) for p in passages])

    def texts(self) -> list[str]:
        """Headings and texts in their order: the words that callers and answers use."""
        found: dict[str, None] = {}
        for passage in self._passages:
            for text in (*passage.heading.split(" > "), passage.text):
                if text:
                    found[text] = None
        return list(found)

    def coverage(self, question: str, passage: StoredPassage) -> float:
        """Share (0-1) of the question's words, by weight, that the passage holds."""
        return self._index.coverage(question, f"{passage.heading} {passage.text}")

    def passage(self, question: str, stored: StoredPassage, similarity: float | None) -> Passage:
        """``stored`` as a search returns it, with its score."""
        value = score(similarity, self.coverage(question, stored))
        score_now = round(value, 4)
        return Passage(
            stored.id, stored.document, stored.heading, stored.text, score_now, stored.page
        )

    def search(self, question: str, limit: int) -> list[Passage]:
        """The best passages by their words alone, best first."""
        hits = self._index.search(question, limit)
        found = [self.passage(question, self._passages[number], None) for number, _ in hits]
        return best_first(found)


def best_first(passages: Sequence[Passage]) -> list[Passage]:
    """Those above the context floor, best score first; equals keep their order."""
    worth = [passage for passage in passages if passage.score >= CONTEXT_FLOOR]
    return sorted(worth, key=lambda passage: -passage.score)
