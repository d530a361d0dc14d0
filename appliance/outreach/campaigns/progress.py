"""How fast a campaign goes, and until when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.outreach.campaigns.window import Window

LOOK_BACK = timedelta(hours=1)
FEWEST_CALLS = 5
"""Of fewer no speed is told."""


@dataclass(frozen=True, slots=True)
class Progress:
    """``per_hour`` is of open time: nights do not count."""

    per_hour: float | None
    expected_end: datetime | None


def progress(
    ended: int, first: datetime | None, left: int, window: Window, now: datetime
) -> Progress:
    """``ended`` calls were over in the last ``LOOK_BACK``, and the ``first`` of them when; ``left``
    contacts are still to be called."""
    if first is None or ended < FEWEST_CALLS or now <= first:
        return Progress(None, None)
    per_hour = ended / ((now - first) / timedelta(hours=1))
    if not left:
        return Progress(per_hour, None)
    return Progress(per_hour, window.after(now, timedelta(hours=left / per_hour)))
