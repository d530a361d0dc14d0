"""The recording of one call: whose it is, where it lies, how its time goes with the media clock."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from appliance.call.redacting import File
from appliance.events import Agent, Offer
from appliance.media.recording import DiskWriter, Recording

EDGE_EARLY_MS = 1000
"""An edge begins to record when the call is answered (``telephony/channel.py``), which it hears of a
message or two after our clock has begun: so a sound lies a little earlier in its file than on our
clock, less than this."""


class CallRecording:
    """Made by us, by the edge, or by nobody."""

    def __init__(
        self, offer: Offer, agent: Agent, begun_at: datetime, disk: DiskWriter | None, folder: Path
    ) -> None:
        """``begun_at``: of this part of the call; ``folder``: of all recordings."""
        self._part = offer.part
        self._begun_at = begun_at
        self._ours: Recording | None = None
        self.name = offer.recording
        """Relative to the recordings folder; empty: nobody records."""
        if disk is not None and not offer.recording and agent.record:
            part = f".{offer.part}" if offer.part > 1 else ""  # never over an earlier one
            self.name = f"{begun_at:%Y/%m/%d}/{offer.call_id}{part}.wav"
            self._ours = Recording(folder / self.name, offer.rate_hz, disk)

    def caller(self, frame: bytes, clock_ms: int) -> None:
        """A frame of the caller's, at ``clock_ms`` of the media clock."""
        if self._ours is not None:
            self._ours.caller(frame, clock_ms)

    def agent(self, frame: bytes, clock_ms: int) -> None:
        """A frame of the agent's."""
        if self._ours is not None:
            self._ours.agent(frame, clock_ms)

    def close(self) -> None:
        """The call is over."""
        if self._ours is not None:
            self._ours.close()

    def file(self, first_begun_at: datetime | None) -> File:
        """Where the call's audio is kept, for whoever marks places in it.

        ``first_begun_at``: when an earlier worker's clock began (None: not known); an edge records
        all parts of a call in one file.
        """
        if self._ours is not None:
            return File(self.name, mark=self._ours.redact)
        if self._part == 1:
            return File(self.name, early_ms=EDGE_EARLY_MS)
        if first_begun_at is None:
            return File(self.name, offset_ms=None)
        offset_ms = round((self._begun_at - first_begun_at).total_seconds() * 1000)
        return File(self.name, offset_ms=offset_ms, early_ms=EDGE_EARLY_MS)
