"""Markdown to passages, and passages to a new version."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import EngineError, UserError
from appliance.knowledge import ingest
from appliance.knowledge.cutting import LONGEST_WORDS, Draft
from appliance.speech.sentences import sentences
from appliance.store.database import open_engine
from appliance.store.passages import read, version_of
from appliance.store.versions import list_versions
from tests.drafts_kit import drafts_of
from tests.letters import Letters


def test_a_question_and_its_answer_are_one_passage() -> None:
    found = drafts_of(
        "# Title\n\n## Bills\n\n### How do I pay?\nBy card.\n\nOr *cash*.\n\n- a\n- b\n"
    )
    assert found == [Draft("How do I pay?", "By card. Or cash. a. b.")]


def test_each_paragraph_has_its_path_of_headings() -> None:
    found = drafts_of(
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
    found = drafts_of("Title\n=====\n\nFees\n----\nTen.\n\n---\n\nTwenty.")
    assert found == [Draft("Fees", "Ten."), Draft("Fees", "Twenty.")]


def test_a_table_is_read_row_by_row() -> None:
    found = drafts_of("# T\n## Plans\n| Plan | Price |\n|:--|--:|\n| Home | Rs. 499 |\n| Pro | |\n")
    assert found == [
        Draft("Plans", "Plan: Home. Price: Rs. 499."),
        Draft("Plans", "Plan: Pro."),
    ]


def test_marks_links_code_and_comments_are_not_spoken() -> None:
    found = drafts_of(
        "<!-- no -->See [the **page**](http://x/y_z) and `snake_case`.\n```\ncode\n\n# no\n```\n---\n"
    )
    assert found == [Draft("", "See the page and snake_case.")]


def test_long_text_is_split_at_sentence_ends() -> None:
    text = " ".join(f"This is sentence number {n} of the long text." for n in range(40))
    found = drafts_of(f"# T\n\n{text}\n")
    assert len(found) == 4
    assert " ".join(draft.text for draft in found) == text
    assert all(len(draft.text.split()) <= LONGEST_WORDS for draft in found)
    assert all(draft.text.endswith(".") for draft in found)


@given(st.lists(st.sampled_from(list("#|-`*[]()<>.?! \n\nab~_")), max_size=80).map("".join))
def test_any_text_is_read(text: str) -> None:
    for draft in drafts_of(text):
        assert draft.text.strip()
        assert len(draft.text.split()) <= LONGEST_WORDS or len(sentences(draft.text)) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\xff\xfe\xff", "not readable text"), (b"", "empty"), (b"# Only a title\n", "no text")],
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


@pytest.mark.server
async def test_versions_are_kept_and_whole(tmp_path: Path, engine: AsyncEngine) -> None:
    file = tmp_path / "kb.md"
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


@pytest.mark.server
async def test_a_load_embeds_and_writes_only_what_is_new(
    tmp_path: Path, engine: AsyncEngine
) -> None:
    file, other = tmp_path / "kb.md", tmp_path / "other.md"
    file.write_text("# T\n## Fees\nThe fee is ten.\n\nCash only.")
    other.write_text("# O\nSomething else.")
    await ingest.load(engine, Letters(), "kb", [file, other])
    before = {p.text: p.id for p in await read(engine, "kb", 1)}
    file.write_text("# T\n## Fees\nThe fee is twenty.\n\nCash only.")
    letters = Letters()
    assert (await ingest.load(engine, letters, "kb", [file])).version == 2
    assert letters.asked == ["Fees", "Fees The fee is twenty."]
    after = {p.text: p.id for p in await read(engine, "kb", 2)}
    assert after.keys() == {"The fee is twenty.", "Cash only."}
    assert after["Cash only."] == before["Cash only."]
    assert (await ingest.load(engine, Letters(), "kb", [file])).version == 2  # the same again
    assert {p.text for p in await read(engine, "kb", 1)} == before.keys()


@pytest.mark.server
async def test_a_load_by_another_model_embeds_everything(
    tmp_path: Path, engine: AsyncEngine
) -> None:
    file = tmp_path / "kb.md"
    file.write_text("# T\n## Fees\nThe fee is ten.\n\nCash only.")
    await ingest.load(engine, Letters(), "kb", [file])
    old = {p.id for p in await read(engine, "kb", 1)}
    letters = Letters(model="other")
    assert (await ingest.load(engine, letters, "kb", [file])).version == 2
    assert {"Fees The fee is ten.", "Fees Cash only."} <= set(letters.asked)
    assert old.isdisjoint(p.id for p in await read(engine, "kb", 2))
    assert [v.embedder for v in await list_versions(engine, "kb")] == ["other", "letters"]


@pytest.mark.server
async def test_two_loads_at_once_make_two_versions(tmp_path: Path, engine: AsyncEngine) -> None:
    files = [tmp_path / "a.md", tmp_path / "b.md"]
    for file in files:
        file.write_text(f"# T\nText of {file.stem}.")
    loads = (ingest.load(engine, Letters(), "kb", [file]) for file in files)
    done = await asyncio.gather(*loads)
    assert {loaded.version for loaded in done} == {1, 2}
    assert len(await read(engine, "kb", 2)) == 1
