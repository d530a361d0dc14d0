"""Figures of a call center over the journal: read only, bounded, grouped by Postgres.

What each figure means stands in ``store.terms``. Times are cut into hours or days of the site's zone.
Turns are counted from an index alone (``ix_turns_at``), for their rows hold all that was said.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    Integer,
    and_,
    case,
    cast,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.calls import LONGEST_CALL
from appliance.store.endings import ASKED_FOR_PERSON, COUNTS, REASON, TRANSFERRED, ending
from appliance.store.models import AgentRow, CallRow, TurnRow
from appliance.store.outcomes import Outcome, outcome_column
from appliance.store.review_models import FlagRow
from appliance.store.tenancy import of_visible_agent, visible_agents
from appliance.store.terms import REPEAT_WITHIN_H, DropOff, Ending, Volume

STATEMENT_TIMEOUT_S = 20
"""Of one query: figures are never worth more of the database than this."""
MOST_GROUPS = 100_000
"""Rows that come to us of one query; no site has so many agents."""
LAST_TURN = 12
"""Drop-off is shown turn by turn up to here; what is later counts here."""
MOST_KINDS = 20

Unit = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls: those that began from ``since`` to before ``until``."""

    since: datetime
    until: datetime
    zone: str
    tenant: str | None = None
    """None: of all tenants."""
    agent_id: str = ""
    language: str = ""
    """BCP 47, as the agents have it."""

    def before(self) -> Scope:
        """The period before, as many whole days earlier as this one lasts: the same hours of the day,
        and for weeks the same days of the week."""
        earlier = timedelta(days=math.ceil((self.until - self.since) / timedelta(days=1)))
        return dataclasses.replace(self, since=self.since - earlier, until=self.until - earlier)


@dataclass(frozen=True, slots=True)
class VolumeOf:
    """Calls that have all of these in common."""

    at: datetime
    """Begin of the hour or day, in the site's zone, without it."""
    direction: str
    agent_id: str
    language: str
    reason: str
    """Why they went, or should have gone, to a person; empty: they should not."""
    asked: int
    """Calls for which a person was asked."""
    volume: Volume


@dataclass(frozen=True, slots=True)
class FailureCount:
    """Turns in which the caller did not get what was meant, of one kind."""

    kind: str
    turns: int
    calls: int


async def read_only(connection: AsyncConnection) -> None:
    """Make the transaction that begins here read only, and bound each of its statements."""
    await connection.execute(text("SET TRANSACTION READ ONLY"))
    await connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_S * 1000}"))
    # grouping a month of turns in memory instead of on disk
    await connection.execute(text("SET LOCAL work_mem = '64MB'"))


def calls_in(scope: Scope) -> ColumnElement[bool]:
    """On CallRow: the calls of ``scope``."""
    wanted = [
        CallRow.started_at >= scope.since,
        CallRow.started_at < scope.until,
        COUNTS,
        of_visible_agent(CallRow.agent_id, scope.tenant),
    ]
    if scope.agent_id:
        wanted.append(CallRow.agent_id == scope.agent_id)
    if scope.language:
        wanted.append(CallRow.language == scope.language)
    return and_(*wanted)


def bucket(column: Any, unit: Unit, scope: Scope) -> ColumnElement[datetime]:
    """The hour or day that a time lies in, in the site's zone."""
    return func.date_trunc(literal(unit), func.timezone(scope.zone, column))


def _turns_of(scope: Scope) -> Any:
    """Of each call in range: turns with a gap, and barge-ins. From the index alone."""
    return (
        select(
            TurnRow.call_id,
            func.count(TurnRow.gap_ms).label("answered"),
            func.count().filter(TurnRow.barged_in).label("barged"),
        )
        .where(TurnRow.at >= scope.since, TurnRow.at < scope.until + LONGEST_CALL)
        .group_by(TurnRow.call_id)
        .subquery()
    )


