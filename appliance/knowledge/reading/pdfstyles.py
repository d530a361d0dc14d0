"""How the characters of a PDF are set: size, weight, colour, slant."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import pypdfium2.raw as c

LEAST_ALPHA = 16
MOST_SLANT_DEGREES = 10
"""Of a page scanned askew; watermarks have 45."""

_INVISIBLE_MODES = (c.FPDF_TEXTRENDERMODE_INVISIBLE, c.FPDF_TEXTRENDERMODE_CLIP)
_BOLD = ("bold", "black", "heavy", "semibold", "demi")
_LEGACY_FONTS = (
    *("kruti", "devlys", "chanakya", "shree-dev", "shreedev", "walkman", "shivaji"),
    *("aps-dv", "dv-tt", "akruti"),
)


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


class Styles:
    """The style of a character, asked once for each text object of the page."""

    def __init__(self, textpage: c.FPDF_TEXTPAGE) -> None:
        self._textpage = textpage
        self._known: dict[int, Style] = {}
        self._matrix = c.FS_MATRIX()

    def of(self, number: int) -> Style:
        """That of the character with this number."""
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
