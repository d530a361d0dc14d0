"""What rewriting a follow-up is worth: the right passage first, with it and without.

    python -m bench.followups [-v]

The sample knowledge, the embedded embedder, and a search's score (cosine and shared words).
The dialogues of tests/followups.py: those that the rules were tuned on, and those written after them;
and the 48 questions of tests/sunrise_questions.py, which stand for themselves, each after some other
question. Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.knowledge.rewriting import rewrite
from appliance.knowledge.scoring import score
from appliance.knowledge.words import content_words
from appliance.models.minilm import MiniLm
from tests.drafts_kit import drafts_of
from tests.followups import DIALOGUES, OFFERS, UNSEEN, Turns
from tests.sunrise_questions import CALIBRATION, HELD_OUT

SAMPLE = Path("appliance/samples/sunrise-broadband.md")
LANGUAGE = "en"
TIMES = 5
"""Random earlier turns before each question that stands for itself."""


class Judge:
    """Which passage of the sample is nearest to a question."""

    def __init__(self, model: MiniLm) -> None:
        self._model = model
        found = drafts_of(SAMPLE.read_text("utf-8"))
        self.texts = {passage.heading: passage.text for passage in found}
        self._headings = [passage.heading for passage in found]
        whole = [f"{passage.heading} {passage.text}" for passage in found]
        self._vectors = self._embedded(self._headings) + self._embedded(whole)  # as ingested
        self._vectors /= np.linalg.norm(self._vectors, axis=1, keepdims=True)
        self._known: dict[str, str] = {}
        self._words = [frozenset(content_words(text)) for text in whole]
        many = Counter(word for words in self._words for word in words)
        self._weights = {word: math.log(1 + len(whole) / count) for word, count in many.items()}

    def _embedded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.concatenate([self._model.embed([text]) for text in texts])

    def first(self, question: str) -> str:
        """The heading of the passage that scores highest."""
        if question not in self._known:
            self._known[question] = self._first(question)
        return self._known[question]

    def _first(self, question: str) -> str:
        (vector,) = self._model.embed([question])
        cosines = self._vectors @ vector
        asked = set(content_words(question))
        scores = [
            score(float(cosine), self._share(asked, words))
            for cosine, words in zip(cosines, self._words, strict=True)
        ]
        return self._headings[int(np.argmax(scores))]

    def _share(self, asked: set[str], words: frozenset[str]) -> float:
        """How much of what is asked a passage holds, by the words' weights."""
        rare = math.log(1 + len(self._words))
        total = sum(self._weights.get(word, rare) for word in asked)
        return sum(self._weights[word] for word in asked & words) / total if total else 0.0


def followed(judge: Judge, dialogues: Sequence[Turns], *, tell: bool) -> dict[str, int]:
    without = with_it = 0
    for turns in dialogues:
        earlier = [(said, judge.texts[wanted.partition("|")[0]]) for said, wanted in turns[:-1]]
        said, wanted = turns[-1]
        question = rewrite(said, earlier, LANGUAGE)
        right = judge.first(question) in wanted.split("|")
        without += judge.first(said) in wanted.split("|")
        with_it += right
        if tell:
            asked = " / ".join(said for said, _ in turns)
            print(f"{'  ' if right else '! '}{asked} -> {question}")
    return {"dialogues": len(dialogues), "without": without, "with": with_it}


def _offered(judge: Judge) -> dict[str, int]:
    without = with_it = 0
    for before, heard, said, wanted in OFFERS:
        without += judge.first(said) == wanted
        with_it += judge.first(rewrite(said, [(before, heard)], LANGUAGE)) == wanted
    return {"dialogues": len(OFFERS), "without": without, "with": with_it}


def _whole(judge: Judge) -> dict[str, int]:
    """Questions that stand for themselves, after a random other one: nothing should be lost."""
    asked = CALIBRATION + HELD_OUT
    chance = random.Random(1)
    alone = after = changed = 0
    for question, wanted, _ in asked:
        for _ in range(TIMES):
            other = chance.choice([one for one in asked if one[1] != wanted])
            rewritten = rewrite(question, [(other[0], judge.texts[other[1]])], LANGUAGE)
            changed += rewritten != question
            alone += judge.first(question) == wanted
            after += judge.first(rewritten) == wanted
    count = len(asked) * TIMES
    return {"dialogues": count, "without": alone, "with": after, "changed": changed}


def measure(cache: Path, *, tell: bool = False) -> dict[str, dict[str, int]]:
    """Right passages first, without rewriting and with it, by kind of dialogue."""
    judge = Judge(MiniLm(cache))
    return {
        "tuned on": followed(judge, DIALOGUES, tell=tell),
        "offers": _offered(judge),
        "unseen": followed(judge, UNSEEN, tell=tell),
        "stands for itself": _whole(judge),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What rewriting a follow-up is worth.")
    parser.add_argument(
        "-v", action="store_true", help="Show every dialogue; ! is a wrong passage."
    )
    tell = parser.parse_args().v
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), tell=tell)
    print(f"{'':20} {'dialogues':>9} {'without':>8} {'with':>5}")
    for name, row in figures.items():
        print(f"{name:20} {row['dialogues']:>9} {row['without']:>8} {row['with']:>5}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