def _each_call(scope: Scope, unit: Unit, now: datetime) -> CTE:
    """What is counted of one call: its ending, its time, whether its caller rang again."""
    turns = _turns_of(scope)
    again = _rang_again(scope)
    flagged = select(FlagRow.call_id).where(FlagRow.at >= scope.since).distinct().subquery()
    seconds = func.greatest(
        0, cast(func.extract("epoch", CallRow.ended_at - CallRow.started_at), Float)
    )
    known = and_(
        again.c.caller.is_not(None), CallRow.started_at <= now - timedelta(hours=REPEAT_WITHIN_H)
    )
    return (
        select(
            bucket(CallRow.started_at, unit, scope).label("at"),
            CallRow.direction,
            CallRow.agent_id,
            CallRow.language,
            case((ASKED_FOR_PERSON, REASON), else_="").label("reason"),
            ending(turns.c.answered).label("ending"),
            CallRow.turns,
            seconds.label("seconds"),
            func.coalesce(turns.c.barged, 0).label("barged"),
            cast(known, Integer).label("known"),
            cast(and_(known, again.c.again), Integer).label("again"),
            cast(flagged.c.call_id.is_not(None), Integer).label("flagged"),
        )
        .outerjoin(turns, turns.c.call_id == CallRow.call_id)
        .outerjoin(again, again.c.call_id == CallRow.call_id)
        .outerjoin(flagged, flagged.c.call_id == CallRow.call_id)
        .where(calls_in(scope))
        .cte("one")
        .prefix_with("MATERIALIZED")  # else each count works the ending out again
    )


async def read_volumes(
    connection: AsyncConnection, scope: Scope, unit: Unit, now: datetime
) -> list[VolumeOf]:
    """Calls by hour or day, direction, agent, language and reason of a transfer. ``now`` decides for
    which callers it is known whether they rang again."""
    one = _each_call(scope, unit, now)
    keys = (one.c.at, one.c.direction, one.c.agent_id, one.c.language, one.c.reason)
    handled = and_(one.c.ending.is_not(None), one.c.ending != Ending.MACHINE.value)
    query = (
        select(
            *keys,
            func.count().label("offered"),
            *(func.count().filter(one.c.ending == kind.value).label(kind.value) for kind in Ending),
            func.coalesce(func.sum(one.c.seconds).filter(handled), 0.0).label("handle_s"),
            func.coalesce(func.sum(one.c.known), 0).label("known_callers"),
            func.coalesce(func.sum(one.c.again), 0).label("repeated"),
            func.sum(one.c.flagged).label("flagged"),
            cast(func.sum(one.c.barged), Integer).label("barged_in"),
            func.sum(one.c.turns).label("turns"),
        )
        .group_by(*keys)
        .limit(MOST_GROUPS)
    )
    rows = (await connection.execute(query)).mappings()
    return [
        VolumeOf(
            row["at"], row["direction"], row["agent_id"], row["language"], row["reason"],
            row["offered"] if row["reason"] else 0,
            Volume(
                **{name: row[name] for name in Volume.__dataclass_fields__ if name != "handle_s"},
                handle_s=float(row["handle_s"]),
            ),
        )
        for row in rows
    ]  # fmt: skip


_SHOWN_NUMBER = func.length(func.regexp_replace(CallRow.caller, "[^1-9]", "", "g")) >= 3
"""On CallRow: the caller showed a number, and not 000 or "anonymous"."""


def _rang_again(scope: Scope) -> Any:
    """Of each call in: whether its caller rang again within ``REPEAT_WITHIN_H`` hours, whichever
    agent answered then. A tenant's callers are looked for among its own calls alone."""
    window = timedelta(hours=REPEAT_WITHIN_H)
    following = func.lead(CallRow.started_at).over(
        partition_by=CallRow.caller, order_by=CallRow.started_at
    )
    return (
        select(
            CallRow.call_id,
            CallRow.caller,
            func.coalesce(following <= CallRow.started_at + window, False).label("again"),
        )
        .where(
            CallRow.started_at >= scope.since,
            CallRow.started_at < scope.until + window,
            CallRow.direction == "in",
            COUNTS,
            _SHOWN_NUMBER,
            of_visible_agent(CallRow.agent_id, scope.tenant),
        )
        .subquery()
    )


