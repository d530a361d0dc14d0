"""What the guard found in a turn, as a row of the review queue."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.call.reply import Found, Reply
from appliance.events import Agent, Flag, Turn
from appliance.safety.flags import flag_of_turn


def flag_of(found: Found, turn: Turn, reply: Reply, agent: Agent, begin_ms: int) -> Flag:
    """``begin_ms``: of the reply's first frame, on the call's media clock."""
    return flag_of_turn(
        found.finding,
        turn,
        agent,
        found_by="guard",
        at=datetime.now(UTC),
        phrase=found.phrase,
        place=_place(found, turn, reply, begin_ms),
        side=found.side,
        action=found.action,
    )


def _place(found: Found, turn: Turn, reply: Reply, begin_ms: int) -> tuple[int | None, int | None]:
    """Where in the recording; of what was not heard, where the safe phrase was said instead."""
    if found.side == "caller":
        return turn.stages.speech_start, turn.stages.speech_end
    place = reply.place_of(found.phrase) if found.action != "stopped" else None
    place = place or reply.place_of(reply.safe.text)
    return (begin_ms + place[0], begin_ms + place[1]) if place else (None, None)
