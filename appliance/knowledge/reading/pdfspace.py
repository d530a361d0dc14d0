"""Where things stand on a page of a PDF, and how that looks when the page is turned."""

from __future__ import annotations

import ctypes

import pypdfium2 as pdfium
import pypdfium2.raw as c

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in points from the page's upper left corner, as it is shown."""


def _around(boxes: list[Box]) -> Box:
    left, bottom, right, top = zip(*boxes, strict=True)
    return min(left), min(bottom), max(right), max(top)


class Space:
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
