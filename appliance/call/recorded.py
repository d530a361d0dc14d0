"""Where a call's recording lies, and who makes it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

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


def recording_name(offer: Offer, recording: Recording | None, folder: Path) -> str:
    """Relative to the recordings folder, whoever records; empty: nobody."""
    return str(recording.path.relative_to(folder)) if recording else offer.recording
