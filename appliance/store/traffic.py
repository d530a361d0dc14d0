"""Traffic in the journal: calls per interval, how long they last, what their turns asked of each
stage. Synchronous and read only; grouped by Postgres, so that millions of calls are a few rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    and_,
    case,
    cast,
    func,
    select,
    text,
)

from appliance.store.calls import LONGEST_CALL
from appliance.store.measures import REHEARSAL
from appliance.store.models import CallRow, OutboundRow, TurnRow

STATEMENT_TIMEOUT_S = 20
"""Of one query: planning is never worth more of the database than this."""
LOST_AFTER = timedelta(hours=4)
"""A call without an end that began so long ago was lost with its worker."""
MOST_CALLS = 20_000
"""The latest ones tell how long calls last; percentiles of more would only cost a sort."""
MOST_TURNS = 20_000
MOST_CAMPAIGN_ROWS = 20_000
"""Of due intervals and calling hours; later ones are not planned for."""
LONGEST_STAGE_MS = 120_000
"""A longer stage is a mistake in a row, not work."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Calls per interval, from the interval of ``first_s`` (unix seconds, a multiple of
    ``interval_s``) without a gap."""

    first_s: int
    interval_s: int
    inbound: tuple[int, ...]
    """Calls that began."""
    outbound: tuple[int, ...]
    at_once: tuple[int, ...]
    """Calls that were live at the interval's end, both directions."""


@dataclass(frozen=True, slots=True)
class Holding:
    """How long the latest calls of one direction lasted, and how many turns they had."""

    calls: int = 0
    mean_s: float = 0.0
    p95_s: float = 0.0
    turns: int = 0
    seconds: float = 0.0
    """All of them together."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean over ``count`` turns that had both marks."""

    mean: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class TurnCosts:
    """What the latest turns took of each stage; seconds."""

    turns: int = 0
    asked: int = 0
    """Turns in which the caller had said something."""
    by_llm: int = 0
    """Turns that the language model wrote."""
    dropped: int = 0
    """Speculations that were begun and not used."""
    speech_s: Measured = Measured()
    """Of the caller, a turn."""
    search_s: Measured = Measured()
    """From the begin of the reply to its passages."""
    llm_s: Measured = Measured()
    """From the passages (or the begin of the reply) to the last token."""
    tts_s: Measured = Measured()
    """From the first phrase to the last audio."""


@dataclass(frozen=True, slots=True)
class Due:
    """Calls to be made that are due in one interval."""

    at_s: int
    """Unix seconds, start of the interval."""
    hours: str
    """When they may be made; empty: as the settings say."""
    calls: int


@dataclass(frozen=True, slots=True)
class Campaigns:
    """Calls to be made, and how many attempts of the past were answered."""

    due: tuple[Due, ...] = ()
    attempts: int = 0
    answered: int = 0


def read_only(connection: Connection) -> None:
    """Make the transaction that begins here read only and bound each of its statements."""
    connection.execute(text("SET TRANSACTION READ ONLY"))
    connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_S * 1000}"))


REAL = and_(~CallRow.caller.startswith(REHEARSAL, autoescape=True), CallRow.direction != "test")
"""Calls of a rehearsal and those from the console come when somebody tries something: they foretell
nothing."""


def read_arrivals(
    connection: Connection, since: datetime, now: datetime, interval_s: int
) -> Arrivals | None:
    """Whole intervals from ``since`` (or the first call ever, whichever is later) to ``now``; None
    where there is no call at all, or no whole interval since the first."""
    real = select(func.min(CallRow.started_at)).where(CallRow.direction != "test")
    first_call = connection.execute(real).scalar()
    if first_call is None:
        return None
    first = int(max(since, first_call).timestamp()) // interval_s
    count = int(now.timestamp()) // interval_s - first
    if count <= 0:
        return None
    start = datetime.fromtimestamp(first * interval_s, now.tzinfo)
    end = datetime.fromtimestamp((first + count) * interval_s, now.tzinfo)
    began = _interval(CallRow.started_at, interval_s)
    query = (
        select(began, CallRow.direction, func.count())
        .where(CallRow.started_at >= start, CallRow.started_at < end, REAL)
        .group_by(began, CallRow.direction)
    )
    inbound, outbound = [0] * count, [0] * count
    for index, direction, calls in connection.execute(query):
        (outbound if direction == "out" else inbound)[index - first] += calls
    at_once = _at_once(
        connection, start, end, interval_s, [a + b for a, b in zip(inbound, outbound, strict=True)]
    )
    return Arrivals(first * interval_s, interval_s, tuple(inbound), tuple(outbound), at_once)


def _at_once(
    connection: Connection, start: datetime, end: datetime, interval_s: int, began: Sequence[int]
) -> tuple[int, ...]:
    """Calls live at the end of each interval: those before, and since, less those that ended."""
    over = _ended_at(end)
    near = and_(CallRow.started_at >= start - LONGEST_CALL, REAL)
    carried = select(func.count()).where(
        near, CallRow.started_at < start, (over >= start) | over.is_(None)
    )
    live = connection.execute(carried).scalar_one()
    ended_in = _interval(over, interval_s)
    query = (
        select(ended_in, func.count())
        .where(near, CallRow.started_at < end, over >= start, over < end)
        .group_by(ended_in)
    )
    ended = {row[0]: row[1] for row in connection.execute(query)}
    first = int(start.timestamp()) // interval_s
    found = []
    for index, count in enumerate(began):
        live += count - ended.get(first + index, 0)
        found.append(max(0, live))
    return tuple(found)


