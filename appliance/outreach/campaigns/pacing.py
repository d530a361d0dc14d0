"""How many calls of a campaign may be put on the list now. Pure.

A campaign never has more calls on the list, ringing and talking together, than ``most_at_once``, nor
than its share of what the workers could carry besides everybody else's calls: callers come first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EVERY_S = 5.0
"""Between two looks."""
MOST_A_LOOK = 50
"""Calls listed in one look: ``telephony/dialler.py`` begins 10 a second."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the workers said together."""

    capacity: int
    """Calls that they carry at most now; 0: none answers."""
    calls: int
    """Live ones."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One campaign's limits, and what it has under way."""

    most_at_once: int
    capacity_share: float
    """0 to 1."""
    under_way: int
    """Its calls on the list: those that wait, ring or talk."""
    talking: int
    """Those of them that the workers carry."""


def places(room: Room, elsewhere: int, pace: Pace) -> int:
    """Calls that the workers could take of this campaign if all were its own: what is left besides
    others' calls and the ``elsewhere`` ones that others have on the list and that ring soon."""
    others = max(0, room.calls - pace.talking) + elsewhere
    return max(0, room.capacity - others)


def may_begin(room: Room, elsewhere: int, pace: Pace) -> int:
    """How many more calls may be put on the list, 0 to ``MOST_A_LOOK``."""
    share = math.floor(pace.capacity_share * places(room, elsewhere, pace))
    allowed = min(pace.most_at_once, share)
    return max(0, min(allowed - pace.under_way, MOST_A_LOOK))


def obstacle(room: Room, elsewhere: int, pace: Pace) -> str:
    """Why no call may begin now, for people; empty: one may, or its own limit is reached."""
    if room.capacity == 0:
        return "No worker answers, so nobody is rung."
    free = places(room, elsewhere, pace)
    if pace.capacity_share * free < 1:
        return (
            f"Callers come first: {free} places are free, and {pace.capacity_share:.0%} of them is"
            " less than one call."
        )
    return ""
