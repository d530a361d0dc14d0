"""Any document → its pages: finds out what it is, has it parsed, tidies what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from appliance.knowledge.reading import media_types as kinds
from appliance.knowledge.reading.archives import as_plain, check
from appliance.knowledge.reading.clean import smuggled, tidy, unmapped_share
from appliance.knowledge.reading.document import (
    LONGEST_HEADING_CHARS,
    MOST_BLOCKS,
    MOST_TEXT_CHARS,
    Block,
    Page,
    ReadDocument,
    ReadOptions,
    RefusedDocumentError,
)
from appliance.knowledge.reading.faq import with_questions
from appliance.knowledge.reading.language import dominant, language_of
from appliance.knowledge.reading.parsed import OnPages, Parsed
from appliance.knowledge.reading.wire import Request

MOST_UNMAPPED_SHARE = 0.05
"""Characters that stand for nothing, in a document that may still be used."""
LONGEST_HEADING_WORDS = 40
"""What is longer is a paragraph in large type."""

_Parse = Callable[[bytes, Request, OnPages], Parsed]


def parse(original: bytes, request: Request, on_pages: OnPages) -> ReadDocument:
    """The document, read in this process. Raises RefusedDocumentError."""
    sniffed = kinds.sniff(original, request.name, request.media_type)
    parsed = _PARSERS[sniffed.media_type](original, request, on_pages)
    notes = [*sniffed.notes, *parsed.notes]
    if any(smuggled(block.text) for page in parsed.pages for block in page.blocks):
        notes.append("Left out a message in invisible Unicode characters: somebody put it there.")
    pages = tuple(_tidied(page) for page in parsed.pages)
    _check_text(pages, request.name, notes)
    language = dominant(
        (block.language, len(block.text)) for page in pages for block in page.blocks
    )
    return ReadDocument(sniffed.media_type, language, pages, tuple(notes))


def _tidied(page: Page) -> Page:
    clean = [
        replace(block, text=tidy(block.text), question=tidy(block.question))
        for block in page.blocks
    ]
    kept = [_block(block) for block in clean if block.text or block.question]
    blocks = [
        replace(block, language=language_of(f"{block.question} {block.text}"))
        for block in map(_block, with_questions(kept))
    ]
    return replace(page, blocks=tuple(blocks))


def _block(block: Block) -> Block:
    if block.kind == "heading" and (
        len(block.text) > LONGEST_HEADING_CHARS or len(block.text.split()) > LONGEST_HEADING_WORDS
    ):
        return Block("text", block.text)
    if block.kind == "faq" and not (
        block.text and block.question and len(block.question) <= LONGEST_HEADING_CHARS
    ):
        return Block("text", f"{block.question} {block.text}".strip())
    return block


def _check_text(pages: tuple[Page, ...], name: str, notes: list[str]) -> None:
    blocks = sum(len(page.blocks) for page in pages)
    if blocks > MOST_BLOCKS:
        raise RefusedDocumentError(
            f"{name} has {blocks:,} paragraphs, above the limit of {MOST_BLOCKS:,}; split it."
        )
    texts = [block.text for page in pages for block in page.blocks if block.kind != "heading"]
    chars = sum(map(len, texts))
    if chars > MOST_TEXT_CHARS:
        raise RefusedDocumentError(
            f"{name} holds {chars / 1e6:.0f} million characters of text, above the limit of "
            f"{MOST_TEXT_CHARS / 1e6:.0f} million; split it."
        )
    if not any(char.isalnum() for text in texts for char in text):
        why = f" ({' '.join(notes)})" if notes else ""
        raise RefusedDocumentError(f"There is no text to answer from in {name}{why}.")
    if unmapped_share("".join(texts)) > MOST_UNMAPPED_SHARE:
        raise RefusedDocumentError(
            f"{name} has a font whose letters cannot be told; save it again with fonts embedded, "
            "or read it from its picture (knowledge.ocr)."
        )


def _pdf(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.pdf import parse_pdf

    return parse_pdf(original, request.name, request.options, on_pages)


def _word(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.word import parse_word

    return _office(original, request, on_pages, parse_word)


def _slides(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.slides import parse_slides

    return _office(original, request, on_pages, parse_slides)


def _workbook(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.workbook import parse_workbook

    return _office(original, request, on_pages, parse_workbook)


def _office(
    original: bytes,
    request: Request,
    on_pages: OnPages,
    parser: Callable[[bytes, str, ReadOptions, OnPages], Parsed],
) -> Parsed:
    check(original, request.name)
    plain, macros = as_plain(original)
    parsed = parser(plain, request.name, request.options, on_pages)
    if macros:
        parsed.notes.append("Its macros were ignored.")
    return parsed


def _html(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.web import parse_html

    return parse_html(original, request.name, request.media_type, on_pages)


def _csv(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.csvfile import parse_csv

    return parse_csv(original, request.name, on_pages)


def _text(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.plain import parse_text

    return parse_text(original, request.name, on_pages)


def _markdown(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.plain import parse_markdown

    return parse_markdown(original, request.name, on_pages)


def _picture(original: bytes, request: Request, on_pages: OnPages) -> Parsed:
    from appliance.knowledge.reading.ocr import parse_picture

    return parse_picture(original, request.name, request.options, on_pages)


_PARSERS: dict[str, _Parse] = {
    kinds.PDF: _pdf,
    kinds.DOCX: _word,
    kinds.PPTX: _slides,
    kinds.XLSX: _workbook,
    kinds.CSV: _csv,
    kinds.HTML: _html,
    kinds.MARKDOWN: _markdown,
    kinds.TEXT: _text,
    **dict.fromkeys(kinds.IMAGES, _picture),
}
