"""API keys in Postgres: their hashes, what they may do, when they were used."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.access_models import ApiKeyRow, UserRow


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, as it may be shown: not the key itself."""

    id: int
    prefix: str
    name: str
    user_id: int
    owner: str
    """Login."""
    owner_enabled: bool
    tenant: str | None
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """A key that was shown to us, with what its owner may do."""

    key: ApiKey
    key_hash: str = field(repr=False)
    role: str
    language: str


_KEY = (
    *(ApiKeyRow.id, ApiKeyRow.prefix, ApiKeyRow.name, ApiKeyRow.user_id, ApiKeyRow.scopes),
    *(ApiKeyRow.created_at, ApiKeyRow.expires_at, ApiKeyRow.last_used_at, ApiKeyRow.revoked_at),
    *(UserRow.login.label("owner"), UserRow.enabled.label("owner_enabled"), UserRow.tenant),
)


def _key(row: Any) -> ApiKey:
    values = {name: row[name] for name in ApiKey.__slots__}
    return ApiKey(**values | {"scopes": tuple(values["scopes"])})


async def add_key(connection: AsyncConnection, **values: Any) -> int:
    added = await connection.execute(insert(ApiKeyRow).values(**values).returning(ApiKeyRow.id))
    return int(added.scalar_one())


async def find_by_prefix(
    connection: AsyncConnection, prefix: str, now: datetime
) -> KeyInUse | None:
    """None: there is no such key, or it was revoked, or it is over, or its owner is disabled."""
    query = (
        select(*_KEY, ApiKeyRow.key_hash, UserRow.role, UserRow.language)
        .join(UserRow, ApiKeyRow.user_id == UserRow.id)
        .where(ApiKeyRow.prefix == prefix, ApiKeyRow.revoked_at.is_(None), UserRow.enabled)
        .where(or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now))
    )
    row = (await connection.execute(query)).mappings().first()
    return KeyInUse(_key(row), row["key_hash"], row["role"], row["language"]) if row else None


async def use(connection: AsyncConnection, key_id: int, now: datetime) -> None:
    await connection.execute(
        update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(last_used_at=now)
    )


async def list_keys(
    connection: AsyncConnection, *, user_id: int | None = None, tenant: str | None = None
) -> list[ApiKey]:
    """The latest first; of one user, or of the people of one tenant, or all."""
    query = select(*_KEY).join(UserRow, ApiKeyRow.user_id == UserRow.id)
    if user_id is not None:
        query = query.where(ApiKeyRow.user_id == user_id)
    if tenant is not None:
        query = query.where(UserRow.tenant == tenant)
    rows = await connection.execute(query.order_by(ApiKeyRow.id.desc()))
    return [_key(row) for row in rows.mappings()]


async def find_key(connection: AsyncConnection, key_id: int) -> ApiKey | None:
    query = select(*_KEY).join(UserRow, ApiKeyRow.user_id == UserRow.id)
    row = (await connection.execute(query.where(ApiKeyRow.id == key_id))).mappings().first()
    return _key(row) if row else None


async def revoke(connection: AsyncConnection, key_id: int, now: datetime) -> bool:
    """False: it was revoked before."""
    done = await connection.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(ApiKeyRow.id)
    )
    return done.first() is not None
