"""One page of a PDF → the words on it, and which of them nobody can see."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as c
from numpy.typing import NDArray

RENDER_SCALE = 1.0
"""Pixels to a point: the strokes of 5 point type still show, in grey."""
MOST_RENDER_PIXELS = 2500
"""Along an edge: a poster is drawn smaller."""
LEAST_STEP = 16
"""Of 255, in some colour, between neighbouring pixels: where no step is larger stands nothing."""
LIGHT = 200
"""Of 255, all colours: type that is unseen on white paper."""
NEAR = 24
MOST_OWN_COLOUR = 0.6
"""Share of a word's surroundings in its own colour: a bold letter covers half of its place."""
SOME_OWN_COLOUR = 0.35
"""The same, where also what is above and below the word has its colour."""
LEAST_SIZE_PT = 3.0
"""Law's small print has 5."""
LEAST_ALPHA = 16
OCR_LAYER_SHARE = 0.9
OCR_IMAGE_SHARE = 0.5
"""A scanned page: a picture over half of it, and no text but invisible."""
MOST_CHARS = 200_000
"""Of one page. The densest real ones have 20 000."""

MOST_SLANT_DEGREES = 10
"""Of a page scanned askew; watermarks have 45."""
PARTED = 2
"""What pdfium says for the hyphen of a word that goes on in the next line."""

_INVISIBLE_MODES = (c.FPDF_TEXTRENDERMODE_INVISIBLE, c.FPDF_TEXTRENDERMODE_CLIP)
_BOLD = ("bold", "black", "heavy", "semibold", "demi")
_LEGACY_FONTS = (
    *("kruti", "devlys", "chanakya", "shree-dev", "shreedev", "walkman", "shivaji"),
    *("aps-dv", "dv-tt", "akruti"),
)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in points from the page's upper left corner, as it is shown."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a run of characters is drawn."""

    size_pt: float
    bold: bool
    legacy: bool
    invisible: bool
    fill: tuple[int, int, int] | None
    angle: int
    """Degrees that the writing is turned by, against the clock; -1 when it is slanted."""


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
    space = _Space(page)
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

    def __init__(self, page: pdfium.PdfPage, space: _Space) -> None:
        self._space = space
        self._rotation = page.get_rotation()
        self._width, self._height = page.get_size()
        self._picture = _drawn(page, self._width, self._height)

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


class _Drawn:
    """A page as pixels."""

    def __init__(self, pixels: NDArray[np.uint8], scale: float) -> None:
        self._pixels = pixels
        self._scale = scale
        self._edges = _sums(_edges(pixels))

    def shows(self, ink: Box, fill: tuple[int, int, int] | None) -> bool:
        """Whether something that could be the word stands in its place."""
        rows, columns = self._part(ink, 1)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return False
        sums = self._edges
        edges = (
            sums[rows.stop, columns.stop]
            - sums[rows.start, columns.stop]
            - sums[rows.stop, columns.start]
            + sums[rows.start, columns.start]
        )
        if edges == 0:
            return False
        if fill is None or min(fill) < LIGHT:
            return True
        return not self._on_its_own_colour(ink, fill)

    def _on_its_own_colour(self, ink: Box, fill: tuple[int, int, int]) -> bool:
        """Whether the word's surroundings are as light as the word: it may stand over other words."""
        rows, columns = self._part(ink, max(2, round((ink[3] - ink[1]) * self._scale / 5)))
        around = self._pixels[rows, columns].astype(np.int16)
        own = np.abs(around - np.array(fill, np.int16)).max(axis=2) < NEAR
        share = float(own.mean())
        edges = np.concatenate((own[:2].ravel(), own[-2:].ravel()))  # above and below the word
        return share > MOST_OWN_COLOUR or (share > SOME_OWN_COLOUR and float(edges.mean()) > 0.5)

    def _part(self, box: Box, margin: int) -> tuple[slice, slice]:
        left, top, right, bottom = (edge * self._scale for edge in box)
        height, width, _ = self._pixels.shape
        rows = slice(
            _within(math.floor(top) - margin, height), _within(math.ceil(bottom) + margin, height)
        )
        columns = slice(
            _within(math.floor(left) - margin, width), _within(math.ceil(right) + margin, width)
        )
        return rows, columns


def _within(pixel: int, most: int) -> int:
    return min(max(0, pixel), most)