async def read_drop_off(connection: AsyncConnection, scope: Scope) -> list[DropOff]:
    """Calls that a person was at the other end of, by how many of their turns were answered."""
    turns = _turns_of(scope)
    answered = func.least(func.coalesce(turns.c.answered, 0), LAST_TURN).label("answered")
    hung_up = and_(CallRow.ended_by == "caller", ~TRANSFERRED)
    query = (
        select(answered, func.count(), func.count().filter(hung_up))
        .outerjoin(turns, turns.c.call_id == CallRow.call_id)
        .where(
            calls_in(scope),
            CallRow.ended_at.is_not(None),
            outcome_column() != Outcome.MACHINE.value,
        )
        .group_by(answered)
    )
    found = {row[0]: (row[1], row[2]) for row in await connection.execute(query)}
    steps, reached = [], sum(calls for calls, _ in found.values())
    for turn in range(LAST_TURN + 1):
        calls, dropped = found.get(turn, (0, 0))
        if reached:
            steps.append(DropOff(turn, reached, dropped))
        reached -= calls
    return steps


async def count_calls(connection: AsyncConnection, scope: Scope) -> int:
    """Calls of ``scope``."""
    query = select(func.count()).select_from(CallRow).where(calls_in(scope))
    return int(await connection.scalar(query) or 0)


async def read_failures(connection: AsyncConnection, scope: Scope) -> list[FailureCount]:
    """What callers did not get as meant, by kind: the words before a colon; the commonest first."""
    what = func.regexp_split_to_table(TurnRow.failure, "; ").label("what")
    failed = (
        select(TurnRow.call_id, TurnRow.index, what)
        .join(CallRow, CallRow.call_id == TurnRow.call_id)
        .where(
            calls_in(scope),
            TurnRow.failure != "",
            TurnRow.at >= scope.since,
            TurnRow.at < scope.until + LONGEST_CALL,
        )
        .subquery()
    )
    kind = func.split_part(failed.c.what, ":", 1).label("kind")
    query = (
        select(kind, func.count().label("turns"), func.count(failed.c.call_id.distinct()))
        .group_by(kind)
        .order_by(func.count().desc(), kind)
        .limit(MOST_KINDS)
    )
    return [FailureCount(*row) for row in await connection.execute(query)]


async def read_stages(
    connection: AsyncConnection, scope: Scope, calls: int, most_turns: int
) -> Sequence[dict[str, Any]]:
    """``stages`` of answered turns, ``most_turns`` at most, of calls taken evenly from all over the
    range, of which there are ``calls``."""
    wanted_calls = max(1, most_turns // 4)
    every = max(1, calls // wanted_calls)
    sampled = (
        select(CallRow.call_id)
        .where(calls_in(scope), func.abs(func.hashtext(CallRow.call_id)) % every == 0)
        .limit(wanted_calls * 2)
        .cte("sampled")
        .prefix_with("MATERIALIZED")
    )
    query = (
        select(TurnRow.stages)
        .join_from(sampled, TurnRow, TurnRow.call_id == sampled.c.call_id)
        .where(TurnRow.gap_ms.is_not(None))
        .limit(most_turns)
    )
    return (await connection.execute(query)).scalars().all()


async def read_agents(connection: AsyncConnection, tenant: str | None) -> dict[str, str]:
    """Names of the agents that people of ``tenant`` may choose from, by id."""
    query = select(AgentRow.id, AgentRow.name).where(visible_agents(tenant)).order_by(AgentRow.name)
    return {row[0]: row[1] for row in await connection.execute(query)}
