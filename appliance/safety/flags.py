"""A finding as a row of the review queue: the same finding is the same flag, whoever tells it."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Literal

from appliance.events import Agent, Flag, Side, Turn
from appliance.safety.findings import Finding
from appliance.turn.words import normal

_ID_DIGITS = 32
"""128 bits: no two findings of a site meet by chance."""


def flag_id(call_id: str, turn: int, side: Side, rule: str, phrase: str) -> str:
    """Id of a flag, from where it was found and the words that matched: those that the guard stopped
    in the call and those that moderation finds afterwards are one flag."""
    words = " ".join(normal(phrase)) or phrase.strip()
    told = "\0".join((call_id, str(turn), side, rule, words))
    return sha256(told.encode("utf-8", "replace")).hexdigest()[:_ID_DIGITS]


def flag_of_turn(
    finding: Finding,
    turn: Turn,
    agent: Agent,
    *,
    found_by: Literal["guard", "moderation", "person"],
    at: datetime,
    phrase: str,
    place: tuple[int | None, int | None],
    side: Side = "agent",
    action: Literal["stopped", "late", "flagged"] = "flagged",
) -> Flag:
    """``finding`` in what this side said in ``turn``. ``phrase``: all of the words it was found in;
    ``place``: where they are heard, in ms of the call's media clock."""
    return Flag(
        id=flag_id(turn.call_id, turn.index, side, finding.rule, finding.phrase),
        at=at,
        call_id=turn.call_id,
        turn=turn.index,
        agent_id=agent.id,
        agent_version=agent.version,
        knowledge=agent.knowledge,
        knowledge_version=agent.knowledge_version,
        found_by=found_by,
        side=side,
        rule=finding.rule,
        category=finding.category,
        severity=finding.severity,
        action=action,
        phrase=phrase,
        question=turn.said,
        answer=turn.reply,
        begin_ms=place[0],
        end_ms=place[1],
    )
