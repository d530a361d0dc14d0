"""Calls that we are going to make: when their answers will come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.telephony.hours import Hours

RINGING_AT_ONCE = 10
"""``telephony/dialler.py`` rings no more."""
RING_S = 20.0
"""From dialling to an answer, or to giving up, on average."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Calls that wait to be made."""

    at_s: float
    """Unix seconds from which they are due."""
    calls: int
    hours: str
    """Key of the calling hours."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """What holds the dialler back."""

    answer_share: float
    """Of attempts, how many are answered."""
    holding_s: float
    most_calls: int
    """Live calls of the switch."""


def answered(
    waiting: Sequence[Waiting],
    hours: Mapping[str, Hours],
    starts: Sequence[float],
    interval_s: int,
    pacing: Pacing,
) -> list[float]:
    """Answered calls that begin in each interval of ``starts`` (unix seconds).

    What is due is dialled as fast as ``RINGING_AT_ONCE`` allows, inside its hours, while the switch
    has room; the rest stays for the next interval. What nobody answers is not counted again: its
    retries are due later, and known by then.
    """
    coming = sorted(waiting, key=lambda one: one.at_s)
    due: dict[str, float] = {}
    dials = RINGING_AT_ONCE * interval_s / RING_S
    stays = math.exp(-interval_s / max(1.0, pacing.holding_s))
    talking, found, position = 0.0, [], 0
    for start in starts:
        while position < len(coming) and coming[position].at_s < start + interval_s:
            one = coming[position]
            due[one.hours] = due.get(one.hours, 0.0) + one.calls
            position += 1
        # Calls that begin in an interval and live at its end, by M/G/inf: rate × holding × (1 - stays)
        lasting = pacing.holding_s * (1 - stays) / interval_s
        room = max(0.0, pacing.most_calls - talking * stays) / max(lasting, 1e-9)
        left = min(dials, room / max(pacing.answer_share, 1e-9))
        made = 0.0
        for key, count in due.items():
            if hours[key].open_at(datetime.fromtimestamp(start, UTC)):
                taken = min(count, left - made)
                due[key] -= taken
                made += taken
        found.append(made * pacing.answer_share)
        talking = talking * stays + found[-1] * lasting
    return found
