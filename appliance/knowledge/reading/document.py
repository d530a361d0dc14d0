"""What a document is once it has been read: pages of headings, paragraphs and questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from appliance.errors import UserError

Kind = Literal["heading", "text", "faq"]
KINDS = frozenset(("heading", "text", "faq"))

MOST_TEXT_CHARS = 20_000_000
"""Of a document, 10 000 pages; passages and vectors of more would fill the database."""
MOST_BLOCKS = 200_000
"""Of a document: as many passages take an embedder hours."""
LONGEST_HEADING_CHARS = 500
"""Of a heading or a question: it stands with every passage under it."""
MOST_LEVEL = 9


class RefusedDocumentError(UserError):
    """The document will never be read as it is: encrypted, empty, a bomb, of no known format, …"""


class UnreadableDocumentError(UserError):
    """Reading stopped before the end: too slow, or the process died. It may be tried again."""


@dataclass(frozen=True, slots=True)
class Block:
    """One heading, one paragraph (list, table row), or one question with its answer."""

    kind: Kind
    text: str
    """Of a question: its answer."""
    level: int = 0
    """Of a heading: 1 is the highest. 0 for everything else."""
    question: str = ""
    language: str = ""
    """BCP 47 primary subtag; empty: nothing in the text tells."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page, slide or sheet; the whole document where the format has no pages."""

    number: int | None
    """From 1; None where the format has no numbers that a person could look up."""
    blocks: tuple[Block, ...]
    ocr: bool = False
    """Its text was recognised from a picture."""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """The text of a document in reading order, without what a reader could not see."""

    media_type: str
    """Of the contents, whatever the name says."""
    language: str
    pages: tuple[Page, ...]
    notes: tuple[str, ...] = ()
    """What a person should know, one sentence each: hidden text left out, pages without text, …"""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Limits of one reading; the settings of ``[knowledge]``."""

    max_bytes: int = 50_000_000
    max_pages: int = 2000
    timeout_s: float = 300.0
    ocr: bool = False
    ocr_languages: tuple[str, ...] = ("eng", "hin")
    """Tesseract's names."""


def pages_to_json(pages: Sequence[Page]) -> list[dict[str, Any]]:
    """``pages`` as plain values, with what is empty left out; :func:`pages_from_json` undoes it."""
    return [
        {
            "number": page.number,
            "blocks": [
                {name: value for name in Block.__slots__ if (value := getattr(block, name))}
                for block in page.blocks
            ],
            **({"ocr": True} if page.ocr else {}),
        }
        for page in pages
    ]


def pages_from_json(pages: Sequence[dict[str, Any]]) -> tuple[Page, ...]:
    """The pages that :func:`pages_to_json` wrote.

    Raises ValueError for anything else: who wrote it has read a hostile document.
    """
    try:
        blocks = sum(len(page["blocks"]) for page in pages)
        if blocks > MOST_BLOCKS:
            raise ValueError(f"{blocks} blocks")
        found = tuple(_page(page) for page in pages)
    except (TypeError, KeyError, AttributeError) as e:
        raise ValueError(f"no pages: {type(e).__name__}") from e
    chars = sum(len(block.text) for page in found for block in page.blocks)
    if chars > MOST_TEXT_CHARS:
        raise ValueError(f"{chars} characters")
    return found


def _page(page: dict[str, Any]) -> Page:
    number = page["number"]
    if number is not None and not (type(number) is int and 0 < number < 2**31):
        raise ValueError("no page's number")
    return Page(number, tuple(map(_block, page["blocks"])), bool(page.get("ocr", False)))


def _block(fields: dict[str, Any]) -> Block:
    block = Block(**{"text": "", **fields})
    texts = (block.kind, block.text, block.question, block.language)
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError("no text")
    title = block.text if block.kind == "heading" else block.question
    if block.kind not in KINDS or len(title) > LONGEST_HEADING_CHARS:
        raise ValueError("no block")
    if type(block.level) is not int or not 0 <= block.level <= MOST_LEVEL:
        raise ValueError("no level")
    return block
