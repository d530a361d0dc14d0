"""Figures of the call center: how many calls, how they ended, how long callers waited, and why."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError, WithJsonSchema
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.periods import DEFAULT, Period, Unit, read_period
from appliance.events import Stages
from appliance.rehearsal.timeline import spans
from appliance.store import analytics as store
from appliance.store.analytics import FailureCount, Scope, VolumeOf
from appliance.store.gaps import GapBin, LoadBin, count_gaps, read_gaps, read_load
from appliance.store.histogram import Gaps, Histogram
from appliance.store.terms import BY_SUPERVISOR, DropOff, Volume
from appliance.store.unanswered import Unanswered, read_unanswered

LocalTime = Annotated[
    datetime,
    WithJsonSchema({"type": "string", "description": "ISO 8601 in the site's zone, without it"}),
]
"""RFC 3339's date-time, which OpenAPI means by that format, would need the zone."""
SAMPLED_STAGES = 4000
"""Turns whose stages are looked at: a share is right to a percent."""
MOST_BANDS = 12
"""Of calls at once."""
LONGEST_LETTERS = 100
STAGES = ("hear", "floor", "search", "write", "phrase", "voice", "out")

_STAGES = TypeAdapter(Stages)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked; empty fields let all through."""

    period: str = DEFAULT
    """today, 7d, 30d, 90d, or custom: from ``first`` to ``last`` (YYYY-MM-DD), both included."""
    first: str = ""
    last: str = ""
    unit: str = ""
    """hour or day; empty: what suits the period."""
    agent: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, the rates that follow (``store.terms`` says what each is), and the callers' waits."""

    volume: Volume
    handled: int
    containment: float | None
    transfer_rate: float | None
    abandonment: float | None
    failure_rate: float | None
    average_handling_s: float | None
    first_contact: float | None
    flag_rate: float | None
    barge_in_rate: float | None
    gaps: Gaps


@dataclass(frozen=True, slots=True)
class AtTime:
    """One hour or day."""

    at: LocalTime
    """Its begin."""
    inbound: int
    outbound: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Group:
    """An agent, or a language."""

    id: str
    name: str
    figures: Figures
    calls_over_time: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TransferReason:
    """Why callers were to go to a person: asked, key, failures, agent or supervisor."""

    reason: str
    asked: int
    taken: int
    """A person took the call."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All that follows from the calls themselves."""

    since: datetime
    until: datetime
    unit: Unit
    zone: str
    now: Figures
    before: Figures
    """Of the period before, as many days earlier as this one lasts."""
    over_time: tuple[AtTime, ...]
    agents: tuple[Group, ...]
    languages: tuple[Group, ...]
    transfers: tuple[TransferReason, ...]
    drop_off: tuple[DropOff, ...]


@dataclass(frozen=True, slots=True)
class LoadBand:
    """Answers given while ``low`` to ``high`` calls were in progress."""

    low: int
    high: int
    gaps: Gaps


@dataclass(frozen=True, slots=True)
class StageShare:
    """One stage's part of the gap: the time in which nothing but it was missing."""

    stage: str
    mean_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class StageShares:
    """Where the waiting went, over a sample of ``turns``."""

    turns: int
    stages: tuple[StageShare, ...]


async def agents(console: Console, actor: Actor) -> Mapping[str, str]:
    """Agents to choose from: names by id."""
    actor.require(Permission.ANALYTICS_READ)
    async with console.engine.connect() as connection:
        return await store.read_agents(connection, actor.tenant)


async def overview(console: Console, actor: Actor, asked: Asked) -> Overview:
    """Raises UserError for what is no period."""
    actor.require(Permission.ANALYTICS_READ)
    period = _period(console, asked)
    scope = _scope(actor, asked, period)
    now = datetime.now(UTC)

    async def current(connection: AsyncConnection) -> Any:
        return (
            await store.read_volumes(connection, scope, period.unit, now),
            await read_gaps(connection, scope, period.unit),
            await store.read_drop_off(connection, scope),
            await store.read_agents(connection, actor.tenant),
        )

    async def earlier(connection: AsyncConnection) -> Any:
        before = scope.before()
        return (
            await store.read_volumes(connection, before, "day", now),
            await read_gaps(connection, before, "day"),
        )

    (volumes, gaps, drop_off, names), (volumes_before, gaps_before) = await asyncio.gather(
        _read(console, current), _read(console, earlier)
    )

    def made() -> Overview:  # tens of thousands of bins: not beside whoever listens to a live call
        return Overview(
            since=period.since,
            until=period.until,
            unit=period.unit,
            zone=period.zone,
            now=_figures(volumes, gaps),
            before=_figures(volumes_before, gaps_before),
            over_time=_over_time(period, volumes, gaps),
            agents=_groups(period, volumes, gaps, "agent_id", names),
            languages=_groups(period, volumes, gaps, "language", {}),
            transfers=_transfers(volumes),
            drop_off=tuple(drop_off),
        )

    return await asyncio.to_thread(made)


async def against_load(console: Console, actor: Actor, asked: Asked) -> tuple[LoadBand, ...]:
    """Gaps by how many calls were in progress."""
    actor.require(Permission.ANALYTICS_READ)
    scope = _scope(actor, asked, _period(console, asked))

    async def read(connection: AsyncConnection) -> list[LoadBin]:
        return await read_load(connection, scope, await count_gaps(connection, scope))

    return bands(await _read(console, read))


