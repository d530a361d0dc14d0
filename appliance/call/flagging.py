"""What the guard found in a turn, as a row of the review queue."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.call.reply import Found, Reply
from appliance.events import Agent, Flag, Turn
from appliance.safety.flag_id import flag_id


def flag_of(found: Found, turn: Turn, reply: Reply, agent: Agent, begin_ms: int) -> Flag:
    """``begin_ms``: of the reply's first frame, on the call's media clock."""
    finding = found.finding
    begin, end = _place(found, turn, reply, begin_ms)
    return Flag(
        id=flag_id(turn.call_id, turn.index, found.side, finding.rule, finding.phrase),
        at=datetime.now(UTC),
        call_id=turn.call_id,
        turn=turn.index,
        agent_id=agent.id,
        agent_version=agent.version,
        knowledge=agent.knowledge,
        knowledge_version=agent.knowledge_version,
        found_by="guard",
        side=found.side,
        rule=finding.rule,
        category=finding.category,
        severity=finding.severity,
        action=found.action,
        phrase=found.phrase,
        question=turn.said,
        answer=turn.reply,
        begin_ms=begin,
        end_ms=end,
    )


def _place(found: Found, turn: Turn, reply: Reply, begin_ms: int) -> tuple[int | None, int | None]:
    """Where in the recording; of what was not heard, where the safe phrase was said instead."""
    if found.side == "caller":
        return turn.stages.speech_start, turn.stages.speech_end
    place = reply.place_of(found.phrase) if found.action != "stopped" else None
    place = place or reply.place_of(reply.safe.text)
    return (begin_ms + place[0], begin_ms + place[1]) if place else (None, None)
