"""A trigram language model with Witten-Bell smoothing, written as an ARPA file.

Witten and Bell (1991), interpolated: a history's unseen share grows with the number of different
words that followed it. Against the fixed discount of pocketsphinx's own ``ArpaBoLM`` this takes
about a seventh of the word errors away on questions in other words than the knowledge's (three
flite voices: 15.0 to 13.0 %), and changes nothing on the knowledge's own (1.3 %).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

START, END = "<s>", "</s>"
_NEVER = -99.0
"""log10 probability of ``<s>``, which is only ever a history."""

SMOOTHING = 6.0
"""Different followers count this many times: our lines are templates, and callers say more."""

Gram = tuple[str, ...]


class Trigrams:
    """Counts of weighted lines, and the probabilities that follow from them."""

    def __init__(self, lines: Iterable[tuple[Iterable[str], int]]) -> None:
        """``lines`` are (words, weight): of weight 20, as if the line stood there 20 times."""
        self._counts: tuple[Counter[Gram], ...] = (Counter(), Counter(), Counter())
        for line, weight in lines:
            words = (START, *line, END)
            for order, counts in enumerate(self._counts, 1):
                for at in range(len(words) - order + 1):
                    counts[words[at : at + order]] += weight
        del self._counts[0][START,]

    @property
    def words(self) -> set[str]:
        """The vocabulary, without the sentence marks."""
        return {word for (word,) in self._counts[0]} - {END}

    def write(self, path: Path) -> None:
        """Write the model to ``path`` in ARPA format."""
        unseen = self._unseen()
        sizes = [len(counts) for counts in self._counts]
        sizes[0] += 1  # <s>
        with path.open("w", encoding="utf-8") as file:
            file.write("\\data\\\n")
            file.writelines(f"ngram {order}={size}\n" for order, size in enumerate(sizes, 1))
            shorter: dict[Gram, float] = {(): 1.0 / len(self._counts[0])}
            for order, counts in enumerate(self._counts, 1):
                shorter = _probabilities(counts, unseen, shorter)
                file.write(f"\n\\{order}-grams:\n")
                if order == 1:
                    file.write(_entry((START,), _NEVER, unseen))
                file.writelines(_entry(gram, math.log10(p), unseen) for gram, p in shorter.items())
            file.write("\n\\end\\\n")

    def _unseen(self) -> dict[Gram, float]:
        """History -> the share of its probability that is left to words not seen after it."""
        kinds, totals = Counter[Gram](), Counter[Gram]()
        for counts in self._counts:
            for gram, count in counts.items():
                kinds[gram[:-1]] += 1
                totals[gram[:-1]] += count
        return {h: n * SMOOTHING / (totals[h] + n * SMOOTHING) for h, n in kinds.items()}


def _probabilities(
    counts: Counter[Gram], unseen: dict[Gram, float], shorter: dict[Gram, float]
) -> dict[Gram, float]:
    """Interpolated probabilities of one order from those one word shorter."""
    totals = Counter[Gram]()
    for gram, count in counts.items():
        totals[gram[:-1]] += count
    found: dict[Gram, float] = {}
    for gram in sorted(counts):
        history = gram[:-1]
        seen = counts[gram] / totals[history] * (1 - unseen[history])
        found[gram] = seen + unseen[history] * shorter[gram[1:]]
    return found


def _entry(gram: Gram, log_p: float, unseen: dict[Gram, float]) -> str:
    backoff = f" {math.log10(unseen[gram]):.4f}" if gram in unseen else ""
    return f"{log_p:.4f} {' '.join(gram)}{backoff}\n"