def _edges(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a pixel differs from its right or its lower neighbour in some colour."""
    found = np.zeros(pixels.shape[:2], np.bool_)
    for colour in range(3):
        part = pixels[:, :, colour].astype(np.int16)
        found[:, :-1] |= np.abs(np.diff(part, axis=1)) >= LEAST_STEP
        found[:-1, :] |= np.abs(np.diff(part, axis=0)) >= LEAST_STEP
    return found


def _sums(found: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Summed-area table: how many are set above and left of each corner (Crow 1984)."""
    sums = np.zeros((found.shape[0] + 1, found.shape[1] + 1), np.int32)
    sums[1:, 1:] = found.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    return sums


def _drawn(page: pdfium.PdfPage, width: float, height: float) -> _Drawn:
    scale = min(RENDER_SCALE, MOST_RENDER_PIXELS / max(width, height, 1.0))
    bitmap = page.render(scale=scale, may_draw_forms=False, rev_byteorder=True)
    try:
        return _Drawn(bitmap.to_numpy()[:, :, :3].copy(), scale)
    finally:
        bitmap.close()


def _has_large_image(page: pdfium.PdfPage) -> bool:
    width, height = page.get_size()
    for image in page.get_objects(filter=[c.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = image.get_bounds()
        if (right - left) * (top - bottom) >= OCR_IMAGE_SHARE * width * height:
            return True
    return False


def _words(page: pdfium.PdfPage, space: _Space) -> Iterator[_Raw]:
    textpage = page.get_textpage()
    try:
        run = _Run(textpage.raw, space)
        styles = _Styles(textpage.raw)
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

    def __init__(self, textpage: c.FPDF_TEXTPAGE, space: _Space) -> None:
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


def _around(boxes: list[Box]) -> Box:
    left, bottom, right, top = zip(*boxes, strict=True)
    return min(left), min(bottom), max(right), max(top)


class _Space:
    """A page's own space (y upwards), and how it looks when turned."""

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._left, self._bottom, self._right, self._top = page.get_bbox()
        self._rect = c.FS_RECTF()
        self._edges = [ctypes.c_double() for _ in range(4)]

    def boxes(self, textpage: c.FPDF_TEXTPAGE, first: int, last: int) -> tuple[Box, Box]:
        """Where the characters ``first`` to ``last`` stand: (as high as the font, the ink alone), as
        low x, low y, high x, high y."""
        left, right, bottom, top = self._edges
        inks: list[Box] = []
        # pdfium joins the boxes of neighbours: a call for each word, not for each letter
        for number in range(c.FPDFText_CountRects(textpage, first, last - first + 1)):
            c.FPDFText_GetRect(textpage, number, left, top, right, bottom)
            inks.append((left.value, bottom.value, right.value, top.value))
        looses: list[Box] = []
        for number in {first, last}:
            if c.FPDFText_GetLooseCharBox(textpage, number, self._rect):
                rect = self._rect
                looses.append((rect.left, rect.bottom, rect.right, rect.top))
        found = inks or looses or [(0.0, 0.0, 0.0, 0.0)]
        return _around(looses or found), _around(found)

    def turned(self, box: Box, degrees: int) -> Box:
        """``box`` with y downwards, on a page turned with the clock by so many degrees."""
        x0, y0, x1, y1 = box
        left, bottom, right, top = self._left, self._bottom, self._right, self._top
        match degrees:
            case 90:
                return (y0 - bottom, x0 - left, y1 - bottom, x1 - left)
            case 180:
                return (right - x1, y0 - bottom, right - x0, y1 - bottom)
            case 270:
                return (top - y1, right - x1, top - y0, right - x0)
            case _:
                return (x0 - left, top - y1, x1 - left, top - y0)


class _Styles:
    """The style of a character, asked once for each text object of the page."""

    def __init__(self, textpage: c.FPDF_TEXTPAGE) -> None:
        self._textpage = textpage
        self._known: dict[int, Style] = {}
        self._matrix = c.FS_MATRIX()

    def of(self, number: int) -> Style:
        found = c.FPDFText_GetTextObject(self._textpage, number)
        key = ctypes.addressof(found.contents) if found else 0
        style = self._known.get(key)
        if style is None:
            style = self._known[key] = self._read(found, number)
        return style

    def _read(self, found: c.FPDF_PAGEOBJECT, number: int) -> Style:
        size = c.FPDFText_GetFontSize(self._textpage, number)
        if c.FPDFText_GetMatrix(self._textpage, number, self._matrix):
            size *= math.hypot(self._matrix.c, self._matrix.d)
        if not found:
            return Style(round(size, 1), False, False, False, None, 0)
        fill = [ctypes.c_uint() for _ in range(4)]
        filled = c.FPDFPageObj_GetFillColor(found, *fill)
        red, green, blue, alpha = (part.value for part in fill)
        mode = c.FPDFTextObj_GetTextRenderMode(found)
        font = c.FPDFTextObj_GetFont(found)
        name = _font_name(font)
        bold = any(word in name for word in _BOLD) or c.FPDFFont_GetWeight(font) >= 600
        return Style(
            round(size, 1),
            bold,
            any(word in name for word in _LEGACY_FONTS),
            mode in _INVISIBLE_MODES or bool(filled and alpha < LEAST_ALPHA),
            (red, green, blue) if filled and mode == c.FPDF_TEXTRENDERMODE_FILL else None,
            _angle(self._matrix),
        )


def _angle(matrix: c.FS_MATRIX) -> int:
    degrees = math.degrees(math.atan2(matrix.b, matrix.a))
    nearest = round(degrees / 90) * 90
    return nearest % 360 if abs(degrees - nearest) <= MOST_SLANT_DEGREES else -1


def _font_name(font: c.FPDF_FONT) -> str:
    buffer = ctypes.create_string_buffer(256)
    length = c.FPDFFont_GetBaseFontName(font, buffer, 256)
    return buffer.raw[: max(0, min(length, 256) - 1)].decode("utf-8", "replace").lower()
