"""Taking calls out of the database: what is too old, and what a caller wants gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.calls import SURELY_OVER
from appliance.store.models import AgentVersionRow, CallRow, LegRow, OutboundRow, TurnRow
from appliance.store.outreach_models import CampaignRow, ContactRow
from appliance.store.review_models import ErasureRow, FlagRow, RedactionRow
from appliance.store.tenancy import of_visible_agent

What = Literal["recordings", "transcripts", "log"]
LIVE_OUTBOUND = ("dialling", "talking")


@dataclass(frozen=True, slots=True)
class Days:
    """How long an agent keeps what; 0: as the settings say."""

    agent_id: str
    recordings: int
    transcripts: int
    log: int


@dataclass(frozen=True, slots=True)
class OldCall:
    """A call of which something is to be erased."""

    call_id: str
    agent_id: str
    started_at: datetime
    recording: str


@dataclass(frozen=True, slots=True)
class Erased:
    """What one run took away, and what a second look still found."""

    reason: Literal["retention", "request"]
    agent_id: str
    what: str
    older_than: datetime | None
    calls: int = 0
    files: int = 0
    rows: int = 0
    left: int = 0
    asked_by: str = ""
    note: str = ""


# --- how long -------------------------------------------------------------------------------------


async def read_days(engine: AsyncEngine) -> list[Days]:
    """What the latest version of each agent says, and 0s for agents that only calls know."""
    names = ("keep_recordings_days", "keep_transcripts_days", "keep_log_days")
    latest = (
        select(
            AgentVersionRow.agent_id,
            *(
                func.coalesce(AgentVersionRow.config[name].as_integer(), 0).label(name)
                for name in names
            ),
        )
        .ext(distinct_on(AgentVersionRow.agent_id))
        .order_by(AgentVersionRow.agent_id, AgentVersionRow.version.desc())
    )
    async with engine.connect() as connection:
        found = [Days(*row) for row in await connection.execute(latest)]
        others = await connection.scalars(
            select(CallRow.agent_id)
            .where(CallRow.agent_id.not_in([d.agent_id for d in found]))
            .distinct()
        )
        return [*found, *(Days(agent_id, 0, 0, 0) for agent_id in others)]


# --- what is too old ------------------------------------------------------------------------------


async def old_calls(
    engine: AsyncEngine,
    what: What,
    agent_id: str,
    before: datetime,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[OldCall]:
    """Calls of an agent that began ``before`` and still have ``what``, the oldest first."""
    statement = (
        select(CallRow.call_id, CallRow.agent_id, CallRow.started_at, CallRow.recording)
        .where(_is_old(what, agent_id, before))
        .order_by(CallRow.started_at, CallRow.call_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(CallRow.started_at, CallRow.call_id) > after)
    async with engine.connect() as connection:
        return [OldCall(*row) for row in await connection.execute(statement)]


async def count_old(engine: AsyncEngine, what: What, agent_id: str, before: datetime) -> int:
    """How many such calls there are."""
    statement = select(func.count()).select_from(CallRow).where(_is_old(what, agent_id, before))
    async with engine.connect() as connection:
        return int(await connection.scalar(statement) or 0)


def _is_old(what: What, agent_id: str, before: datetime) -> ColumnElement[bool]:
    old = and_(
        CallRow.agent_id == agent_id,
        CallRow.started_at < before,
        or_(CallRow.ended_at.is_not(None), CallRow.started_at < func.now() - SURELY_OVER),
    )
    match what:
        case "recordings":
            return and_(old, CallRow.recording != "")
        case "transcripts":
            return and_(old, or_(CallRow.transcript_erased_at.is_(None), _has_words()))
        case _:
            return old


def _has_words() -> ColumnElement[bool]:
    """Rows may come late: a spool that was shipped after its call was erased."""
    turn = or_(TurnRow.said != "", TurnRow.reply != "", TurnRow.heard != "")
    flag = or_(FlagRow.phrase != "", FlagRow.question != "", FlagRow.answer != "")
    return or_(
        CallRow.summary != "",
        CallRow.memory != "",
        exists().where(TurnRow.call_id == CallRow.call_id, turn),
        exists().where(FlagRow.call_id == CallRow.call_id, flag),
    )


async def erase_recordings(engine: AsyncEngine, call_ids: Sequence[str]) -> int:
    """Note that these calls' recordings are gone; returns the rows changed."""
    async with engine.begin() as connection:
        changed = await connection.execute(
            update(CallRow)
            .where(CallRow.call_id.in_(call_ids))
            .values(recording="", recording_erased_at=func.now())
        )
        await connection.execute(
            update(RedactionRow)
            .where(RedactionRow.call_id.in_(call_ids), RedactionRow.beeped_at.is_(None))
            .values(beeped_at=func.now())
        )
        return changed.rowcount


