"""Markdown of our own → passages, without the process that reads what others have written."""

from __future__ import annotations

from appliance.knowledge.cutting import Draft, cut
from appliance.knowledge.reading import Page, ReadDocument
from appliance.knowledge.reading.markdown import blocks


def drafts_of(markdown: str) -> list[Draft]:
    """The passages of one text, in its order."""
    return cut(ReadDocument("text/markdown", "", (Page(None, tuple(blocks(markdown))),)))
