"""The audit log in Postgres: rows that only ever come after each other, chained by ``access.audit``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.access_models import AuditRow

LOCK_KEY = 0x6976725F61756474
"""Of the advisory lock that appending transactions queue for; no other lock has this key."""
_COLUMNS = tuple(AuditRow.__table__.columns)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row; the fields say what ``AuditRow`` says of them."""

    id: int
    at: datetime
    actor: str
    tenant: str | None
    address: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the log, held still until the transaction ends."""

    id: int
    """0: the log is empty."""
    hash: str
    now: datetime
    """By the database's clock."""


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Which rows; an empty field lets all through."""

    tenant: str | None = None
    """Only what is this tenant's matter; None: everything."""
    actor: str = ""
    """A part of the name, letters of either case."""
    action: str = ""
    """``call.listen``, or the noun alone: ``call``."""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """Before this time."""
    before: int | None = None
    """Only rows with a smaller id: where the page before ended."""


def hold_tail(connection: Connection) -> Tail:
    """The last row, after which nobody else appends until this transaction has ended."""
    connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
    # A statement of its own: what it sees is what stood when the lock was given.
    last = connection.execute(
        select(AuditRow.id, AuditRow.hash).order_by(AuditRow.id.desc()).limit(1)
    ).first()
    now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return Tail(last.id, last.hash, now) if last else Tail(0, "", now)


def add(connection: Connection, entry: AuditEntry) -> None:
    connection.execute(insert(AuditRow).values(**asdict(entry)))


async def read_after(connection: AsyncConnection, after: int, limit: int) -> list[AuditEntry]:
    """The next rows in the order of the chain."""
    rows = await connection.execute(
        select(*_COLUMNS).where(AuditRow.id > after).order_by(AuditRow.id).limit(limit)
    )
    return [AuditEntry(**row) for row in rows.mappings()]


async def least_id(connection: AsyncConnection) -> int | None:
    """None: the log is empty."""
    found: int | None = await connection.scalar(select(func.min(AuditRow.id)))
    return found


async def search(
    connection: AsyncConnection, wanted: AuditSearch, limit: int
) -> Sequence[AuditEntry]:
    """The latest rows first."""
    rows = await connection.execute(
        select(*_COLUMNS).where(*_conditions(wanted)).order_by(AuditRow.id.desc()).limit(limit)
    )
    return [AuditEntry(**row) for row in rows.mappings()]


def _conditions(wanted: AuditSearch) -> list[ColumnElement[bool]]:
    noun = wanted.action.endswith(".") or "." not in wanted.action
    action = AuditRow.action.startswith(wanted.action.rstrip(".") + ".", autoescape=True)
    return [
        true() if wanted.tenant is None else AuditRow.tenant == wanted.tenant,
        AuditRow.actor.icontains(wanted.actor, autoescape=True) if wanted.actor else true(),
        (action if noun else AuditRow.action == wanted.action) if wanted.action else true(),
        AuditRow.subject == wanted.subject if wanted.subject else true(),
        true() if wanted.since is None else AuditRow.at >= wanted.since,
        true() if wanted.until is None else AuditRow.at < wanted.until,
        true() if wanted.before is None else AuditRow.id < wanted.before,
    ]