def bands(bins: Sequence[LoadBin]) -> tuple[LoadBand, ...]:
    """At most ``MOST_BANDS`` of equal width, those without an answer left out."""
    most = max((one.live for one in bins), default=0)
    width = max(1, -(-most // MOST_BANDS))
    found: dict[int, Histogram] = defaultdict(Histogram)
    for one in bins:
        found[(one.live - 1) // width].add(one.bin, one.turns)
    return tuple(
        LoadBand(number * width + 1, (number + 1) * width, histogram.gaps())
        for number, histogram in sorted(found.items())
    )


async def stages(console: Console, actor: Actor, asked: Asked) -> StageShares:
    """Where the waiting went, by the marks of a sample of turns."""
    actor.require(Permission.ANALYTICS_READ)
    scope = _scope(actor, asked, _period(console, asked))

    async def read(connection: AsyncConnection) -> Sequence[dict[str, Any]]:
        calls = await store.count_calls(connection, scope)
        return await store.read_stages(connection, scope, calls, SAMPLED_STAGES)

    rows = await _read(console, read)
    return await asyncio.to_thread(shares, rows)


def shares(rows: Iterable[Mapping[str, Any]]) -> StageShares:
    """Of turns' ``stages``, as the call's page cuts each; a row that cannot be read is left out."""
    turns, sums = 0, dict.fromkeys(STAGES, 0)
    for row in rows:
        try:
            parts = spans(_STAGES.validate_python(row))
        except ValidationError:
            continue
        turns += 1
        for part in parts:
            sums[part.stage] += part.ms
    total = sum(sums.values())
    if not turns or not total:
        return StageShares(0, ())
    found = (StageShare(name, ms / turns, ms / total) for name, ms in sums.items() if ms)
    return StageShares(turns, tuple(found))


async def failures(console: Console, actor: Actor, asked: Asked) -> list[FailureCount]:
    """What callers did not get as meant, by kind."""
    actor.require(Permission.ANALYTICS_READ)
    scope = _scope(actor, asked, _period(console, asked))
    return await _read(console, lambda connection: store.read_failures(connection, scope))


async def unanswered(console: Console, actor: Actor, asked: Asked) -> list[Unanswered]:
    """Questions without an answer, by their wording. They are callers' words: for who may read
    calls."""
    actor.require(Permission.ANALYTICS_READ)
    actor.require(Permission.CALLS_READ)
    scope = _scope(actor, asked, _period(console, asked))
    return await _read(console, lambda connection: read_unanswered(connection, scope))


async def _read(console: Console, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    async with console.engine.connect() as connection:
        await store.read_only(connection)
        return await work(connection)


def _period(console: Console, asked: Asked) -> Period:
    return read_period(
        asked.period,
        console.settings.switch.timezone,
        datetime.now(UTC),
        first=asked.first,
        last=asked.last,
        unit=asked.unit,
    )


def _scope(actor: Actor, asked: Asked, period: Period) -> Scope:
    agent, language = (
        text.replace("\0", "")[:LONGEST_LETTERS] for text in (asked.agent, asked.language)
    )
    return Scope(period.since, period.until, period.zone, actor.tenant, agent, language)


def _figures(volumes: Iterable[VolumeOf], gaps: Iterable[GapBin]) -> Figures:
    volume = sum((one.volume for one in volumes), Volume())
    waits = Histogram((one.bin, one.turns) for one in gaps).gaps()
    return Figures(
        volume=volume,
        handled=volume.handled,
        containment=volume.containment,
        transfer_rate=volume.transfer_rate,
        abandonment=volume.abandonment,
        failure_rate=volume.failure_rate,
        average_handling_s=volume.average_handling_s,
        first_contact=volume.first_contact,
        flag_rate=volume.flag_rate,
        barge_in_rate=volume.barge_in_rate,
        gaps=waits,
    )


def _by(rows: Iterable[T], key: str) -> dict[Any, list[T]]:
    found: dict[Any, list[T]] = defaultdict(list)
    for row in rows:
        found[getattr(row, key)].append(row)
    return found


def _over_time(
    period: Period, volumes: Sequence[VolumeOf], gaps: Sequence[GapBin]
) -> tuple[AtTime, ...]:
    calls, waits = _by(volumes, "at"), _by(gaps, "at")
    found = []
    for at in period.steps():
        here = calls.get(at, [])
        outbound = sum(one.volume.offered for one in here if one.direction == "out")
        offered = sum(one.volume.offered for one in here)
        found.append(AtTime(at, offered - outbound, outbound, _figures(here, waits.get(at, []))))
    return tuple(found)


def _groups(
    period: Period,
    volumes: Sequence[VolumeOf],
    gaps: Sequence[GapBin],
    key: str,
    names: Mapping[str, str],
) -> tuple[Group, ...]:
    """The busiest first."""
    waits, steps = _by(gaps, key), list(period.steps())
    found = []
    for name, here in _by(volumes, key).items():
        times: dict[datetime, int] = defaultdict(int)
        for one in here:
            times[one.at] += one.volume.offered
        figures = _figures(here, waits.get(name, []))
        over_time = tuple(times.get(at, 0) for at in steps)
        found.append(Group(name, names.get(name, name), figures, over_time))
    return tuple(sorted(found, key=lambda group: (-group.figures.volume.offered, group.id)))


def _transfers(volumes: Sequence[VolumeOf]) -> tuple[TransferReason, ...]:
    order = ("asked", "key", "failures", "agent", BY_SUPERVISOR)
    reasons = _by((one for one in volumes if one.reason), "reason")
    known = [name for name in order if name in reasons]
    return tuple(
        TransferReason(
            name,
            sum(one.asked for one in reasons[name]),
            sum(one.volume.transferred for one in reasons[name]),
        )
        for name in (*known, *sorted(reasons.keys() - set(order)))
    )
