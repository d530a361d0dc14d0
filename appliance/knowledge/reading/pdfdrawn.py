"""A page of a PDF as it is drawn: whether something can be seen in a place."""

from __future__ import annotations

import math

import numpy as np
import pypdfium2 as pdfium
from numpy.typing import NDArray

from appliance.knowledge.reading.pdfspace import Box

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


class Drawn:
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


def drawn(page: pdfium.PdfPage, width: float, height: float) -> Drawn:
    """``page``, of this size in points, as pixels."""
    scale = min(RENDER_SCALE, MOST_RENDER_PIXELS / max(width, height, 1.0))
    bitmap = page.render(scale=scale, may_draw_forms=False, rev_byteorder=True)
    try:
        return Drawn(bitmap.to_numpy()[:, :, :3].copy(), scale)
    finally:
        bitmap.close()