async def erase_words(engine: AsyncEngine, call_ids: Sequence[str]) -> int:
    """Empty what was said in these calls; figures and times stay. Returns the rows changed."""
    nothing = cast(literal("[]"), JSONB)
    async with engine.begin() as connection:
        rows = 0
        for statement in (
            update(TurnRow)
            .where(TurnRow.call_id.in_(call_ids))
            .values(said="", reply="", heard="", passages=nothing),
            update(FlagRow)
            .where(FlagRow.call_id.in_(call_ids))
            .values(phrase="", question="", answer="", retest=None),
            update(CallRow)
            .where(CallRow.call_id.in_(call_ids))
            .values(
                summary="",
                memory="",
                facts=cast(literal("{}"), JSONB),
                transcript_erased_at=func.now(),
            ),
        ):
            rows += (await connection.execute(statement)).rowcount
        return rows


async def erase_calls(engine: AsyncEngine, call_ids: Sequence[str]) -> int:
    """Delete every row of these calls; returns how many."""
    async with engine.begin() as connection:
        return await _delete_calls(connection, call_ids)


async def _delete_calls(connection: AsyncConnection, call_ids: Sequence[str]) -> int:
    rows = 0
    for table in (TurnRow, FlagRow, RedactionRow, LegRow, CallRow):
        gone = await connection.execute(delete(table).where(table.call_id.in_(call_ids)))
        rows += gone.rowcount
    over = OutboundRow.state.not_in(("waiting", *LIVE_OUTBOUND))
    ours = delete(OutboundRow).where(OutboundRow.call_id.in_(call_ids), over)
    return rows + (await connection.execute(ours)).rowcount


async def erase_strays(engine: AsyncEngine, before: datetime, *, dry_run: bool = False) -> int:
    """Delete what is older and belongs to no call (its row is gone, or never came); how many."""
    rows = 0
    async with engine.begin() as connection:
        for table, at in (
            (TurnRow, TurnRow.at),
            (FlagRow, FlagRow.at),
            (LegRow, LegRow.started_at),
        ):
            alone = and_(
                at < before,
                table.call_id != "",
                ~exists().where(CallRow.call_id == table.call_id),
            )
            rows += await _delete(connection, table, alone, dry_run)
        made = and_(OutboundRow.ended_at < before, OutboundRow.state.not_in(LIVE_OUTBOUND))
        rows += await _delete(connection, OutboundRow, made, dry_run)
        ended = select(CampaignRow.id).where(CampaignRow.ended_at < before)
        rows += await _delete(connection, ContactRow, ContactRow.campaign_id.in_(ended), dry_run)
        spans = ~exists().where(CallRow.call_id == RedactionRow.call_id)
        old = and_(spans, RedactionRow.beeped_at < before)
        return rows + await _delete(connection, RedactionRow, old, dry_run)


async def _delete(
    connection: AsyncConnection, table: type[Any], which: ColumnElement[bool], dry_run: bool
) -> int:
    if dry_run:
        counted = select(func.count()).select_from(table).where(which)
        return int(await connection.scalar(counted) or 0)
    return (await connection.execute(delete(table).where(which))).rowcount


async def calls_by_id(engine: AsyncEngine, call_ids: Sequence[str]) -> Mapping[str, OldCall]:
    """Those of the calls that have a row."""
    statement = select(
        CallRow.call_id, CallRow.agent_id, CallRow.started_at, CallRow.recording
    ).where(CallRow.call_id.in_(call_ids))
    async with engine.connect() as connection:
        return {row[0]: OldCall(*row) for row in await connection.execute(statement)}


# --- one caller -----------------------------------------------------------------------------------


def _digits(column: Any) -> ColumnElement[str]:
    return func.regexp_replace(column, "[^0-9]", "", "g")


def _is_of(forms: Sequence[str]) -> ColumnElement[bool]:
    """A call with the number, whichever way it was written, on either end."""
    callee = and_(CallRow.direction == "out", _digits(CallRow.did).in_(forms))
    return or_(_digits(CallRow.caller).in_(forms), callee)


def _leg_of(forms: Sequence[str]) -> ColumnElement[bool]:
    return or_(_digits(LegRow.caller).in_(forms), _digits(LegRow.callee).in_(forms))


def _leg_with(tenant: str | None) -> ColumnElement[bool]:
    """Legs of calls with a tenant's agents."""
    if tenant is None:
        return true()
    calls = select(CallRow.call_id).where(of_visible_agent(CallRow.agent_id, tenant))
    return LegRow.call_id.in_(calls)


