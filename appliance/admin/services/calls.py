"""The log of calls, and one call with all that is kept of it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from appliance.access import audit
from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.csvtext import BYTE_ORDER_MARK, csv_lines
from appliance.admin.services.onecall import found_call
from appliance.admin.services.recordings import Recording, recordings_of, why_not_heard
from appliance.errors import UserError
from appliance.events import Turn
from appliance.review.rootcause import Trouble, troubles
from appliance.store import call_log
from appliance.store.call_log import (
    MOST_COUNTED,
    AgentName,
    CallsWanted,
    Cursor,
    LoggedCall,
    Snapshot,
    Span,
)
from appliance.store.calls import read_turns
from appliance.store.flags import ReviewedFlag, Wanted, list_flags
from appliance.store.legs import Leg

PAGE_ROWS, MOST_ROWS = 50, 200
MOST_EXPORTED = 50_000
"""Rows of one CSV: some 10 MB."""
EXPORT_PAGE_ROWS = 1000
MOST_FLAGS_SHOWN = 200
_COLUMNS = (
    *("call", "began", "ended", "seconds", "direction", "number", "caller", "agent", "version"),
    *("language", "outcome", "cause", "turns", "gap_p50_ms", "gap_p95_ms", "flags", "flags_open"),
    *("transferred_to", "recorded"),
)


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls, the newest first."""

    calls: tuple[LoggedCall, ...]
    next: str
    """Cursor of the page after it; empty: this is the last."""


@dataclass(frozen=True, slots=True)
class CallCount:
    """How many calls there are; ``more``: at least so many."""

    calls: int
    more: bool


@dataclass(frozen=True, slots=True)
class CallView:
    """One call, as its page shows it."""

    logged: LoggedCall
    turns: tuple[Turn, ...]
    flags: tuple[ReviewedFlag, ...]
    spans: tuple[Span, ...]
    """Personal data in the recording."""
    legs: tuple[Leg, ...]
    snapshot: Snapshot
    recordings: tuple[Recording, ...]
    """The last part is the one that its turns lie on."""
    recording_trouble: str
    """Why it cannot be heard now; empty: it can."""


async def list_calls(
    console: Console, actor: Actor, wanted: CallsWanted, cursor: str = "", limit: int = PAGE_ROWS
) -> CallPage:
    """A page of the log. Raises UserError for a cursor that is none of ours."""
    actor.require(Permission.CALLS_READ)
    limit = min(max(limit, 1), MOST_ROWS)
    before = read_cursor(cursor)
    found = await call_log.search_calls(
        console.engine, wanted, actor.tenant, before=before, limit=limit + 1
    )
    shown = found[:limit]
    following = _cursor(shown[-1]) if len(found) > limit else ""
    return CallPage(tuple(shown), following)


async def count_calls(console: Console, actor: Actor, wanted: CallsWanted) -> CallCount:
    """How many calls a search finds, up to a bound."""
    actor.require(Permission.CALLS_READ)
    found = await call_log.count_calls(console.engine, wanted, actor.tenant)
    return CallCount(min(found, MOST_COUNTED), found > MOST_COUNTED)


async def agents_to_filter(console: Console, actor: Actor) -> Sequence[AgentName]:
    """The agents that the log may be filtered by."""
    actor.require(Permission.CALLS_READ)
    return await call_log.agents_to_filter(console.engine, actor.tenant)


async def read_call(console: Console, actor: Actor, call_id: str) -> CallView:
    """One call. Raises NotFoundError."""
    actor.require(Permission.CALLS_READ)
    async with console.engine.connect() as connection:
        logged = await found_call(connection, actor, call_id)
        turns = await read_turns(connection, call_id)
        spans = await call_log.spans_of(connection, call_id)
        legs = await call_log.read_legs(connection, call_id)
        snapshot = await call_log.read_snapshot(connection, logged.call)
    flags = await list_flags(console.engine, Wanted(call_id=call_id), limit=MOST_FLAGS_SHOWN)
    recordings = await recordings_of(console, logged)
    return CallView(
        logged=logged,
        turns=tuple(turns),
        flags=tuple(flags),
        spans=tuple(spans),
        legs=tuple(legs),
        snapshot=snapshot,
        recordings=recordings,
        recording_trouble=why_not_heard(logged, spans, recordings, datetime.now(UTC)),
    )


def troubles_of(view: CallView) -> list[Trouble]:
    """What was slow or wrong in it, the gravest first; what somebody dismissed is not."""
    flags = [one.flag for one in view.flags if one.state != "dismissed"]
    return troubles(view.logged.call, view.turns, flags)


async def list_turns(console: Console, actor: Actor, call_id: str) -> tuple[Turn, ...]:
    """What was said in a call. Raises NotFoundError."""
    actor.require(Permission.CALLS_READ)
    async with console.engine.connect() as connection:
        await found_call(connection, actor, call_id)
        return tuple(await read_turns(connection, call_id))


async def export_calls(console: Console, actor: Actor, wanted: CallsWanted) -> AsyncIterator[bytes]:
    """The calls of a search as CSV, piece by piece, :data:`MOST_EXPORTED` at most; audited.

    What could be refused is refused here, before the first piece.
    """
    actor.require(Permission.CALLS_READ)
    first = await list_calls(console, actor, wanted, limit=MOST_ROWS)
    detail = {name: value for name, value in asdict(wanted).items() if value not in (None, "")}
    detail.pop("number", None)  # a caller's: that it was searched for one is enough
    async with console.engine.begin() as connection:
        await audit.append(connection, actor, "call.export", "", detail, actor.tenant)
    return _pieces(console, actor, wanted, first)


async def _pieces(
    console: Console, actor: Actor, wanted: CallsWanted, page: CallPage
) -> AsyncIterator[bytes]:
    yield BYTE_ORDER_MARK.encode() + csv_lines([_COLUMNS])
    rows = 0
    found, following = page.calls, page.next
    while found:
        yield csv_lines(_row(one) for one in found)
        rows += len(found)
        if not following or rows >= MOST_EXPORTED:
            return
        limit = min(EXPORT_PAGE_ROWS, MOST_EXPORTED - rows)
        found = tuple(
            await call_log.search_calls(
                console.engine, wanted, actor.tenant, before=read_cursor(following), limit=limit
            )
        )
        following = _cursor(found[-1]) if len(found) == limit else ""


def _row(logged: LoggedCall) -> Sequence[object]:
    call = logged.call
    seconds = None if call.ended_at is None else round(_seconds(call.started_at, call.ended_at), 1)
    return (
        *(call.call_id, call.started_at, call.ended_at, seconds, call.direction, call.did),
        *(call.caller, call.agent_id, call.agent_version, call.language, logged.outcome.value),
        *(call.cause, call.turns, logged.gap_p50_ms, logged.gap_p95_ms),
        *(logged.flags, logged.flags_open, call.transferred_to, bool(call.recording)),
    )


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())


def _cursor(last: LoggedCall) -> str:
    text = f"{last.call.started_at.isoformat()} {last.call.call_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Cursor | None:
    """What :attr:`CallPage.next` says; None for the first page. Raises UserError."""
    if not cursor:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        when, _, call_id = base64.urlsafe_b64decode(padded.encode()).decode().partition(" ")
        at = datetime.fromisoformat(when)
    except (binascii.Error, ValueError) as e:
        raise UserError("That is no page of the log. Begin at its first page.") from e
    if at.tzinfo is None or not call_id or "\0" in call_id:
        raise UserError("That is no page of the log. Begin at its first page.")
    return at, call_id
