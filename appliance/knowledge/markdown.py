"""Markdown text → passages, without a process of its own: for text that is ours."""

from __future__ import annotations

from appliance.knowledge.cutting import LONGEST_WORDS, Draft, cut
from appliance.knowledge.reading.document import Page, ReadDocument
from appliance.knowledge.reading.markdown import blocks

__all__ = ["LONGEST_WORDS", "Draft", "passages"]


def passages(markdown: str) -> list[Draft]:
    """The passages of one text, in its order."""
    return cut(ReadDocument("text/markdown", "", (Page(None, tuple(blocks(markdown))),)))
