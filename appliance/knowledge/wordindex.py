"""BM25 over the passages of one version, as flat arrays: 100 000 passages in 20 MB, no object each.

Arrays can lie in a file that several processes map. Words are kept as 64-bit hashes: two words of a
million share one by a chance of 1 in 40 million, and would then be taken for each other.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
B = 0.75
"""Robertson's usual constants: how soon repeats stop counting, how much length does."""
HEADING_WEIGHT = 2
"""A word of the heading counts as often."""
MOST_WORDS = 12
"""Of a question, the rarest: bounds a search at 100 000 passages to about 1 ms."""


def hash_of(word: str) -> int:
    """A 64-bit hash, the same in every process."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class WordIndex:
    """Which passages hold a word; read-only. Passages are numbers from 0."""

    words: NDArray[np.uint64]
    """Hashes, ascending."""
    begins: NDArray[np.int64]
    """[words + 1]: the postings of word i are those from begins[i] until begins[i + 1]."""
    holders: NDArray[np.int32]
    """Of all postings: the passage."""
    weights: NDArray[np.float32]
    """Of all postings: the word's weight there, without its idf."""
    passages: int

    @classmethod
    def of(cls, passages: Iterable[tuple[Sequence[str], Sequence[str]]]) -> WordIndex:
        """An index of passages given as (words of the heading, words of the text)."""
        numbers: dict[str, int] = {}
        words, holders, counts, lengths = _Ints(), _Ints(), _Ints(), _Ints()
        for passage, (heading, text) in enumerate(passages):
            found = Counter(text)
            for word in heading:
                found[word] += HEADING_WEIGHT
            words.add(numbers.setdefault(word, len(numbers)) for word in found)
            holders.add([passage] * len(found))
            counts.add(found.values())
            lengths.add([found.total()])
        hashes = np.fromiter(map(hash_of, numbers), np.uint64, len(numbers))
        return _arranged(hashes, words.all(), holders.all(), counts.all(), lengths.all())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> WordIndex:
        """The index that :meth:`arrays` took apart. Raises KeyError."""
        names = ("words", "begins", "holders", "weights")
        words, begins, holders, weights = (arrays[name] for name in names)
        return cls(words, begins, holders, weights, int(arrays["passages"][0]))  # type: ignore[arg-type]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All of it, to be kept."""
        return {
            "words": self.words,
            "begins": self.begins,
            "holders": self.holders,
            "weights": self.weights,
            "passages": np.array([self.passages], np.int64),
        }

    @property
    def mean_words(self) -> float:
        """How many different words a passage has."""
        return len(self.holders) / max(1, self.passages)

    def held_by(self, word: str) -> int:
        """How many passages hold ``word`` (a stem)."""
        begin, end = self._postings(word)
        return end - begin

    def idf(self, word: str) -> float:
        """How much a stem tells: about 0 when it is everywhere, most when it is nowhere."""
        return idf(self.held_by(word), self.passages)

    def search(
        self, words: Iterable[str], limit: int, allowed: NDArray[np.bool_] | None = None
    ) -> list[tuple[int, float]]:
        """The best passages for the words of a question: (number, score > 0), best first.

        ``allowed``: [passages], which of them may be found; None: all.
        """
        asked = sorted({word: self.held_by(word) for word in words}.items(), key=lambda i: i[1])
        spans = [self._postings(word) for word, held in asked if held][:MOST_WORDS]
        if not spans:
            return []
        holders = np.concatenate([self.holders[begin:end] for begin, end in spans])
        weights = np.concatenate(
            [self.weights[begin:end] * idf(end - begin, self.passages) for begin, end in spans]
        )
        scores = np.bincount(holders, weights, self.passages)
        if allowed is not None:
            scores *= allowed
        best = np.argpartition(-scores, min(limit, self.passages) - 1)[:limit]
        best = best[np.lexsort((best, -scores[best]))]
        return [(int(number), float(scores[number])) for number in best if scores[number] > 0]

    def _postings(self, word: str) -> tuple[int, int]:
        key = np.uint64(hash_of(word))
        place = int(np.searchsorted(self.words, key))
        if place == len(self.words) or self.words[place] != key:
            return 0, 0
        return int(self.begins[place]), int(self.begins[place + 1])


def idf(holders: int, passages: int) -> float:
    """Robertson and Spärck Jones's weight of a word that ``holders`` of ``passages`` hold."""
    return math.log(1 + (passages - holders + 0.5) / (holders + 0.5))


class _Ints:
    """Many small numbers on their way into one array, without an object each for long."""

    def __init__(self) -> None:
        self._done: list[NDArray[np.int32]] = []
        self._next: list[int] = []

    def add(self, numbers: Iterable[int]) -> None:
        self._next.extend(numbers)
        if len(self._next) > 1 << 16:
            self._flush()

    def all(self) -> NDArray[np.int32]:
        self._flush()
        return np.concatenate(self._done)

    def _flush(self) -> None:
        self._done.append(np.array(self._next, np.int32))
        self._next = []


def _arranged(
    hashes: NDArray[np.uint64],
    words: NDArray[np.int32],
    holders: NDArray[np.int32],
    counts: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> WordIndex:
    by_hash = np.argsort(hashes)
    place = np.empty(len(hashes), np.int32)
    place[by_hash] = np.arange(len(hashes), dtype=np.int32)
    order = np.argsort(place[words], kind="stable")
    begins = np.zeros(len(hashes) + 1, np.int64)
    np.cumsum(np.bincount(words, minlength=len(hashes))[by_hash], out=begins[1:])
    length = lengths / (lengths.mean() or 1.0) if len(lengths) else lengths
    often = counts.astype(np.float64)
    weights = often * (K1 + 1) / (often + K1 * (1 - B + B * length[holders]))
    return WordIndex(
        hashes[by_hash],
        begins,
        holders[order],
        weights[order].astype(np.float32),
        len(lengths),
    )
