"""Sessions: a person logged in with one browser, until they end it, are idle, or the day is over."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import PERMISSIONS, Role
from appliance.settings import Admin
from appliance.store import sessions as store
from appliance.store.sessions import LiveSession

TOKEN_BYTES = 32
SEEN_EVERY = timedelta(minutes=1)
"""How exactly the database knows when somebody was last heard of."""
BROWSER_LETTERS = 200
KEPT = timedelta(days=30)
"""How long a session's row outlives it; that it was there stands in the audit log."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session."""

    id: str
    token: str = field(repr=False)
    """For the cookie; it is not kept."""


def id_of(token: str) -> str:
    """What the database knows of a token: SHA-256, in hex."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


async def open_session(
    connection: AsyncConnection,
    user_id: int,
    address: str,
    browser: str,
    settings: Admin,
    now: datetime | None = None,
) -> Opened:
    """A new one, with a new token: one that the browser had before is worth nothing."""
    now = now or datetime.now(UTC)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    opened = Opened(id_of(token), token)
    await store.forget(connection, user_id, now - KEPT)
    await store.add_session(
        connection,
        id=opened.id,
        user_id=user_id,
        created_at=now,
        seen_at=now,
        expires_at=now + timedelta(hours=settings.session_hours),
        address=address,
        browser=browser[:BROWSER_LETTERS].replace("\0", ""),
    )
    return opened


async def actor_of(
    engine: AsyncEngine, token: str, address: str, settings: Admin, now: datetime | None = None
) -> Actor | None:
    """Whoever has this cookie; None: no such session, or not any more, or its person must enrol a
    second factor first."""
    now = now or datetime.now(UTC)
    session_id = id_of(token)
    async with engine.connect() as connection:
        found = await store.find_living(connection, session_id, now, _idle(settings))
    if found is None or (settings.second_factor == "required" and not found.has_second_factor):
        return None
    if found.seen_at <= now - SEEN_EVERY:
        async with engine.begin() as connection:
            await store.see(connection, session_id, now)
    role = Role(found.role)
    return Actor(
        name=found.login,
        role=role,
        tenant=found.tenant,
        permissions=PERMISSIONS[role],
        via="session",
        user_id=found.user_id,
        session_id=session_id,
        address=address,
        language=found.language,
    )


async def living(
    engine: AsyncEngine,
    ids: Collection[str],
    settings: Admin | None = None,
    now: datetime | None = None,
) -> set[str]:
    """Those of ``ids`` that have not ended; without ``settings`` nobody is idle too long."""
    idle = _idle(settings) if settings else None
    async with engine.connect() as connection:
        return await store.living_of(connection, ids, now or datetime.now(UTC), idle)


async def touch(engine: AsyncEngine, session_id: str, now: datetime | None = None) -> None:
    """Its person has done something on a page that was open already."""
    async with engine.begin() as connection:
        await store.see(connection, session_id, now or datetime.now(UTC))


async def of_user(engine: AsyncEngine, user_id: int, settings: Admin) -> list[LiveSession]:
    """The sessions that somebody has, the latest first."""
    async with engine.connect() as connection:
        return await store.list_living(connection, user_id, datetime.now(UTC), _idle(settings))


async def end_session(connection: AsyncConnection, session_id: str, user_id: int) -> None:
    """End one of a user's. Raises NotFoundError where it is nobody's, or another's."""
    if not await store.end(connection, session_id, user_id, datetime.now(UTC)):
        raise NotFoundError("There is no such session, or it has ended.")


async def end_all_of(connection: AsyncConnection, user_id: int, keep: str = "") -> int:
    """End all of a user's but ``keep``; returns how many."""
    return await store.end_all(connection, user_id, datetime.now(UTC), keep)


def _idle(settings: Admin) -> timedelta:
    return timedelta(minutes=settings.idle_minutes)
