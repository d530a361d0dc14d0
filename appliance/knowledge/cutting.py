"""A document that has been read → the passages that answers are found in and spoken from.

A heading that asks a question and everything under it make one passage; under any other heading
each paragraph, list and table row is a passage of its own. Long ones are split at sentence ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.knowledge.reading.document import (
    LONGEST_HEADING_CHARS,
    Block,
    Page,
    ReadDocument,
)
from appliance.speech.sentences import sentences

LONGEST_WORDS = 120
"""About 40 s of speech and 160 tokens: whole within the embedding model's 256."""
LONGEST_CHARS = 1200
"""As many words of ten characters: of a text without spaces or sentence ends, what one piece takes."""

_QUESTION_ENDS = ("?", "？", "؟")
_PIECE = re.compile(rf"\S{{1,{LONGEST_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A passage as written, before it has a version and a vector."""

    heading: str
    """The question it answers, or the path of headings above it, joined by `` > ``."""
    text: str
    page: int | None = None
    """Where it begins."""
    suspicious: bool = False
    """It reads like orders to a language model; said by the guard, not here."""
    language: str = ""
    """BCP 47 primary subtag; empty: nothing in the text tells."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A block that holds text, under its path of headings."""

    path: tuple[str, ...]
    block: Block
    page: int | None


def cut(document: ReadDocument) -> list[Draft]:
    """The passages of ``document``, in its order."""
    drafts: list[Draft] = []
    asked: list[_Part] = []
    title = _title(document.pages)
    for part in _parts(document.pages):
        if asked and (part.path != asked[0].path or part.block.kind == "faq"):
            drafts += _answer(asked)
            asked = []
        if part.block.kind == "faq":
            drafts += _split(part.block.question, part.block.text, part)
        elif part.path and part.path[-1].endswith(_QUESTION_ENDS):
            asked.append(part)
        else:
            drafts += _split(_heading(part.path, title), part.block.text, part)
    return drafts + (list(_answer(asked)) if asked else [])


def _parts(pages: Sequence[Page]) -> Iterator[_Part]:
    path: list[tuple[int, str]] = []
    for page in pages:
        for block in page.blocks:
            if block.kind == "heading":
                path = [entry for entry in path if entry[0] < block.level]
                if block.text:
                    path.append((block.level, block.text))
            elif block.text:
                yield _Part(tuple(text for _, text in path), block, page.number)


def _title(pages: Sequence[Page]) -> str:
    """The first heading, if no other is as high: it says nothing about one passage."""
    headings = [block for page in pages for block in page.blocks if block.kind == "heading"]
    if not headings or any(block.level <= headings[0].level for block in headings[1:]):
        return ""
    return headings[0].text


def _heading(path: tuple[str, ...], title: str) -> str:
    if title and len(path) > 1 and path[0] == title:
        path = path[1:]
    # the nearest ones: what stands with every passage may not be larger than all of them
    while len(path) > 1 and sum(map(len, path)) + 3 * len(path) > LONGEST_HEADING_CHARS:
        path = path[1:]
    return " > ".join(path)


def _answer(parts: list[_Part]) -> Iterator[Draft]:
    text = " ".join(part.block.text for part in parts)
    return _split(parts[0].path[-1], text, parts[0])


def _split(heading: str, text: str, where: _Part) -> Iterator[Draft]:
    for piece in _pieces(text):
        yield Draft(heading, piece, where.page, language=where.block.language)


def _pieces(text: str) -> Iterator[str]:
    part: list[str] = []
    words = chars = 0
    for sentence in _speakable(text):
        length = len(sentence.split())
        if part and (words + length > LONGEST_WORDS or chars + len(sentence) > LONGEST_CHARS):
            yield " ".join(part)
            part, words, chars = [], 0, 0
        part.append(sentence)
        words += length
        chars += len(sentence) + 1
    if part:
        yield " ".join(part)


def _speakable(text: str) -> Iterator[str]:
    """The sentences of ``text``; one that no passage has room for (a table without marks, a line of
    a megabyte) in pieces."""
    for sentence in sentences(text):
        if len(sentence.split()) <= LONGEST_WORDS and len(sentence) <= LONGEST_CHARS:
            yield sentence
        else:
            yield from _chopped(sentence)


def _chopped(sentence: str) -> Iterator[str]:
    piece: list[str] = []
    chars = 0
    for word in _PIECE.findall(sentence):
        if piece and (len(piece) == LONGEST_WORDS or chars + len(word) >= LONGEST_CHARS):
            yield " ".join(piece)
            piece, chars = [], 0
        piece.append(word)
        chars += len(word) + 1
    if piece:
        yield " ".join(piece)
