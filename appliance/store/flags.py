"""The review queue in Postgres: what was found, what a person decided, the question asked again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Select, case, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.events import Flag, Passage, ReplySource, Severity
from appliance.safety.findings import Finding
from appliance.store.database import Also, nothing_else
from appliance.store.review_models import FlagRow
from appliance.store.tenancy import of_visible_agent

FlagState = Literal["open", "confirmed", "dismissed"]
STATES: tuple[FlagState, ...] = ("open", "confirmed", "dismissed")
BY_GOLDEN = "golden"
"""Who asks golden questions again, in a ``Retest``."""
AMBIGUOUS_SHOWN = 5
LONGEST_NOTE_LETTERS = 2000
MOST_KINDS = 500


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a question, with all that it depended on."""

    answer: str
    source: ReplySource
    passages: tuple[Passage, ...]
    findings: tuple[Finding, ...]
    agent_version: int
    knowledge_version: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Retest:
    """A flag's question asked again."""

    at: datetime
    by: str
    fix: str
    """What was changed in between, in plain words; empty: nothing by us."""
    before: Answered
    after: Answered


@dataclass(frozen=True, slots=True)
class ReviewedFlag:
    """A flag, and what became of it."""

    flag: Flag
    state: FlagState
    decided_by: str
    decided_at: datetime | None
    note: str
    retest: Retest | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which flags; an empty field lets all through."""

    state: str = ""
    agent_id: str = ""
    rule: str = ""
    category: str = ""
    severity: str = ""
    side: str = ""
    found_by: str = ""
    call_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """Not including it."""
    tenant: str | None = None
    """Only flags of this tenant's agents; None: of all."""


@dataclass(frozen=True, slots=True)
class FlagCount:
    """How many flags of a kind one day had."""

    day: date
    agent_id: str
    rule: str
    category: str
    severity: Severity
    state: FlagState
    flags: int


class DecidedMeanwhileError(UserError):
    """Somebody else has decided; ``now`` is how the flag stands."""

    def __init__(self, now: ReviewedFlag) -> None:
        when = f"{now.decided_at:%Y-%m-%d %H:%M} UTC" if now.decided_at else "meanwhile"
        who = f" by {now.decided_by}" if now.decided_by else ""
        how = "opened again" if now.state == "open" else now.state
        super().__init__(
            f"Flag {now.flag.id[:8]} was {how}{who} ({when}) since you looked at it; nothing is"
            " changed. Look at it again, and reopen it first if you decide otherwise."
        )
        self.now = now


_FLAG = TypeAdapter(Flag)
_RETEST = TypeAdapter(Retest)
_FLAG_FIELDS = tuple(field.name for field in dataclasses.fields(Flag))
_COLUMNS = tuple(FlagRow.__table__.columns)
_GRAVITY = case({"high": 0, "medium": 1, "low": 2}, value=FlagRow.severity, else_=3)


def _reviewed(row: Any) -> ReviewedFlag:
    return ReviewedFlag(
        flag=_FLAG.validate_python({name: row[name] for name in _FLAG_FIELDS}),
        state=row["state"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        note=row["note"],
        retest=_RETEST.validate_json(orjson.dumps(row["retest"])) if row["retest"] else None,
    )


def _matching(query: Select[Any], wanted: Wanted) -> Select[Any]:
    for name in (
        "state",
        "agent_id",
        "rule",
        "category",
        "severity",
        "side",
        "found_by",
        "call_id",
    ):
        if value := getattr(wanted, name):
            query = query.where(getattr(FlagRow, name) == value)
    if wanted.since:
        query = query.where(FlagRow.at >= wanted.since)
    if wanted.until:
        query = query.where(FlagRow.at < wanted.until)
    return query.where(of_visible_agent(FlagRow.agent_id, wanted.tenant))


async def list_flags(
    engine: AsyncEngine, wanted: Wanted, *, limit: int = 50, offset: int = 0
) -> list[ReviewedFlag]:
    """Flags as a queue: the gravest first, and of equals the newest."""
    query = _matching(select(*_COLUMNS), wanted)
    query = query.order_by(_GRAVITY, FlagRow.at.desc(), FlagRow.id).limit(limit).offset(offset)
    async with engine.connect() as connection:
        return [_reviewed(row) for row in (await connection.execute(query)).mappings()]


async def count_flags(
    engine: AsyncEngine, wanted: Wanted, timezone: str = "UTC"
) -> list[FlagCount]:
    """How many flags each day of ``timezone`` had, by agent, rule and state; the latest day first.

    What is asked for is counted in Postgres: a console adds up what it shows."""
    # literals, not parameters: both places must be the same expression to Postgres
    day = func.date(func.timezone(literal(timezone, literal_execute=True), FlagRow.at)).label("day")
    kinds = (FlagRow.agent_id, FlagRow.rule, FlagRow.category, FlagRow.severity, FlagRow.state)
    query = _matching(select(day, *kinds, func.count().label("flags")), wanted)
    query = query.group_by(day, *kinds).order_by(day.desc(), *kinds)
    async with engine.connect() as connection:
        return [FlagCount(*row) for row in await connection.execute(query)]


async def count_matching(engine: AsyncEngine, wanted: Wanted, most: int) -> int:
    """How many flags there are, counted up to ``most``."""
    some = _matching(select(FlagRow.id), wanted).limit(most).subquery()
    async with engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(some)) or 0)


