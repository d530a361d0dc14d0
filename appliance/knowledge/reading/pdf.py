"""PDF → pages. What cannot be seen on a page is not part of its text."""

from __future__ import annotations

from collections.abc import Sequence

import pypdfium2 as pdfium
import pypdfium2.raw as c

from appliance.knowledge.reading.clean import one_line, unmapped_share
from appliance.knowledge.reading.document import Block, Page, ReadOptions, RefusedDocumentError
from appliance.knowledge.reading.ocr import Recogniser, recogniser
from appliance.knowledge.reading.parsed import Hidden, OnPages, Parsed
from appliance.knowledge.reading.pdflayout import PageLines, blocks_of
from appliance.knowledge.reading.pdflines import lines_of
from appliance.knowledge.reading.pdftext import PageText, Word, page_text

MOST_LEGACY_SHARE = 0.1
"""Of the text, in fonts whose letters are others than its characters say."""
UNMAPPED_SHARE = 0.2
"""Characters of a page that stand for nothing, from which its picture is read instead."""
MOST_PAGES_NAMED = 12


def parse_pdf(original: bytes, name: str, options: ReadOptions, on_pages: OnPages) -> Parsed:
    """The pages of a PDF. Raises RefusedDocumentError: encrypted, damaged, too long, only pictures."""
    document = _open(original, name)
    total = len(document)
    if total > options.max_pages:
        raise RefusedDocumentError(
            f"{name} has {total} pages, above the limit of {options.max_pages}; "
            "split it, or raise knowledge.max_pages."
        )
    reading = _Reading(options)
    on_pages(0, total)
    for number in range(total):
        try:
            page = document[number]
            reading.read(page, number + 1)
            page.close()
        except pdfium.PdfiumError:
            reading.damaged.append(number + 1)
        on_pages(number + 1, total)
    return reading.parsed(name)


def _open(original: bytes, name: str) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(original)
        len(document)
        return document
    except pdfium.PdfiumError as e:
        if getattr(e, "err_code", None) in (c.FPDF_ERR_PASSWORD, c.FPDF_ERR_SECURITY):
            raise RefusedDocumentError(
                f"{name} is protected by a password; save it without one."
            ) from e
        raise RefusedDocumentError(
            f"{name} is damaged, or no PDF after all; open it, save it again and add it once more."
        ) from e


class _Reading:
    """One document, page by page."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._recogniser: Recogniser | None = None
        self._hidden = Hidden()
        self._notes: list[str] = []
        self._pages: list[PageLines] = []
        self._recognised: dict[int, list[Block]] = {}
        self._pictures: list[int] = []
        self._unmapped: list[int] = []
        self._legacy_chars = self._chars = 0
        self.damaged: list[int] = []
        """Numbers of pages that cannot be opened."""

    def read(self, page: pdfium.PdfPage, number: int) -> None:
        """Take in the next page."""
        text = page_text(page)
        shown = [word for word in text.words if not word.hidden]
        for word in text.words:
            if word.hidden:
                self._hidden.add(word.hidden, word.text)
        self._chars += sum(len(word.text) for word in shown)
        self._legacy_chars += sum(len(word.text) for word in shown if word.style.legacy)
        whole = "".join(word.text for word in shown)
        if not whole.strip() and (text.scanned or _has_picture(page)):
            self._picture(page, number, self._pictures)
        elif unmapped_share(whole) > UNMAPPED_SHARE:
            self._picture(page, number, self._unmapped)
        else:
            self._keep(text, shown, number)

    def _keep(self, text: PageText, shown: Sequence[Word], number: int) -> None:
        usable = [word for word in shown if not word.style.legacy]
        lines = [line for line in lines_of(usable) if one_line(line.text)]
        ocr = text.scanned and bool(lines)
        self._pages.append(PageLines(number, text.height, lines, ocr))

    def _picture(self, page: pdfium.PdfPage, number: int, unread: list[int]) -> None:
        """A page whose text is only in its picture."""
        self._pages.append(PageLines(number, page.get_height(), [], True))
        if self._options.ocr and self._recogniser is None:
            self._recogniser = recogniser(self._options.ocr_languages)
        if self._recogniser is None or self._recogniser.trouble:
            unread.append(number)
            return
        self._recognised[number] = self._recogniser.page(page, number)

    def parsed(self, name: str) -> Parsed:
        """All that was read. Raises RefusedDocumentError when that is nothing but pictures."""
        self._check(name)
        found = blocks_of(self._pages)
        pages = [self._page(page, blocks) for page, blocks in zip(self._pages, found, strict=True)]
        notes = [*self._notes, *self._hidden.notes()]
        if self._recogniser:
            notes += self._recogniser.notes()
        layers = sum(page.ocr and page.number not in self._recognised for page in pages)
        if layers:
            notes.append(f"Text that a scanner recognised, not checked: {layers} of the pages.")
        return Parsed(pages, notes + self._unread())

    def _page(self, lines: PageLines, blocks: list[Block]) -> Page:
        found = tuple(self._recognised.get(lines.number, blocks))
        return Page(lines.number, found, lines.ocr and bool(found))

    def _check(self, name: str) -> None:
        if not self._pages:
            raise RefusedDocumentError(
                f"{name} has no page that can be read; open it, save it again and add it once more."
            )
        if self._legacy_chars > MOST_LEGACY_SHARE * self._chars:
            raise RefusedDocumentError(
                f"{name} is set in a legacy Indic font (Kruti Dev and its like), whose letters are no "
                "text; convert it to Unicode, or set it again in a Unicode font."
            )
        if self._legacy_chars:
            self._notes.append(f"Left out {self._legacy_chars} characters in a legacy Indic font.")
        if len(self._pictures) + len(self._unmapped) == len(self._pages):
            trouble = self._recogniser.trouble if self._recogniser else ""
            how = trouble or "set knowledge.ocr = true to have them recognised (Tesseract)"
            what = "only pictures of pages" if self._pictures else "fonts whose letters are unknown"
            raise RefusedDocumentError(f"{name} has no text, {what}; {how}.")

    def _unread(self) -> list[str]:
        notes = []
        if self.damaged:
            notes.append(f"{_numbers(self.damaged)} not read: damaged.")
        if self._pictures:
            notes.append(f"{_numbers(self._pictures)} not read: only pictures, no text.")
        if self._unmapped:
            notes.append(f"{_numbers(self._unmapped)} not read: fonts whose letters are unknown.")
        return notes


def _has_picture(page: pdfium.PdfPage) -> bool:
    """Whether anything is drawn on a page without text."""
    return next(iter(page.get_objects(max_depth=2)), None) is not None


def _numbers(pages: Sequence[int]) -> str:
    named = ", ".join(map(str, pages[:MOST_PAGES_NAMED]))
    if len(pages) > MOST_PAGES_NAMED:
        named += f" and {len(pages) - MOST_PAGES_NAMED} more"
    return f"{'Page' if len(pages) == 1 else 'Pages'} {named}"
