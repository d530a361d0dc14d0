"""Finds known sound in a recording: was it heard, all of it, in its order, and when?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.audio import Samples, bytes_of, level_db, ms_of

PIECE_MS = 200
QUIET_DB = -38.0
"""Pieces quieter than this are pauses between words: everything is like them."""
LIKE = 0.9
"""Normalised cross-correlation from which on two pieces are the same sound; G.711 leaves 0.98 or
more of it, and other vowels of the same voice reach 0.85."""
SHAKE_MS = 60
"""Jitter buffers may drop or add a frame or two between two pieces."""


LONGEST_STOP_MS = 4000
"""Silence that an interruption may put between two pieces."""


Likenesses = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of the expected sound: where it should be, and where it is most alike."""

    expected_ms: int
    at_ms: int
    likeness: float


def pieces_in(expected: bytes, heard: bytes, rate_hz: int) -> list[Found]:
    """Every piece of ``expected`` (L16) that is no pause, with its place in ``heard``: of the first
    one anywhere, of each other one behind the one before it."""
    places = _Places(heard, rate_hz)
    size = bytes_of(PIECE_MS, rate_hz)
    found: list[Found] = []
    good: Found | None = None
    for begin in range(0, len(expected) - size + 1, size):
        piece = np.frombuffer(expected[begin : begin + size], "<i2")
        if level_db(piece) > QUIET_DB:
            found.append(_next(places.likenesses(piece), ms_of(begin, rate_hz), good, rate_hz))
            good = found[-1] if found[-1].likeness >= LIKE else good
    return found


def _next(likenesses: Likenesses, expected_ms: int, before: Found | None, rate_hz: int) -> Found:
    """The piece at ``expected_ms``: right behind the one before it, or else later."""
    if before is None:
        windows = [(0, len(likenesses))]
    else:
        due_ms = before.at_ms + expected_ms - before.expected_ms
        bounds = ((due_ms - SHAKE_MS, due_ms + SHAKE_MS), (due_ms, due_ms + LONGEST_STOP_MS))
        windows = [(a * rate_hz // 1000, b * rate_hz // 1000) for a, b in bounds]
    at = 0
    for begin, end in windows:
        window = likenesses[max(0, begin) : end]
        if len(window) == 0:
            continue
        at = max(0, begin) + int(np.argmax(window))
        if likenesses[at] >= LIKE:
            break
    return Found(expected_ms, at * 1000 // rate_hz, round(float(likenesses[at]), 3))


class _Places:
    """Where in one recording a piece of sound may stand."""

    def __init__(self, heard: bytes, rate_hz: int) -> None:
        whole = np.frombuffer(heard, "<i2").astype(np.float64)
        size = bytes_of(PIECE_MS, rate_hz) // 2
        self._length = 1 << (len(whole) + size).bit_length()
        self._spectrum = np.fft.rfft(whole, self._length)
        power = np.concatenate(([0.0], np.cumsum(whole**2)))
        self._norms = np.sqrt(np.maximum(power[size:] - power[:-size], 1.0))

    def likenesses(self, piece: Samples) -> Likenesses:
        """Normalised cross-correlation (-1 to 1) with what begins at each sample."""
        values = piece.astype(np.float64)
        mirrored = np.conj(np.fft.rfft(values, self._length))
        products = np.fft.irfft(self._spectrum * mirrored, self._length)
        shares: Likenesses = products[: len(self._norms)] / self._norms / np.linalg.norm(values)
        return shares


def assert_heard(expected: bytes, heard: bytes, rate_hz: int) -> list[Found]:
    """All of ``expected`` stands in ``heard``, in its order; silence may stand in between.

    One piece in ten, or two, may be damaged: a busy machine loses a frame. Returns the pieces.
    """
    pieces = pieces_in(expected, heard, rate_hz)
    good = [piece for piece in pieces if piece.likeness >= LIKE]
    assert good and len(pieces) - len(good) <= max(2, len(pieces) // 10), pieces
    assert pieces[0] in good or pieces[1] in good, f"its beginning is missing: {pieces}"
    assert pieces[-1] in good, f"its end is missing: {pieces}"
    return good