async def kinds_of_flags(engine: AsyncEngine, tenant: str | None) -> dict[str, list[str]]:
    """The agents, rules and categories that the flags of a tenant (None: of all) have, in order."""
    theirs = of_visible_agent(FlagRow.agent_id, tenant)
    kinds = {"agents": FlagRow.agent_id, "rules": FlagRow.rule, "categories": FlagRow.category}
    async with engine.connect() as connection:
        return {
            name: list(
                await connection.scalars(
                    select(column).where(theirs).distinct().order_by(column).limit(MOST_KINDS)
                )
            )
            for name, column in kinds.items()
        }


async def find_flag(engine: AsyncEngine, flag_id: str, tenant: str | None) -> ReviewedFlag | None:
    """The flag of that whole id, if it is one of ``tenant``'s agents (None: of anybody's)."""
    query = select(*_COLUMNS).where(
        FlagRow.id == flag_id, of_visible_agent(FlagRow.agent_id, tenant)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).mappings().one_or_none()
    return _reviewed(row) if row else None


async def read_flag(engine: AsyncEngine, prefix: str) -> ReviewedFlag:
    """The flag whose id begins with ``prefix``. Raises UserError when none or several do."""
    query = (
        select(*_COLUMNS)
        .where(FlagRow.id.startswith(prefix, autoescape=True))
        .order_by(FlagRow.id)
        .limit(AMBIGUOUS_SHOWN + 1)
    )
    async with engine.connect() as connection:
        found = (await connection.execute(query)).mappings().all()
    if not found or not prefix:
        raise UserError(f"There is no flag {prefix!r}. `ivr flags` lists those there are.")
    if len(found) > 1 and found[0]["id"] != prefix:
        ids = ", ".join(row["id"][:16] for row in found[:AMBIGUOUS_SHOWN])
        raise UserError(f"Several flags begin with {prefix!r}: {ids}. Write more of it.")
    return _reviewed(found[0])


async def add_flags(connection: AsyncConnection, flags: Sequence[Flag]) -> int:
    """Store new flags; one that is there stays as it is, whoever found it. Returns how many are new."""
    if not flags:
        return 0
    one_each = {flag.id: dataclasses.asdict(flag) for flag in flags}
    # sorted: two processes that write the same flags lock them in the same order
    rows = [one_each[key] for key in sorted(one_each)]
    statement = insert(FlagRow).values(rows).on_conflict_do_nothing().returning(FlagRow.id)
    return len((await connection.execute(statement)).all())


async def decide(
    engine: AsyncEngine,
    flag_id: str,
    state: FlagState,
    by: str,
    note: str = "",
    *,
    seen: FlagState = "open",
    also: Also = nothing_else,
) -> ReviewedFlag:
    """Confirm, dismiss or reopen the flag of that whole id, if it still stands as the reviewer has
    ``seen`` it. The same decision by the same person again is no error. ``also``: written with it.

    Raises DecidedMeanwhileError when somebody else was first, UserError when there is no such flag.
    """
    if len(note) > LONGEST_NOTE_LETTERS:
        raise UserError(f"A note has at most {LONGEST_NOTE_LETTERS} letters.")
    values: dict[str, Any] = {"state": state, "decided_by": by, "decided_at": func.now()}
    if note:
        values["note"] = note
    statement = (
        update(FlagRow)
        .where(FlagRow.id == flag_id, FlagRow.state == seen)
        .values(values)
        .returning(*_COLUMNS)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).mappings().one_or_none()
        if row is not None:
            await also(connection)
    if row is not None:
        return _reviewed(row)
    now = await read_flag(engine, flag_id)
    if (now.state, now.decided_by) == (state, by):
        return now
    raise DecidedMeanwhileError(now)


async def keep_retest(engine: AsyncEngine, flag_id: str, retest: Retest) -> ReviewedFlag:
    """Keep how the question was answered again; the latest is kept. Raises UserError."""
    statement = (
        update(FlagRow)
        .where(FlagRow.id == flag_id)
        .values(retest=orjson.loads(orjson.dumps(retest)))
        .returning(*_COLUMNS)
    )
    async with engine.begin() as connection:
        row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise UserError(f"There is no flag {flag_id!r} any more.")
    return _reviewed(row)
