"""What a document is once it has been read: pages of headings, paragraphs and questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from appliance.errors import UserError

Kind = Literal["heading", "text", "faq"]


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
    """The pages that :func:`pages_to_json` wrote."""
    return tuple(
        Page(
            page["number"],
            tuple(Block(**{"text": "", **block}) for block in page["blocks"]),
            page.get("ocr", False),
        )
        for page in pages
    )
