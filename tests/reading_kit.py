"""Reading in this process what the appliance reads in a child, and what came of it."""

from __future__ import annotations

from appliance.knowledge.cutting import Draft, cut
from appliance.knowledge.reading import ReadDocument, ReadOptions
from appliance.knowledge.reading.formats import parse
from appliance.knowledge.reading.wire import Request


def parsed(
    original: bytes, name: str = "a", media_type: str = "", options: ReadOptions | None = None
) -> ReadDocument:
    """The document, without the limits of a process of its own."""
    request = Request(name, media_type, options or ReadOptions())
    return parse(original, request, lambda done, total: None)


def passages(document: ReadDocument) -> list[tuple[str, str]]:
    """(heading, text) of each passage."""
    return [(draft.heading, draft.text) for draft in cut(document)]


def drafts(original: bytes, name: str = "a") -> list[Draft]:
    return cut(parsed(original, name))


def whole(document: ReadDocument) -> str:
    """All text, questions and headings, in order."""
    return " ".join(
        f"{block.question} {block.text}".strip() for page in document.pages for block in page.blocks
    )