def read_live(connection: Connection, now: datetime) -> int:
    """Calls that are live now, as far as the journal knows."""
    query = select(func.count()).where(
        CallRow.started_at >= now - LONGEST_CALL, _ended_at(now).is_(None)
    )
    return int(connection.execute(query).scalar_one())


def _ended_at(now: datetime) -> ColumnElement[Any]:
    """When a call ended; null while it lives. A lost one ended when it began."""
    lost = CallRow.started_at < now - LOST_AFTER
    ended = func.greatest(CallRow.ended_at, CallRow.started_at)  # clocks are set
    return case((CallRow.ended_at.is_not(None), ended), (lost, CallRow.started_at))


def _interval(at: Any, interval_s: int) -> ColumnElement[int]:
    """Number of the interval since 1970 that ``at`` lies in."""
    number = func.floor(func.extract("epoch", at) / text(str(int(interval_s))))
    return cast(number, Integer)


def read_holding(connection: Connection, since: datetime, direction: str) -> Holding:
    """Of the latest calls that are over, at most ``MOST_CALLS``."""
    seconds = cast(func.extract("epoch", CallRow.ended_at - CallRow.started_at), Float)
    latest = (
        select(seconds.label("seconds"), CallRow.turns)
        .where(
            CallRow.started_at >= since,
            CallRow.direction == direction,
            CallRow.ended_at > CallRow.started_at,
            REAL,
        )
        .order_by(CallRow.started_at.desc())
        .limit(MOST_CALLS)
        .subquery()
    )
    p95 = func.percentile_cont(0.95).within_group(latest.c.seconds)
    query = select(
        func.count(),
        func.avg(latest.c.seconds),
        p95,
        func.sum(latest.c.turns),
        func.sum(latest.c.seconds),
    )
    calls, mean_s, p95_s, turns, total_s = connection.execute(query).one()
    if not calls:
        return Holding()
    return Holding(calls, float(mean_s), float(p95_s), int(turns), float(total_s))


def read_turns(connection: Connection, since: datetime) -> TurnCosts:
    """Of the latest turns, at most ``MOST_TURNS``; rows of an older release lack marks, and count
    only where they have them."""
    latest = (
        select(TurnRow.said, TurnRow.source, TurnRow.stages)
        .where(TurnRow.at >= since)
        .order_by(TurnRow.at.desc())
        .limit(MOST_TURNS)
        .subquery()
    )
    stages = latest.c.stages
    by_llm = latest.c.source == "llm"
    begun, searched = _ms(stages, "speculation"), _ms(stages, "retrieval")
    asked = latest.c.said != ""
    taken = {
        "speech": (_ms(stages, "speech_end") - _ms(stages, "speech_start"), asked),
        "search": (searched - begun, asked),
        "llm": (_ms(stages, "last_token") - func.coalesce(searched, begun), by_llm),
        "tts": (_ms(stages, "last_audio") - _ms(stages, "first_phrase"), None),
    }
    means: list[ColumnElement[Any]] = []
    for ms, which in taken.values():
        sane: ColumnElement[bool] = ms.between(0, LONGEST_STAGE_MS)
        sane = sane if which is None else and_(sane, which)
        means += [func.avg(ms).filter(sane), func.count(ms).filter(sane)]
    dropped = func.coalesce(func.sum(_ms(stages, "speculations_dropped")), 0)
    counts = (func.count(), func.count().filter(asked), func.count().filter(by_llm), dropped)
    row = connection.execute(select(*counts, *means).select_from(latest)).one()
    measured = [
        Measured(float(row[at] or 0) / 1000, int(row[at + 1]))
        for at in range(len(counts), len(row), 2)
    ]
    return TurnCosts(int(row[0]), int(row[1]), int(row[2]), int(row[3]), *measured)


def _ms(stages: Any, name: str) -> ColumnElement[float]:
    """A mark of ``stages``; null where it is none or no number."""
    number = func.jsonb_typeof(stages[name]) == "number"
    return case((number, cast(stages[name].astext, Float)))


def read_campaigns(
    connection: Connection, since: datetime, now: datetime, until: datetime, interval_s: int
) -> Campaigns:
    """Calls that wait to be made before ``until``; what is overdue is due ``now``."""
    due = _interval(func.greatest(OutboundRow.next_at, now), interval_s)
    query = (
        select(due, OutboundRow.hours, func.count())
        .where(OutboundRow.state == "waiting", OutboundRow.next_at < until)
        .group_by(due, OutboundRow.hours)
        .order_by(due)
        .limit(MOST_CAMPAIGN_ROWS)
    )
    rows = tuple(Due(at * interval_s, hours, n) for at, hours, n in connection.execute(query))
    over = select(
        func.coalesce(func.sum(OutboundRow.attempts), 0),
        func.count().filter(OutboundRow.state == "done"),
    ).where(OutboundRow.ended_at >= since)
    attempts, answered = connection.execute(over).one()
    return Campaigns(rows, int(attempts), int(answered))
