"""Where a call's recording lies, and who makes it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from appliance.call.redacting import File
from appliance.events import Agent, Offer
from appliance.media.recording import DiskWriter, Recording


def open_recording(
    offer: Offer, agent: Agent, begun_at: datetime, disk: DiskWriter | None, folder: Path
) -> Recording | None:
    """A recording of our own, below ``folder``; None where the edge records, or nobody does."""
    if disk is None or offer.recording or not agent.record:
        return None
    part = f".{offer.part}" if offer.part > 1 else ""  # never over an earlier one
    path = folder / f"{begun_at:%Y/%m/%d}/{offer.call_id}{part}.wav"
    return Recording(path, offer.rate_hz, disk)


EDGE_EARLY_MS = 1000
"""An edge begins to record when the call is answered (``telephony/channel.py``), which it hears of a
message or two after our clock has begun: so a sound lies a little earlier in its file than on our
clock, less than this."""


def file_of(
    offer: Offer,
    recording: Recording | None,
    folder: Path,
    begun_at: datetime,
    first_begun_at: datetime | None,
) -> File:
    """Where the call's audio is kept, and how its time and the media clock go together.

    ``first_begun_at``: when an earlier worker's clock began (None: not known); an edge records all
    parts of a call in one file.
    """
    name = recording_name(offer, recording, folder)
    if recording is not None:
        return File(name, mark=recording.redact)
    if offer.part == 1:
        return File(name, early_ms=EDGE_EARLY_MS)
    if first_begun_at is None:
        return File(name, offset_ms=None)
    offset_ms = round((begun_at - first_begun_at).total_seconds() * 1000)
    return File(name, offset_ms=offset_ms, early_ms=EDGE_EARLY_MS)


def recording_name(offer: Offer, recording: Recording | None, folder: Path) -> str:
    """Relative to the recordings folder, whoever records; empty: nobody."""
    return str(recording.path.relative_to(folder)) if recording else offer.recording
