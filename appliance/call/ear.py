"""A call's sound for somebody who listens in: both sides in step, in pieces of 100 ms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from appliance.audio import FRAME_MS, bytes_of, frame_bytes
from appliance.events import Offer

FRAMES = 5
"""Of 20 ms in a piece: ten messages a second, and a tenth of a second late."""
MOST_AHEAD_FRAMES = 10
"""Of the caller, when their frames come faster than ours go out; older ones are dropped."""


class Ear:
    """Joins what the caller says and what they hear. One a call, only while somebody listens."""

    def __init__(self, rate_hz: int, emit: Callable[[bytes], None]) -> None:
        """``emit``: given stereo L16, left the caller, right the agent."""
        self._size = frame_bytes(rate_hz)
        self._piece = bytes_of(FRAMES * FRAME_MS, rate_hz)
        self._emit = emit
        self._caller = bytearray()
        self._agent = bytearray()

    def caller(self, frame: bytes) -> None:
        """20 ms from the caller."""
        self._caller += frame
        if len(self._caller) > MOST_AHEAD_FRAMES * self._size:
            del self._caller[: -MOST_AHEAD_FRAMES * self._size]

    def agent(self, frame: bytes) -> None:
        """20 ms to the caller: the clock of both."""
        self._agent += frame
        if len(self._agent) < self._piece:
            return
        said = bytes(self._caller[: self._piece]).ljust(self._piece, b"\0")
        del self._caller[: self._piece]
        both = np.empty(self._piece, "<i2")  # two samples of two bytes each, for one of each side
        both[0::2] = np.frombuffer(said, "<i2")
        both[1::2] = np.frombuffer(bytes(self._agent[: self._piece]), "<i2")
        del self._agent[: self._piece]
        self._emit(both.tobytes())


def ear_of(offer: Offer, play: Callable[[str, bytes], None] | None, now: Ear | None) -> Ear | None:
    """The ear of a call that ``play`` listens to from now on (None: nobody), ``now`` the one it has.

    ``play`` is given the call's id and a message: one byte for the length of the id, the id, one byte
    for the rate in kHz, then the sound.
    """
    if play is None or now is not None:
        return now if play is not None else None
    call_id = offer.call_id.encode("ascii", "replace")
    head = bytes([len(call_id)]) + call_id + bytes([offer.rate_hz // 1000])
    return Ear(offer.rate_hz, lambda sound: play(offer.call_id, head + sound))
