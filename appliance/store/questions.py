"""What callers ask most, found in the journal: to be looked up and read in advance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from sqlalchemy import case, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.store.models import CallRow, TurnRow
from appliance.turn.words import normal

MOST_CALLS = 2000
"""Of an agent, the latest, looked at; by the index on agent and time, then by the turns' key."""
MOST_ROWS = 500
"""Wordings that come to us, those of most calls first: 3 ms of a worker's loop."""
LONGEST_LETTERS = 200
"""What is longer is a story, which no second caller tells in the same words."""
STATEMENT_TIMEOUT_MS = 3000
"""It runs beside live calls, which need Postgres more."""
LEAST_CALLS = 2
LEAST_CALLERS = 2
ANSWERED = ("llm", "extractive", "cached")
"""Sources of replies to what somebody asked; the others are to silence, keys or farewells."""


@dataclass(frozen=True, slots=True)
class Question:
    """One pattern: its commonest wording, and in how many calls it was asked. A call in which it was
    asked in two wordings counts twice."""

    text: str
    calls: int


async def common_questions(
    engine: AsyncEngine, agent_id: str, *, days: int = 14, most: int = 8
) -> list[Question]:
    """The ``most`` questions asked in at least two of the agent's calls of the last ``days``, the
    commonest first. Wordings that differ in case, punctuation or fillers are one question.

    What only one caller asks, however often, is their own matter: it is kept for nobody else to be
    answered with, nor beyond what is kept of their calls. Who shows no number counts by the call.

    Raises SQLAlchemyError or OSError when Postgres is away, or takes over 3 s.
    """
    since = datetime.now(UTC) - timedelta(days=days)
    latest = (
        select(CallRow.call_id, _PERSON.label("person"))
        .where(
            CallRow.agent_id == agent_id, CallRow.started_at >= since, CallRow.direction != "test"
        )
        .order_by(CallRow.started_at.desc())
        .limit(MOST_CALLS)
        .subquery()
    )
    wording = func.lower(func.btrim(TurnRow.said, " .,?!।")).label("wording")
    asked = func.count(TurnRow.call_id.distinct()).label("asked")
    query = (
        select(
            *(wording, asked),
            func.min(latest.c.person).label("first"),
            func.max(latest.c.person).label("last"),
        )
        .join(latest, latest.c.call_id == TurnRow.call_id)
        .where(
            TurnRow.said != "",
            func.length(TurnRow.said) <= LONGEST_LETTERS,
            TurnRow.source.in_(ANSWERED),
        )
        .group_by(wording)
        .order_by(asked.desc(), wording)
        .limit(MOST_ROWS)
    )
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"))
        rows = (await connection.execute(query)).all()
    callers = {row.wording: frozenset((row.first, row.last)) for row in rows}
    return patterns(((row.wording, row.asked) for row in rows), most, callers)


_PERSON = case(
    (func.length(func.regexp_replace(CallRow.caller, "[^1-9]", "", "g")) >= 3, CallRow.caller),
    else_=CallRow.call_id,
)


def patterns(
    wordings: Iterable[tuple[str, int]],
    most: int,
    callers: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> list[Question]:
    """Questions out of ``(wording, calls)``, the same words under the commonest wording. ``callers``:
    of a wording, some who asked it, two at least where there were two."""
    groups: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for wording, calls in wordings:
        if words := normal(wording):
            groups.setdefault(words, []).append((calls, wording))
    for words, group in list(groups.items()):
        known = [callers[wording] for _, wording in group if wording in callers]
        if known and len(frozenset[str]().union(*known)) < LEAST_CALLERS:
            del groups[words]
    found = [Question(max(group)[1], sum(calls for calls, _ in group)) for group in groups.values()]
    common = [question for question in found if question.calls >= LEAST_CALLS]
    return sorted(common, key=lambda question: (-question.calls, question.text))[:most]
