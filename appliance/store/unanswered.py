"""Questions that agents had no answer to, by their wording: what the knowledge lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.events import Agent
from appliance.store.analytics import Scope, calls_in
from appliance.store.models import AgentVersionRow, CallRow, TurnRow
from appliance.store.questions import ANSWERED, LONGEST_LETTERS
from appliance.turn.words import normal

MOST_CALLS = 5000
"""The latest ones are looked at, by their turns' key."""
MOST_ROWS = 2000
"""Turns that come to us."""

_DEFAULT = Agent("", 0, "").unknown_answer


@dataclass(frozen=True, slots=True)
class Unanswered:
    """One question, under its commonest wording."""

    text: str
    agent_id: str
    calls: int
    last_at: datetime
    call_id: str
    turn: int
    """Where it was asked last."""


async def read_unanswered(
    connection: AsyncConnection, scope: Scope, most: int = 50
) -> list[Unanswered]:
    """Turns whose reply was, or held, the agent's ``unknown_answer``; those asked most first. Of the
    latest ``MOST_CALLS`` calls; words that were erased are gone here too."""
    latest = (
        select(CallRow.call_id, CallRow.agent_id, CallRow.agent_version)
        .where(calls_in(scope))
        .order_by(CallRow.started_at.desc())
        .limit(MOST_CALLS)
        .subquery()
    )
    unknown = func.coalesce(
        func.nullif(AgentVersionRow.config["unknown_answer"].astext, ""), _DEFAULT
    )
    query = (
        select(TurnRow.said, latest.c.agent_id, TurnRow.at, TurnRow.call_id, TurnRow.index)
        .select_from(latest)
        .join(TurnRow, TurnRow.call_id == latest.c.call_id)
        .outerjoin(
            AgentVersionRow,
            (AgentVersionRow.agent_id == latest.c.agent_id)
            & (AgentVersionRow.version == latest.c.agent_version),
        )
        .where(
            TurnRow.said != "",
            func.length(TurnRow.said) <= LONGEST_LETTERS,
            TurnRow.source.in_(ANSWERED),
            func.strpos(TurnRow.reply, unknown) > 0,
        )
        .order_by(TurnRow.at.desc())
        .limit(MOST_ROWS)
    )
    rows = await connection.execute(query)
    return grouped((Unanswered(row[0], row[1], 1, row[2], row[3], row[4]) for row in rows), most)


def grouped(asked: Iterable[Unanswered], most: int) -> list[Unanswered]:
    """The same question of the same agent under one wording: those that differ in case, punctuation
    or fillers are the same. The commonest first, then the latest."""
    groups: dict[tuple[str, tuple[str, ...]], list[Unanswered]] = {}
    for one in asked:
        if words := normal(one.text):
            groups.setdefault((one.agent_id, words), []).append(one)
    found = []
    for (agent_id, _), group in groups.items():
        wordings = [one.text for one in group]
        latest = max(group, key=lambda one: one.last_at)
        found.append(
            Unanswered(
                max(wordings, key=lambda text: (wordings.count(text), text)),
                agent_id,
                len({one.call_id for one in group}),
                latest.last_at,
                latest.call_id,
                latest.turn,
            )
        )
    return sorted(found, key=lambda one: (-one.calls, -one.last_at.timestamp()))[:most]
