"""One version of a knowledge base as a worker holds it: the weights of its words, and what a call
falls back on when Postgres is away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from appliance.events import Passage
from appliance.knowledge.copies import Parts
from appliance.knowledge.scoring import CONTEXT_FLOOR, score
from appliance.knowledge.wordindex import WordIndex, idf
from appliance.knowledge.words import content_words
from appliance.languages import primary
from appliance.store.finding import Weights
from appliance.store.passages import StoredPassage

FORM = 1
"""Counts changes of what :class:`Memory` keeps or of how words are made; other copies are of no use."""
MOST_TEXT_CHARS = 400_000
"""Of what the recogniser learns a base's words from: some 60 000 words."""


class Memory:
    """All passages of one version with an index over their words; read-only once built.

    What it holds are arrays (``parts``), in memory or mapped from a file, and no object a passage:
    100 000 passages of 130 characters are 40 MB, which all workers of a machine share as a file.
    """

    def __init__(self, passages: Iterable[StoredPassage], stamp: str = "") -> None:
        """Build it; blocks some 60 µs a passage. ``stamp``: what tells this content from another."""
        self._read(_parts(passages, stamp))

    @classmethod
    def of(cls, parts: Parts) -> Memory:
        """The memory that ``parts`` were taken from. Raises KeyError, TypeError or ValueError."""
        memory = cls.__new__(cls)
        memory._read(parts)
        return memory

    def _read(self, parts: Parts) -> None:
        if parts.about["form"] != FORM:
            raise ValueError("made by another release")
        self.parts = parts
        self.stamp = str(parts.about["stamp"])
        self._index = WordIndex.from_arrays(parts.arrays)
        self._rows = parts.arrays["rows"].view()
        self._places = parts.arrays["places"]
        self._label = parts.arrays["label"]
        self._labels = [(str(code), frozenset(tags)) for code, tags in parts.about["labels"]]

    def __len__(self) -> int:
        return self._index.passages

    def weights(self, words: Iterable[str]) -> Weights:
        """What the words of a question weigh in a search of the whole version."""
        held_by = {word: self._index.held_by(word) for word in words}
        return Weights(
            held_by,
            {word: idf(held, len(self)) for word, held in held_by.items()},
            self._index.mean_words,
        )

    def idf(self, word: str) -> float:
        """How much a stem tells here."""
        return self._index.idf(word)

    def texts(self, most_chars: int = MOST_TEXT_CHARS) -> list[str]:
        """Headings and texts: the words that callers and answers use. All of a small base, in
        order; of one with more than ``most_chars`` evenly spread passages."""
        found: dict[str, None] = {}
        every = max(1, -(-int(self._places[-1]) // most_chars))
        chars = 0
        for number in range(0, len(self), every):
            passage = self._stored(number)
            for text in (*passage.heading.split(" > "), passage.text):
                if text and text not in found:
                    found[text] = None
                    chars += len(text)
            if chars > most_chars:
                break
        return list(found)

    def scored(
        self,
        question: str,
        found: Iterable[tuple[StoredPassage, float | None]],
        model: str = "",
    ) -> list[Passage]:
        """What was found as a search returns it, with its score; ``found``: passages with their
        cosine to the question by ``model``, None where it is not known."""
        weights = {word: self.idf(word) for word in set(content_words(question))}
        return [
            Passage(p.id, p.document, p.heading, p.text, value, p.page)
            for p, similarity in found
            for value in (round(score(similarity, _coverage(weights, p), model), 4),)
        ]

    def search(
        self,
        question: str,
        limit: int,
        tags: Sequence[str] = (),
        languages: Sequence[str] = (),
    ) -> list[Passage]:
        """The best passages by their words alone, best first; filters as those of a ``Scope``."""
        allowed = self._allowed(tags, languages)
        hits = self._index.search(content_words(question), limit, allowed)
        return best_first(
            self.scored(question, [(self._stored(number), None) for number, _ in hits])
        )

    def _allowed(self, tags: Sequence[str], languages: Sequence[str]) -> NDArray[np.bool_] | None:
        if not tags and not languages:
            return None
        fit = [
            (not languages or code in languages) and (not tags or not own.isdisjoint(tags))
            for code, own in self._labels
        ]
        allowed: NDArray[np.bool_] = np.array(fit, np.bool_)[self._label]
        return allowed

    def _stored(self, number: int) -> StoredPassage:
        begin, end = int(self._places[number]), int(self._places[number + 1])
        row = orjson.loads(self._rows[begin:end].tobytes())
        key, document, heading, text, language, page, tags = row
        return StoredPassage(key, document, heading, text, language, page, tuple(tags))


def _coverage(weights: Mapping[str, float], passage: StoredPassage) -> float:
    """Share (0-1) of a question's words, by weight, that ``passage`` holds."""
    total = sum(weights.values())
    held = set(content_words(f"{passage.heading} {passage.text}"))
    return sum(weights[word] for word in weights.keys() & held) / total if total else 0.0


def _parts(passages: Iterable[StoredPassage], stamp: str) -> Parts:
    rows = bytearray()
    places, label = [0], []
    labels: dict[tuple[str, tuple[str, ...]], int] = {}

    def words() -> Iterator[tuple[list[str], list[str]]]:
        for p in passages:
            rows.extend(
                orjson.dumps([p.id, p.document, p.heading, p.text, p.language, p.page, p.tags])
            )
            places.append(len(rows))
            kind = (primary(p.language), p.tags)
            label.append(labels.setdefault(kind, len(labels)))
            yield content_words(p.heading, p.language), content_words(p.text, p.language)

    arrays = WordIndex.of(words()).arrays()
    arrays["rows"] = np.frombuffer(bytes(rows), np.uint8)
    arrays["places"] = np.array(places, np.int64)
    arrays["label"] = np.array(label, np.int32)
    return Parts({"form": FORM, "stamp": stamp, "labels": list(labels)}, arrays)


def best_first(passages: Sequence[Passage], *, keep_order: bool = False) -> list[Passage]:
    """Those above the context floor, best score first; equals keep their order, or all do."""
    worth = [passage for passage in passages if passage.score >= CONTEXT_FLOOR]
    return worth if keep_order else sorted(worth, key=lambda passage: -passage.score)
