"""What a worker holds of a version: its words weighed, its passages found, its copy on disk."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.base import Kind
from appliance.errors import EngineError
from appliance.knowledge import library
from appliance.knowledge.copies import (
    KEPT_VERSIONS,
    Parts,
    copy_file,
    map_copy,
    pack,
    unpack,
    write_copy,
)
from appliance.knowledge.library import Library
from appliance.knowledge.memory import Memory
from appliance.knowledge.questions import MOST_KEPT, QuestionVectors
from appliance.knowledge.scoring import score
from appliance.knowledge.wordindex import HEADING_WEIGHT, K1, B, WordIndex
from appliance.store.passages import StoredPassage, stamp_of
from appliance.store.staging import NewPassage
from tests.versions_kit import add_version

WORD = st.sampled_from("late fee router plan बिल fiber".split())
DOCUMENTS = st.lists(
    st.tuples(st.lists(WORD, max_size=3), st.lists(WORD, max_size=8)), min_size=1, max_size=12
)


def stored(number: int, text: str, **more: object) -> StoredPassage:
    return StoredPassage(str(number), "d", "", text, "en", **more)  # type: ignore[arg-type]


@given(DOCUMENTS, st.lists(WORD, max_size=4))
def test_the_index_weighs_as_bm25_does(
    documents: list[tuple[list[str], list[str]]], question: list[str]
) -> None:
    counts = [Counter(h * HEADING_WEIGHT) + Counter(t) for h, t in documents]
    mean = sum(c.total() for c in counts) / len(counts) or 1.0
    expected = {}
    for number, count in enumerate(counts):
        weight = 0.0
        for word in set(question):
            held = sum(word in c for c in counts)
            idf = math.log(1 + (len(counts) - held + 0.5) / (held + 0.5))
            length = count.total() / mean
            often = count[word]
            weight += idf * often * (K1 + 1) / (often + K1 * (1 - B + B * length)) if often else 0
        if weight:
            expected[number] = weight
    index = WordIndex.of(documents)
    found = dict(index.search(question, len(documents)))
    assert found == pytest.approx(expected, rel=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert index.held_by("zebra") == 0 and index.search(["zebra"], 3) == []


@given(
    st.dictionaries(
        st.text(max_size=8), st.lists(st.integers(-(2**40), 2**40), max_size=9), max_size=4
    )
)
def test_a_copy_is_what_was_packed(arrays: dict[str, list[int]]) -> None:
    parts = Parts({"a": [1, "ब"]}, {name: np.array(v, np.int64) for name, v in arrays.items()})
    again = unpack(pack(parts))
    assert again.about == parts.about
    assert {name: array.tolist() for name, array in again.arrays.items()} == arrays


@given(st.binary(max_size=200))
def test_what_is_no_copy_is_refused(data: bytes) -> None:
    for raw in (data, b"IVRCOPY1" + data):
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            unpack(raw)


def test_damaged_and_cut_off_copies_are_none(tmp_path: Path) -> None:
    data = pack(Memory([stored(1, "late fee")]).parts)
    file = copy_file(tmp_path, "base", 1)
    assert map_copy(file) is None
    for damaged in (b"", data[:40], data[:-8], b"IVRCOPY1" + b"\xff" * 64):
        assert write_copy(file, damaged)
        assert map_copy(file) is None
    assert write_copy(file, data)
    assert map_copy(file) is not None


def test_only_the_newest_copies_of_a_base_are_kept(tmp_path: Path) -> None:
    for version in range(1, KEPT_VERSIONS + 4):
        write_copy(copy_file(tmp_path, "one", version), b"x")
    write_copy(copy_file(tmp_path, "two", 1), b"x")
    assert not copy_file(tmp_path, "one", 3).exists() and copy_file(tmp_path, "two", 1).exists()
    assert copy_file(tmp_path, "one", 4).exists()
    assert len(list(tmp_path.iterdir())) == KEPT_VERSIONS + 1


def test_memory_keeps_to_tags_and_languages() -> None:
    memory = Memory(
        [
            stored(1, "late fee", tags=("shop",)),
            stored(2, "late fee", tags=("home", "shop")),
            StoredPassage("3", "d", "", "late fee बिल", "hi-IN"),
        ]
    )

    def ids(tags: Sequence[str] = (), languages: Sequence[str] = ()) -> set[str]:
        return {hit.id for hit in memory.search("late fee", 9, tags, languages)}

    assert ids() == {"1", "2", "3"}
    assert ids(["home"]) == {"2"} and ids(["shop", "x"]) == {"1", "2"} and ids(["x"]) == set()
    assert ids(languages=["hi"]) == {"3"} and ids(["home"], ["hi"]) == set()


def test_texts_for_the_recogniser_are_bounded_and_spread() -> None:
    memory = Memory(stored(n, f"passage number {n} of many") for n in range(2000))
    few = memory.texts(most_chars=5000)
    assert 20 < len(few) and sum(map(len, few)) < 5100
    assert any("1900" < text.split()[2] <= "1999" for text in few)  # from its end as well
    assert len(memory.texts()) == 2000


def test_a_memory_without_passages_finds_nothing() -> None:
    memory = Memory([])
    assert memory.search("late fee", 4) == [] and memory.texts() == [] and len(memory) == 0


@pytest.mark.server
async def test_a_large_version_is_copied_in_a_process_of_its_own(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "APART_FROM", 2)
    vector = [1.0] + [0.0] * 383
    rows = [NewPassage("d", "Fees", n, f"item{n} fee", vector, tags=("t",)) for n in range(5)]
    await add_version(engine, "base", "en", rows)
    shelf = Library(engine, tmp_path)
    assert await shelf.load("base", 1)
    memory = shelf.get("base", 1)
    assert memory and memory.stamp == (await stamp_of(engine, "base", 1))[1]
    assert [hit.text for hit in memory.search("item3", 1, ["t"])] == ["item3 fee"]
    assert copy_file(tmp_path, "base", 1).exists()


@pytest.mark.server
async def test_a_copy_of_other_content_is_not_believed(engine: AsyncEngine, tmp_path: Path) -> None:
    """A database set up anew has a version 1 as well."""
    file = copy_file(tmp_path, "base", 1)
    write_copy(file, pack(Memory([stored(1, "an old late fee")], "another stamp").parts))
    vector = [1.0] + [0.0] * 383
    await add_version(engine, "base", "en", [NewPassage("d", "", 0, "a new late fee", vector)])
    shelf = Library(engine, tmp_path)
    assert await shelf.load("base", 1)
    memory = shelf.get("base", 1)
    assert memory and memory.texts() == ["a new late fee"]
    parts = map_copy(file)
    assert parts and Memory.of(parts).texts() == ["a new late fee"]


class Counting:
    """An embedder that counts what it is asked."""

    def __init__(self) -> None:
        self.model, self.asked, self.fails = "m@1", 0, False

    async def embed(self, texts: Sequence[str], kind: Kind = "") -> list[list[float]]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise EngineError("embed", "down")
        return [[float(len(text)), 0.0] for text in texts]


async def test_a_question_is_embedded_once() -> None:
    embedder = Counting()
    vectors = QuestionVectors(embedder)
    both = await asyncio.gather(vectors.of("late fee"), vectors.of("late fee"))
    assert embedder.asked == 1 and (both[0] == both[1]).all()
    assert (await vectors.of("late fee"))[0] == 8 and embedder.asked == 1
    embedder.model = "m@2"  # another model's vectors are others
    await vectors.of("late fee")
    assert embedder.asked == 2
    for number in range(MOST_KEPT + 1):
        await vectors.of(f"question {number}")
    await vectors.of("late fee")
    assert embedder.asked == 2 + MOST_KEPT + 1 + 1
    await vectors.close()


async def test_a_failure_is_not_kept_and_giving_up_is_no_failure() -> None:
    embedder = Counting()
    vectors = QuestionVectors(embedder)
    embedder.fails = True
    for _ in range(2):
        with pytest.raises(EngineError):
            await vectors.of("late fee")
    assert embedder.asked == 2
    embedder.fails = False
    impatient = asyncio.create_task(vectors.of("late fee"))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0.01)
    await vectors.of("late fee")
    assert embedder.asked == 3
    await vectors.close()


def test_cosines_of_a_model_with_a_narrow_range_are_spread() -> None:
    assert score(0.5, 0.0) == 0.5 == score(0.5, 0.0, "all-minilm-l6-v2@abc")
    assert score(0.7, 0.0, "intfloat/multilingual-e5-small@abc") == pytest.approx(0)
    assert score(0.91, 0.0, "multilingual-e5-small@abc+int8") == pytest.approx(0.7)
    assert score(None, 0.4, "multilingual-e5-small") == 0.4 and score(0.95, 1.0) == 1.0