def _outbound_of(forms: Sequence[str], tenant: str | None) -> ColumnElement[bool]:
    ours = of_visible_agent(OutboundRow.agent_id, tenant)
    return and_(_digits(OutboundRow.number).in_(forms), ours)


def _contact_of(forms: Sequence[str], tenant: str | None) -> ColumnElement[bool]:
    """Contacts are kept in E.164 alone."""
    with_number = ContactRow.number.in_([f"+{form}" for form in forms])
    if tenant is None:
        return with_number
    ours = select(CampaignRow.id).where(of_visible_agent(CampaignRow.agent_id, tenant))
    return and_(with_number, ContactRow.campaign_id.in_(ours))


async def calls_of(
    engine: AsyncEngine, forms: Sequence[str], limit: int, tenant: str | None = None
) -> list[OldCall]:
    """Calls from or to a number. ``forms``: digits of every way to write it; ``tenant``: only with
    its agents, here and below."""
    legs = select(LegRow.call_id).where(_leg_of(forms), LegRow.kind.in_(("caller", "callee")))
    statement = (
        select(CallRow.call_id, CallRow.agent_id, CallRow.started_at, CallRow.recording)
        .where(or_(_is_of(forms), CallRow.call_id.in_(legs)))
        .where(of_visible_agent(CallRow.agent_id, tenant))
        .order_by(CallRow.started_at, CallRow.call_id)
        .limit(limit)
    )
    async with engine.connect() as connection:
        return [OldCall(*row) for row in await connection.execute(statement)]


async def live_calls_of(
    engine: AsyncEngine, forms: Sequence[str], tenant: str | None = None
) -> list[str]:
    """Ids of those that live now, or are being made."""
    living = and_(CallRow.ended_at.is_(None), CallRow.started_at > func.now() - SURELY_OVER)
    ours = of_visible_agent(CallRow.agent_id, tenant)
    async with engine.connect() as connection:
        calls = select(CallRow.call_id).where(_is_of(forms), living, ours)
        found = list(await connection.scalars(calls))
        live = OutboundRow.state.in_(LIVE_OUTBOUND)
        made = select(OutboundRow.id).where(_outbound_of(forms, tenant), live)
        return [*found, *await connection.scalars(made)]


async def erase_rest_of(
    engine: AsyncEngine, forms: Sequence[str], tenant: str | None = None
) -> int:
    """Legs with the number in calls of others' (none were), calls that we were to make, and the number
    in lists of campaigns, whose next look settles what was under way."""
    waiting = OutboundRow.state.not_in(LIVE_OUTBOUND)
    async with engine.begin() as connection:
        rows = 0
        for statement in (
            delete(LegRow).where(_leg_of(forms), _leg_with(tenant)),
            delete(OutboundRow).where(_outbound_of(forms, tenant), waiting),
            delete(ContactRow).where(_contact_of(forms, tenant)),
        ):
            rows += (await connection.execute(statement)).rowcount
        return rows


async def count_of(engine: AsyncEngine, forms: Sequence[str], tenant: str | None = None) -> int:
    """Rows that still hold the number: calls, legs, calls to be made, contacts of campaigns."""
    async with engine.connect() as connection:
        total = 0
        for table, which in (
            (CallRow, and_(_is_of(forms), of_visible_agent(CallRow.agent_id, tenant))),
            (LegRow, and_(_leg_of(forms), _leg_with(tenant))),
            (OutboundRow, _outbound_of(forms, tenant)),
            (ContactRow, _contact_of(forms, tenant)),
        ):
            counted = select(func.count()).select_from(table).where(which)
            total += int(await connection.scalar(counted) or 0)
        return total


async def count_calls(engine: AsyncEngine, call_ids: Sequence[str]) -> int:
    """Rows that these calls still have, in any table."""
    async with engine.connect() as connection:
        total = 0
        for table in (TurnRow, FlagRow, RedactionRow, LegRow, CallRow):
            counted = select(func.count()).select_from(table).where(table.call_id.in_(call_ids))
            total += int(await connection.scalar(counted) or 0)
        return total


# --- the proof ------------------------------------------------------------------------------------


async def write_erasures(engine: AsyncEngine, erased: Sequence[Erased]) -> None:
    """Keep what was erased, for whoever has to show it."""
    rows = [{name: getattr(one, name) for name in Erased.__dataclass_fields__} for one in erased]
    if rows:
        async with engine.begin() as connection:
            await connection.execute(insert(ErasureRow), rows)


async def read_erasures(engine: AsyncEngine, limit: int) -> list[dict[str, Any]]:
    """The latest, newest first."""
    columns = tuple(ErasureRow.__table__.columns)
    statement = select(*columns).order_by(ErasureRow.id.desc()).limit(limit)
    async with engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(statement)).mappings()]
