"""The log of calls as people search it, and one call with all that is kept of it.

Pages go by keyset, (began, id), the newest first: page 2 000 costs what page 1 does. What a page shows
beside the rows (flags, turns of a live call) is looked up for its rows alone.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, text, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.events import CallRecord
from appliance.store.calls import CALL_COLUMNS, call_of
from appliance.store.knowledge_models import KnowledgeBaseRow, KnowledgeVersionRow
from appliance.store.legs import Leg, legs_of
from appliance.store.models import AgentRow, AgentVersionRow, CallRow, TurnRow
from appliance.store.outcomes import Outcome, outcome_column, outcome_of
from appliance.store.review_models import FlagRow, RedactionRow
from appliance.store.tenancy import of_visible_agent, visible_agents

STATEMENT_TIMEOUT_MS = 8000
"""Of one search: whoever looks for a rare thing in a million calls is told to narrow it."""
MOST_COUNTED = 1000
CANCELED = "57014"
"""SQLSTATE of a statement that ran into its timeout."""
_NUMBER_MARKS = re.compile(r"[\s().\-/]")

Cursor = tuple[datetime, str]
"""When the last call of a page began, and its id."""


@dataclass(frozen=True, slots=True)
class CallsWanted:
    """Which calls; an empty field lets all through."""

    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""
    number: str = ""
    """A part of the caller's or the dialled number."""
    agent_id: str = ""
    language: str = ""
    direction: str = ""
    """in, out or test; empty: all but tests."""
    outcome: Outcome | None = None
    flagged: str = ""
    """open: has a flag that nobody decided; any: has one."""
    slower_than_ms: int | None = None
    """Its gap p95 is more."""
    recorded: bool | None = None


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One line of the log."""

    call: CallRecord
    outcome: Outcome
    gap_p50_ms: int | None
    """None while it lives, and where nothing was answered."""
    gap_p95_ms: int | None
    flags: int
    flags_open: int
    recording_erased_at: datetime | None
    transcript_erased_at: datetime | None


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data in a recording."""

    side: str
    recording: str
    begin_ms: int
    end_ms: int
    kind: str
    beeped_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a call was answered with."""

    agent_name: str
    """Empty: the agent is no more."""
    published_at: datetime | None
    """Of the agent's version; None: the version is no more."""
    published_by: str
    note: str
    knowledge: str
    """Name of its base; empty: none."""
    knowledge_version: int
    """In force when the call began; 0: none was."""


@dataclass(frozen=True, slots=True)
class AgentName:
    """An agent that calls may be filtered by."""

    id: str
    name: str


def matching(wanted: CallsWanted, tenant: str | None) -> ColumnElement[bool]:
    """The calls that ``wanted`` names, of agents that people of ``tenant`` may know of."""
    c = CallRow
    found: list[ColumnElement[bool]] = [of_visible_agent(c.agent_id, tenant)]
    if wanted.since is not None:
        found.append(c.started_at >= wanted.since)
    if wanted.until is not None:
        found.append(c.started_at < wanted.until)
    if number := number_part(wanted.number):
        found.append(
            or_(c.caller.contains(number, autoescape=True), c.did.contains(number, autoescape=True))
        )
    for name in ("agent_id", "language"):
        if value := getattr(wanted, name):
            found.append(getattr(c, name) == value)
    found.append(
        c.direction == wanted.direction if wanted.direction else c.direction.in_(("in", "out"))
    )
    if wanted.outcome is not None:
        found.append(outcome_column() == wanted.outcome)
    if wanted.flagged:
        found.append(_flagged(only_open=wanted.flagged == "open"))
    if wanted.slower_than_ms is not None:
        found.append(c.gap_p95_ms > wanted.slower_than_ms)
    if wanted.recorded is not None:
        found.append(c.recording != "" if wanted.recorded else c.recording == "")
    return and_(*found)


def number_part(typed: str) -> str:
    """What is looked for when somebody types a number: ``98765 43210`` and ``(98765)-43210`` are one;
    what has letters (a SIP address) is taken as it stands."""
    typed = typed.strip()
    return typed if re.search(r"[A-Za-z@]", typed) else _NUMBER_MARKS.sub("", typed)


def _flagged(*, only_open: bool) -> ColumnElement[bool]:
    mine = exists().where(FlagRow.call_id == CallRow.call_id)
    return mine.where(FlagRow.state == "open") if only_open else mine


async def search_calls(
    engine: AsyncEngine,
    wanted: CallsWanted,
    tenant: str | None,
    *,
    before: Cursor | None = None,
    limit: int = 50,
) -> list[LoggedCall]:
    """A page of calls, the newest first. Raises UserError when that takes too long."""
    query = select(*CALL_COLUMNS).where(matching(wanted, tenant))
    if before is not None:
        query = query.where(tuple_(CallRow.started_at, CallRow.call_id) < before)
    query = query.order_by(CallRow.started_at.desc(), CallRow.call_id.desc()).limit(limit)
    async with _asking(engine) as connection:
        rows = await connection.execute(_with_figures(query))
        return [_logged(row) for row in rows.mappings()]


