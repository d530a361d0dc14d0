"""Markdown to passages, and passages to a new version."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import EngineError, UserError
from appliance.knowledge import ingest
from appliance.knowledge.markdown import LONGEST_WORDS, Draft, passages
from appliance.knowledge.sentences import sentences
from appliance.store.database import open_engine
from appliance.store.passages import read, version_of


def test_a_question_and_its_answer_are_one_passage() -> None:
    found = passages(
        "# Title\n\n## Bills\n\n### How do I pay?\nBy card.\n\nOr *cash*.\n\n- a\n- b\n"
    )
    assert found == [Draft("How do I pay?", "By card. Or cash. a. b.")]


def test_each_paragraph_has_its_path_of_headings() -> None:
    found = passages(
        "# Title\nIntro.\n## Bills\nOne\ntwo.\n\nThree.\n### Cash\nFour.\n## End\nFive."
    )
    assert found == [
        Draft("Title", "Intro."),
        Draft("Bills", "One two."),
        Draft("Bills", "Three."),
        Draft("Bills > Cash", "Four."),
        Draft("End", "Five."),
    ]


def test_underlined_headings() -> None:
    found = passages("Title\n=====\n\nFees\n----\nTen.\n\n---\n\nTwenty.")
    assert found == [Draft("Fees", "Ten."), Draft("Fees", "Twenty.")]


def test_a_table_is_read_row_by_row() -> None:
    found = passages("# T\n## Plans\n| Plan | Price |\n|:--|--:|\n| Home | Rs. 499 |\n| Pro | |\n")
    assert found == [
        Draft("Plans", "Plan: Home. Price: Rs. 499."),
        Draft("Plans", "Plan: Pro."),
    ]


def test_marks_links_code_and_comments_are_not_spoken() -> None:
    found = passages(
        "<!-- no -->See [the **page**](http://x/y_z) and `snake_case`.\n```\ncode\n\n# no\n```\n---\n"
    )
    assert found == [Draft("", "See the page and snake_case.")]


def test_long_text_is_split_at_sentence_ends() -> None:
    text = " ".join(f"This is sentence number {n} of the long text." for n in range(40))
    found = passages(f"# T\n\n{text}\n")
    assert len(found) == 4
    assert " ".join(draft.text for draft in found) == text
    assert all(len(draft.text.split()) <= LONGEST_WORDS for draft in found)
    assert all(draft.text.endswith(".") for draft in found)


@given(st.lists(st.sampled_from(list("#|-`*[]()<>.?! \n\nab~_")), max_size=80).map("".join))
def test_any_text_is_read(text: str) -> None:
    for draft in passages(text):
        assert draft.text.strip()
        assert len(draft.text.split()) <= LONGEST_WORDS or len(sentences(draft.text)) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\xff\xfe\xff", "not UTF-8"), (b"", "no text"), (b"# Only a title\n", "no text")],
)
async def test_bad_files_get_one_clear_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "bad.md"
    file.write_bytes(content)
    engine = open_engine("postgresql://nobody@127.0.0.1:9/none")  # never reached
    with pytest.raises(UserError, match=says):
        await ingest.load(engine, Letters(), "kb", [file])
    with pytest.raises(UserError, match="cannot be read"):
        await ingest.load(engine, Letters(), "kb", [tmp_path / "missing.md"])
    await engine.dispose()


class Letters:
    """A tiny real embedder: unit vectors of letter counts. ``down``: refuses after some texts."""

    def __init__(self, down_after: int = 10_000) -> None:
        self._left = down_after

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self._left -= len(texts)
        if self._left < 0:
            raise EngineError("embed", "down")
        rows = []
        for text in texts:
            counts = [1.0] + [float(text.lower().count(chr(97 + n))) for n in range(26)]
            norm = sum(c * c for c in counts) ** 0.5
            rows.append([c / norm for c in counts] + [0.0] * (384 - 27))
        return rows


@pytest.mark.server
async def test_versions_are_kept_and_whole(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "kb.md"
    engine = open_engine(database_url)
    file.write_text("# T\n## Fees\nThe fee is ten.\n\nCash only.")
    first = await ingest.load(engine, Letters(), "kb", [file])
    file.write_text("# T\n## Fees\nThe fee is twenty.")
    second = await ingest.load(engine, Letters(), "kb", [file])
    assert (first.version, first.passages, second.version, second.passages) == (1, 2, 2, 1)
    assert [p.text for p in await read(engine, "kb", 1)] == ["The fee is ten.", "Cash only."]
    assert [p.text for p in await read(engine, "kb", 2)] == ["The fee is twenty."]
    file.write_text("# T\n\n" + "\n\n".join(f"Paragraph {n}." for n in range(40)))
    with pytest.raises(EngineError):
        await ingest.load(engine, Letters(down_after=50), "kb", [file])
    assert await version_of(engine, "kb") == 2
    assert await version_of(engine, "nothing") == 0
    await engine.dispose()


@pytest.mark.server
async def test_two_loads_at_once_make_two_versions(tmp_path: Path, database_url: str) -> None:
    files = [tmp_path / "a.md", tmp_path / "b.md"]
    for file in files:
        file.write_text(f"# T\nText of {file.stem}.")
    engine = open_engine(database_url)
    loads = (ingest.load(engine, Letters(), "kb", [file]) for file in files)
    done = await asyncio.gather(*loads)
    assert {loaded.version for loaded in done} == {1, 2}
    await engine.dispose()
