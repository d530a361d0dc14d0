"""What was read of a document → passages to store: cut, looked at for orders, with their words."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from functools import lru_cache

from appliance.knowledge.cutting import Draft, cut
from appliance.knowledge.reading import ReadDocument
from appliance.knowledge.words import content_words
from appliance.safety.guard import Guard
from appliance.safety.rules import RuleSet
from appliance.store.staging import Floats, NewPassage

UNTOLD = "en"
"""Language of a text that nothing tells of."""


async def cut_and_checked(document: ReadDocument) -> list[Draft]:
    """The passages of ``document``, those that read like orders to a language model marked.

    In a thread: a thousand pages take seconds.
    """
    return await asyncio.to_thread(_cut_and_checked, document)


def _cut_and_checked(document: ReadDocument) -> list[Draft]:
    guard = _guard()
    return [
        dataclasses.replace(draft, suspicious=True)
        if guard.check_passage(f"{draft.heading}\n{draft.text}")
        else draft
        for draft in cut(document)
    ]


@lru_cache(maxsize=1)
def _guard() -> Guard:
    """By the built-in rules: those of a site are about what is said."""
    return Guard(RuleSet())


def new_passage(
    draft: Draft,
    document: str,
    position: int,
    vector: Floats | None,
    language: str = "",
    tags: Sequence[str] = (),
) -> NewPassage:
    """``draft`` at its place in ``document``. ``language``: as the person says who added it, whose
    word goes before what the text looks like."""
    spoken = language or draft.language or UNTOLD
    words = content_words(f"{draft.heading} {draft.text}", spoken)
    return NewPassage(
        *(document, draft.heading, position, draft.text, vector, words, draft.page),
        *(spoken, tags, draft.suspicious),
    )