async def count_calls(engine: AsyncEngine, wanted: CallsWanted, tenant: str | None) -> int:
    """How many there are; :data:`MOST_COUNTED` + 1 stands for more. Raises UserError."""
    some = select(CallRow.call_id).where(matching(wanted, tenant)).limit(MOST_COUNTED + 1)
    async with _asking(engine) as connection:
        return int(await connection.scalar(select(func.count()).select_from(some.subquery())) or 0)


async def find_call(
    connection: AsyncConnection, call_id: str, tenant: str | None
) -> LoggedCall | None:
    """The call of that whole id; None when there is none, or it belongs to another tenant."""
    query = select(*CALL_COLUMNS).where(
        CallRow.call_id == call_id, of_visible_agent(CallRow.agent_id, tenant)
    )
    row = (await connection.execute(_with_figures(query))).mappings().one_or_none()
    return None if row is None else _logged(row)


def _with_figures(query: Select[Any]) -> Select[Any]:
    """``query`` of calls with what other tables say of each."""
    calls = query.subquery("page")
    flags = (
        select(
            func.count().label("flags"),
            func.count().filter(FlagRow.state == "open").label("flags_open"),
        )
        .where(FlagRow.call_id == calls.c.call_id)
        .lateral("marked")
    )
    written = (
        select(func.count().label("written"))
        .where(TurnRow.call_id == calls.c.call_id, calls.c.ended_at.is_(None))
        .lateral("so_far")
    )
    whole = select(calls, flags, written).join_from(calls, flags, flags.c.flags >= 0)
    whole = whole.join(written, written.c.written >= 0)
    return whole.order_by(calls.c.started_at.desc(), calls.c.call_id.desc())


def _logged(row: Any) -> LoggedCall:
    call = call_of(dict(row) | {"turns": max(row["turns"], row["written"])})
    return LoggedCall(
        call=call,
        outcome=outcome_of(call),
        gap_p50_ms=row["gap_p50_ms"],
        gap_p95_ms=row["gap_p95_ms"],
        flags=row["flags"],
        flags_open=row["flags_open"],
        recording_erased_at=row["recording_erased_at"],
        transcript_erased_at=row["transcript_erased_at"],
    )


@asynccontextmanager
async def _asking(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"))
            yield connection
    except DBAPIError as e:
        if getattr(e.orig, "sqlstate", "") != CANCELED:
            raise
        raise UserError(
            "That search takes too long. Narrow it: name a shorter time or an agent."
        ) from e


async def spans_of(connection: AsyncConnection, call_id: str) -> list[Span]:
    """Where personal data lies in the recordings of a call."""
    r = RedactionRow
    query = (
        select(r.side, r.recording, r.begin_ms, r.end_ms, r.kind, r.beeped_at)
        .where(r.call_id == call_id)
        .order_by(r.recording, r.begin_ms)
    )
    return [Span(*row) for row in await connection.execute(query)]


async def read_legs(connection: AsyncConnection, call_id: str) -> list[Leg]:
    """The channels of FreeSWITCH that a call had, in order; none where another edge carried it."""
    return await connection.run_sync(lambda sync: legs_of(sync, call_id))


async def read_snapshot(connection: AsyncConnection, call: CallRecord) -> Snapshot:
    """Which agent and which knowledge answered ``call``."""
    v, b, k = AgentVersionRow, KnowledgeBaseRow, KnowledgeVersionRow
    base = v.config["knowledge"].as_string()
    in_force = (
        select(func.max(k.version))
        .join(b, b.id == k.knowledge_base_id)
        .where(b.name == base, k.published_at <= call.started_at)
        .correlate(v)
        .scalar_subquery()
    )
    query = (
        select(AgentRow.name, v.published_at, v.published_by, v.note, base, in_force)
        .select_from(AgentRow)
        .outerjoin(v, and_(v.agent_id == AgentRow.id, v.version == call.agent_version))
        .where(AgentRow.id == call.agent_id)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return Snapshot("", None, "", "", "", 0)
    name, at, by, note, knowledge, version = row
    return Snapshot(name, at, by or "", note or "", knowledge or "", version or 0)


async def agents_to_filter(engine: AsyncEngine, tenant: str | None) -> Sequence[AgentName]:
    """The agents of a tenant, by name."""
    query = select(AgentRow.id, AgentRow.name).where(visible_agents(tenant))
    async with engine.connect() as connection:
        rows = await connection.execute(query.order_by(AgentRow.name, AgentRow.id).limit(500))
        return [AgentName(*row) for row in rows]
