"""Documents that attack whoever reads them: the parser's process, and what comes out of it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from appliance.knowledge.cutting import cut
from appliance.knowledge.reading import (
    Block,
    Page,
    ReadDocument,
    RefusedDocumentError,
    formats,
    pages_from_json,
)
from appliance.knowledge.reading.document import LONGEST_HEADING_CHARS, MOST_BLOCKS
from appliance.knowledge.reading.wire import Progress, Refusal, read_reply
from appliance.speech.sentences import sentences
from tests.reading_kit import drafts


def test_rows_of_full_stops_end() -> None:
    # in quadratic time this is an hour, in which the process gives no sign of life
    dots = "." * 1_000_000 + "x"
    assert sentences(dots) == [dots]
    assert len(sentences("A. b. " * 100_000)) == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Wait... What? Yes.", ["Wait...", "What?", "Yes."]),
        ('He said "go." Then "yes!" And left.', ['He said "go."', 'Then "yes!"', "And left."]),
        ("Mr. Rao came. He left.", ["Mr. Rao came.", "He left."]),
        ("At 3 p.m. we close. Come at 2.", ["At 3 p.m. we close.", "Come at 2."]),
        ("रुकिए। फिर आइए॥ हाँ.", ["रुकिए।", "फिर आइए॥", "हाँ."]),
    ],
)
def test_sentences_end_where_they_did(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_a_megabyte_of_heading_does_not_stand_with_every_passage() -> None:
    head = "# " + "H" * 1_000_000 + "\n\n## " + "K" * 1_000_000 + "\n\n"
    found = drafts((head + "\n\n".join(f"Paragraph {n}." for n in range(300))).encode(), "a.md")
    assert any(draft.text == "Paragraph 299." for draft in found)
    assert max(len(draft.heading) for draft in found) <= LONGEST_HEADING_CHARS
    assert sum(len(draft.heading) + len(draft.text) for draft in found) < 3_000_000


def test_headings_within_headings_are_no_larger_than_one() -> None:
    heads = tuple(Block("heading", chr(64 + n) * 400, n) for n in range(1, 9))
    whole = (*heads, *(Block("text", f"Paragraph {n}.") for n in range(3)))
    found = cut(ReadDocument("text/plain", "en", (Page(None, whole),)))
    assert {draft.heading for draft in found} == {"H" * 400}


def test_a_megabyte_of_question_is_a_text() -> None:
    found = drafts(b"question,answer\n" + b"Why " * 200_000 + b"?," + b"So it is. " * 1000, "a.csv")
    assert max(len(draft.heading) for draft in found) <= LONGEST_HEADING_CHARS
    found = drafts(b"Q: " + b"why " * 300_000 + b"?\n\nA: " + b"So it is. " * 1000, "a.txt")
    assert max(len(draft.heading) for draft in found) <= LONGEST_HEADING_CHARS


def test_a_million_paragraphs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MOST_BLOCKS", 1000)
    assert len(drafts(b"No.\n\n" * 1000, "many.txt")) == 1000
    with pytest.raises(RefusedDocumentError, match="1,001 paragraphs, above the limit of 1,000"):
        drafts(b"No.\n\n" * 1001, "many.txt")


# --- a parser that a document has taken over ------------------------------------------------------


async def said(value: Any) -> Any:
    """What we make of a frame with ``value`` in it."""
    data = orjson.dumps(value)
    stream = asyncio.StreamReader()
    stream.feed_data(len(data).to_bytes(4, "big") + data)
    stream.feed_eof()
    return await read_reply(stream)


def a_document(block: Any, number: Any = 1) -> dict[str, Any]:
    pages = [{"number": number, "blocks": [block]}]
    return {"kind": "document", "media_type": "", "language": "", "pages": pages, "notes": []}


@pytest.mark.parametrize(
    "value",
    [
        [],
        7,
        {},
        {"kind": "progress", "done": "1", "total": 2},
        {"kind": "progress", "done": -1, "total": 2},
        {"kind": "progress", "done": 1, "total": 2**63},
        {"kind": "refused", "message": 5, "where": ""},
        {"kind": "document"},
        a_document({"kind": "text", "text": 5}),
        a_document({"kind": "order", "text": "a"}),
        a_document({"kind": "text", "text": "a\0b"}),
        a_document({"kind": "text", "text": "a", "other": 1}),
        a_document({"kind": "heading", "text": "a" * 100_000, "level": 1}),
        a_document({"kind": "faq", "text": "a", "question": "a" * 100_000}),
        a_document({"kind": "heading", "text": "a", "level": 1000}),
        a_document({"kind": "heading", "text": "a", "level": True}),
        a_document({"kind": "text", "text": "a"}, number="1"),
        a_document({"kind": "text", "text": "a"}, number=2**40),
    ],
)
async def test_what_is_no_reply_is_none(value: Any) -> None:
    with pytest.raises(ValueError):
        await said(value)


async def test_what_it_tells_moves_no_cursor_and_begins_no_line() -> None:
    reply = await said(
        {
            "kind": "refused",
            "message": "bad\x1b[2J\n= all is well \u202efdp.exe",
            "where": "x" * 9000,
        }
    )
    assert isinstance(reply, Refusal)
    assert reply.message.isprintable() and len(reply.where) <= 1000
    assert await said({"kind": "progress", "done": 1, "total": 2}) == Progress(1, 2)


def test_more_blocks_than_a_document_may_have_are_none() -> None:
    page = {"number": None, "blocks": [{"kind": "text", "text": "a"}] * (MOST_BLOCKS + 1)}
    with pytest.raises(ValueError):
        pages_from_json([page])
