"""How often the right passage is among the first five: by meaning, by words, by both.

    python -m bench.recall [--passages 100000] [--questions 1000]

Debian's packages are described in one line and at length. Each line is a question; right is any
passage that the same package's long description was cut into (its one line is cut out of it where
it stands in there). Starts its own embedded Postgres; the first run embeds the passages, which
takes a quarter of an hour, and keeps the vectors in bench/out/debian. Also compares the HNSW index
with the exact order. Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from appliance.knowledge.memory import Memory
from appliance.knowledge.words import content_words
from appliance.store.database import open_engine
from appliance.store.finding import CANDIDATES, Found, Plan, Weights, find, plan_of
from appliance.store.lanes import Driver, Lanes
from appliance.store.passages import Scope, read
from bench.debian import FOLDER, Package, collection, vectors
from bench.large import BASE, postgres, write_large

FIRST = 5
SCOPE = Scope(BASE, 1)

Order = dict[str, int]
"""Id of a stored passage → its number in the collection."""


class Asking:
    """Searches as a worker makes them, by either half or both."""

    def __init__(self, lanes: Lanes, plan: Plan, memory: Memory) -> None:
        self._lanes, self._plan, self._memory = lanes, plan, memory

    async def find(
        self, words: Sequence[str], vector: NDArray[np.float32] | None, limit: int = FIRST
    ) -> list[Found]:
        """What is found, best first."""
        weights = self._memory.weights(words) if words else Weights()
        given = None if vector is None else vector.tolist()

        async def work(connection: Driver) -> list[Found]:
            return await find(connection, self._plan, SCOPE, words, weights, given, limit)

        return await self._lanes.run(work)


def _share(asked: Sequence[Package], found: Sequence[list[int]]) -> float:
    """Of the questions with a right passage among those found."""
    hits = [bool(set(q.passages) & set(numbers)) for q, numbers in zip(asked, found, strict=True)]
    return round(float(np.mean(hits)), 4)


async def _recall(
    asking: Asking, order: Order, asked: Sequence[Package], questions: NDArray[np.float32]
) -> dict[str, float]:
    found: dict[str, list[list[int]]] = {"dense": [], "sparse": [], "hybrid": []}
    for package, vector in zip(asked, questions, strict=True):
        words = content_words(package.short)
        for name, results in (
            ("dense", await asking.find((), vector)),
            ("sparse", await asking.find(words, None)),
            ("hybrid", await asking.find(words, vector)),
        ):
            found[name].append([order[hit.passage.id] for hit in results])
    return {name: _share(asked, lists) for name, lists in found.items()}


async def _approximate(
    asking: Asking, order: Order, questions: NDArray[np.float32], passages: NDArray[np.float32]
) -> dict[str, float]:
    """Share of the exactly nearest that the index leads to, and how long both take."""
    shares, begin = [], perf_counter()
    found = [await asking.find((), vector, CANDIDATES) for vector in questions]
    took = (perf_counter() - begin) / len(questions) * 1000
    for vector, hits in zip(questions, found, strict=True):
        nearest = np.argpartition(-(passages @ vector), CANDIDATES)[:CANDIDATES]
        shares.append(len({order[hit.passage.id] for hit in hits} & set(nearest.tolist())))
    return {"of_nearest_20": round(float(np.mean(shares)) / CANDIDATES, 4), "ms": round(took, 2)}


async def measure(url: str, folder: Path, most: int, count: int) -> dict[str, object]:
    """Store, ask, count."""
    texts = collection(most)
    asked = texts.questions(count)
    passages = vectors(texts.texts, FOLDER, "passages")
    questions = vectors([package.short for package in asked], FOLDER, "questions")
    engine = open_engine(url)
    lanes = Lanes(engine.url)
    written = await write_large(engine, texts, passages)
    stored = await read(engine, BASE, 1)
    number = {text: place for place, text in enumerate(texts.texts)}
    order = {passage.id: number[passage.text] for passage in stored}
    plan = await lanes.run(lambda connection: plan_of(connection, SCOPE))
    assert plan is not None
    asking = Asking(lanes, plan, Memory(stored))
    recall = await _recall(asking, order, asked, questions)
    nearest = await _approximate(asking, order, questions, passages)
    await lanes.close()
    await engine.dispose()
    return {
        "passages": len(stored),
        "mean_chars": round(float(np.mean([len(text) for text in texts.texts]))),
        "questions": len(asked),
        "write_s": written.write_s,
        "index_s": written.index_s,
        f"recall_at_{FIRST}": recall,
        "approximate": nearest,
    }


def main() -> None:
    """Start the server, measure, print, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=100_000, help="Of the base, at most.")
    parser.add_argument("--questions", type=int, default=1000, help="Short descriptions asked.")
    options = parser.parse_args()
    with postgres() as (url, folder):
        found = asyncio.run(measure(url, folder, options.passages, options.questions))
    for name, value in found.items():
        print(f"{name:>16}  {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
