"""One page of a PDF → the words on it, and which of them nobody can see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2 as pdfium
import pypdfium2.raw as c

from appliance.knowledge.reading.pdfdrawn import drawn
from appliance.knowledge.reading.pdfspace import Box, Space
from appliance.knowledge.reading.pdfstyles import Style, Styles

LEAST_SIZE_PT = 3.0
"""Law's small print has 5."""
OCR_LAYER_SHARE = 0.9
OCR_IMAGE_SHARE = 0.5
"""A scanned page: a picture over half of it, and no text but invisible."""
MOST_CHARS = 200_000
"""Of one page. The densest real ones have 20 000."""

PARTED = 2
"""What pdfium says for the hyphen of a word that goes on in the next line."""


@dataclass(frozen=True, slots=True)
class Word:
    """Characters without a space between them, in one style."""

    text: str
    box: Box
    """As high as its font; turned so that the writing runs to the right."""
    style: Style
    spaced: bool
    """Whether a space stands before it."""
    hidden: str = ""
    """Why nobody sees it."""


@dataclass(frozen=True, slots=True)
class PageText:
    """The words of a page in the order of its content, and its height in points."""

    words: list[Word]
    height: float
    scanned: bool
    """A picture covers the page; its text, if any, is a recogniser's."""


def page_text(page: pdfium.PdfPage) -> PageText:
    """The words of ``page``, each marked when it is hidden."""
    space = Space(page)
    raw = list(_words(page, space))
    invisible = sum(len(word.text) for word in raw if word.style.invisible)
    chars = sum(len(word.text) for word in raw)
    scanned = (not raw or invisible >= OCR_LAYER_SHARE * chars) and _has_large_image(page)
    look = _Look(page, space) if raw and not scanned else None
    words = [
        Word(
            word.text,
            space.turned(word.loose, word.style.angle),
            word.style,
            word.spaced,
            look.hidden(word) if look else "",
        )
        for word in raw
    ]
    height = page.get_height() if _upright(words, page) else page.get_width()
    return PageText(words, height, scanned)


def _upright(words: Sequence[Word], page: pdfium.PdfPage) -> bool:
    """Whether most of the writing runs as the page is shown."""
    turned = sum(len(word.text) for word in words if word.style.angle % 180 == 90)
    sideways = turned > sum(len(word.text) for word in words) / 2
    return bool(sideways == (page.get_rotation() % 180 == 90))


@dataclass(frozen=True, slots=True)
class _Raw:
    """A word with its places in the page's own space."""

    text: str
    loose: Box
    """As high as its font."""
    ink: Box
    style: Style
    spaced: bool


class _Look:
    """What of a page can be seen."""

    def __init__(self, page: pdfium.PdfPage, space: Space) -> None:
        self._space = space
        self._rotation = page.get_rotation()
        self._width, self._height = page.get_size()
        self._picture = drawn(page, self._width, self._height)

    def hidden(self, word: _Raw) -> str:
        """Why nobody sees ``word``; empty when one does."""
        if word.style.invisible:
            return "invisible text"
        if word.style.size_pt < LEAST_SIZE_PT:
            return "text too small to be read"
        ink = self._space.turned(word.ink, self._rotation)
        x, y = (ink[0] + ink[2]) / 2, (ink[1] + ink[3]) / 2
        if not (0 <= x <= self._width and 0 <= y <= self._height):
            return "text off the page"
        if not self._picture.shows(ink, word.style.fill):
            return "text that cannot be seen (in the colour of its background, or covered)"
        if word.style.angle < 0:
            return "slanted text (a watermark)"
        return ""


def _has_large_image(page: pdfium.PdfPage) -> bool:
    width, height = page.get_size()
    for image in page.get_objects(filter=[c.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = image.get_bounds()
        if (right - left) * (top - bottom) >= OCR_IMAGE_SHARE * width * height:
            return True
    return False


def _words(page: pdfium.PdfPage, space: Space) -> Iterator[_Raw]:
    textpage = page.get_textpage()
    try:
        run = _Run(textpage.raw, space)
        styles = Styles(textpage.raw)
        for number in range(min(textpage.count_chars(), MOST_CHARS)):
            char = c.FPDFText_GetUnicode(textpage.raw, number)
            if char == PARTED:
                run.end_with_hyphen()
            if char <= 0x20 or char == 0xA0:
                yield from run.take()
                run.spaced = True
                continue
            style = styles.of(number)
            if style is not run.style and style != run.style:
                yield from run.take()
            run.add(number, chr(char), style)
        yield from run.take()
    finally:
        textpage.close()


class _Run:
    """Collects the characters of one word."""

    def __init__(self, textpage: c.FPDF_TEXTPAGE, space: Space) -> None:
        self._textpage = textpage
        self._space = space
        self._chars: list[str] = []
        self._first = self._last = 0
        self.style: Style | None = None
        self.spaced = True

    def add(self, number: int, char: str, style: Style) -> None:
        if not self._chars:
            self._first = number
        self._last = number
        self.style = style
        self._chars.append(char)

    def end_with_hyphen(self) -> None:
        """The word goes on in the next line."""
        if self._chars:
            self._chars.append("\u00ad")

    def take(self) -> Iterator[_Raw]:
        """The word so far, if there is one; the next begins."""
        if self._chars and self.style is not None:
            text = "".join(self._chars).encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
            loose, ink = self._space.boxes(self._textpage, self._first, self._last)
            yield _Raw(text, loose, ink, self.style, self.spaced)
            self._chars, self.spaced = [], False
        self.style = None
