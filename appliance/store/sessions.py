"""Who is logged in, in Postgres."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.access_models import SessionRow, UserRow


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that has not ended, as its owner sees it."""

    id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class SessionUser:
    """Whose a live session is, as far as what they may do depends on it."""

    user_id: int
    login: str
    role: str
    tenant: str | None
    language: str
    has_second_factor: bool
    seen_at: datetime


_LIVE = tuple(SessionRow.__table__.c[name] for name in LiveSession.__slots__)


def _is_living(now: datetime, idle: timedelta | None) -> ColumnElement[bool]:
    return and_(
        SessionRow.ended_at.is_(None),
        SessionRow.expires_at > now,
        true() if idle is None else SessionRow.seen_at > now - idle,
    )


async def add_session(connection: AsyncConnection, **values: Any) -> None:
    await connection.execute(insert(SessionRow).values(**values))


async def forget(connection: AsyncConnection, user_id: int, before: datetime) -> None:
    """Remove a user's sessions that were over by then."""
    await connection.execute(
        delete(SessionRow).where(SessionRow.user_id == user_id, SessionRow.expires_at < before)
    )


async def find_living(
    connection: AsyncConnection, session_id: str, now: datetime, idle: timedelta
) -> SessionUser | None:
    """Whose it is; None: there is no such session, or it has ended, or its user is disabled."""
    query = (
        select(
            *(UserRow.id.label("user_id"), UserRow.login, UserRow.role, UserRow.tenant),
            *(UserRow.language, (UserRow.totp_secret != "").label("has_second_factor")),
            SessionRow.seen_at,
        )
        .join(SessionRow, SessionRow.user_id == UserRow.id)
        .where(SessionRow.id == session_id, UserRow.enabled, _is_living(now, idle))
    )
    row = (await connection.execute(query)).mappings().first()
    return SessionUser(**row) if row else None


async def living_of(
    connection: AsyncConnection, ids: Collection[str], now: datetime, idle: timedelta | None
) -> set[str]:
    """Those of ``ids`` that have not ended and whose user is enabled."""
    query = (
        select(SessionRow.id)
        .join(UserRow, SessionRow.user_id == UserRow.id)
        .where(SessionRow.id.in_(ids), UserRow.enabled, _is_living(now, idle))
    )
    return set(await connection.scalars(query))


async def see(connection: AsyncConnection, session_id: str, now: datetime) -> None:
    await connection.execute(
        update(SessionRow).where(SessionRow.id == session_id).values(seen_at=now)
    )


async def list_living(
    connection: AsyncConnection, user_id: int, now: datetime, idle: timedelta
) -> list[LiveSession]:
    """The latest first."""
    rows = await connection.execute(
        select(*_LIVE)
        .where(SessionRow.user_id == user_id, _is_living(now, idle))
        .order_by(SessionRow.created_at.desc())
    )
    return [LiveSession(**row) for row in rows.mappings()]


async def end(connection: AsyncConnection, session_id: str, user_id: int, now: datetime) -> bool:
    """Whether there was such a session of that user."""
    done = await connection.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.user_id == user_id)
        .where(SessionRow.ended_at.is_(None))
        .values(ended_at=now)
        .returning(SessionRow.id)
    )
    return done.first() is not None


async def end_all(connection: AsyncConnection, user_id: int, now: datetime, keep: str = "") -> int:
    """End every session of a user but ``keep``; returns how many."""
    done = await connection.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user_id, SessionRow.ended_at.is_(None))
        .where(SessionRow.expires_at > now, SessionRow.id != keep)
        .values(ended_at=now)
        .returning(SessionRow.id)
    )
    return len(done.all())
