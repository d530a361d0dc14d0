"""Users and tenants in Postgres."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    any_,
    case,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.errors import UserError
from appliance.store.access_models import TenantRow, UserRow
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import AgentRow

OPERATOR = "operator"
"""The role that must never be without an enabled person."""


@dataclass(frozen=True, slots=True)
class User:
    """A person, as others may see them."""

    id: int
    login: str
    name: str
    tenant: str | None
    role: str
    """As ``access.roles`` names it."""
    language: str
    enabled: bool
    must_change: bool
    has_password: bool
    has_second_factor: bool
    recovery_left: int
    locked_until: datetime | None
    created_at: datetime
    last_login_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a person proves themselves with; it never leaves ``access``."""

    user: User
    password_hash: str = field(repr=False)
    password_changed_at: datetime
    totp_secret: str = field(repr=False)
    """Encrypted; empty: no second factor."""


@dataclass(frozen=True, slots=True)
class Try:
    """One counted try to prove oneself."""

    granted: bool
    """False: locked out; or there is no such user."""
    locks_until: datetime | None = None
    """Set where this try, if it fails, is the last one."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer of the operator, and how much is theirs."""

    id: str
    name: str
    created_at: datetime
    users: int
    agents: int
    bases: int


_USER = (
    *(UserRow.id, UserRow.login, UserRow.name, UserRow.tenant, UserRow.role, UserRow.language),
    *(UserRow.enabled, UserRow.must_change, UserRow.locked_until),
    *(UserRow.created_at, UserRow.last_login_at),
    (UserRow.password_hash != "").label("has_password"),
    (UserRow.totp_secret != "").label("has_second_factor"),
    func.cardinality(UserRow.recovery_hashes).label("recovery_left"),
)
_SECRETS = (UserRow.password_hash, UserRow.password_changed_at, UserRow.totp_secret)


def _visible(tenant: str | None) -> ColumnElement[bool]:
    return true() if tenant is None else UserRow.tenant == tenant


async def add_user(connection: AsyncConnection, **values: Any) -> int:
    """Returns the new id. Raises UserError: the login is taken, or there is no such tenant."""
    try:
        added = await connection.execute(insert(UserRow).values(**values).returning(UserRow.id))
    except IntegrityError as e:
        if "uq_users_login" in str(e.orig):
            raise UserError(f"There is a user {values['login']!r} already.") from e
        raise UserError(f"There is no tenant {values['tenant']!r}.") from e
    return int(added.scalar_one())


async def change_user(connection: AsyncConnection, user_id: int, **values: Any) -> None:
    """Raises UserError: there is no such tenant."""
    try:
        await connection.execute(update(UserRow).where(UserRow.id == user_id).values(**values))
    except IntegrityError as e:
        raise UserError(f"There is no tenant {values.get('tenant')!r}.") from e


async def list_users(connection: AsyncConnection, tenant: str | None) -> list[User]:
    """By login; ``tenant``: only its people. Bounded by who the operator lets in."""
    rows = await connection.execute(select(*_USER).where(_visible(tenant)).order_by(UserRow.login))
    return [User(**row) for row in rows.mappings()]


async def find_user(
    connection: AsyncConnection, user_id: int, tenant: str | None, *, hold: bool = False
) -> User | None:
    """``hold``: nobody else changes them until the transaction ends."""
    query = select(*_USER).where(UserRow.id == user_id, _visible(tenant))
    row = (await connection.execute(query.with_for_update() if hold else query)).mappings().first()
    return User(**row) if row else None


async def credentials(
    connection: AsyncConnection, *, login: str = "", user_id: int = 0
) -> Credentials | None:
    """Of the user with that login, else that id."""
    who = UserRow.login == login if login else UserRow.id == user_id
    row = (await connection.execute(select(*_USER, *_SECRETS).where(who))).mappings().first()
    if row is None:
        return None
    secrets = {column.key: row[column.key] for column in _SECRETS}
    return Credentials(User(**{k: v for k, v in row.items() if k not in secrets}), **secrets)


async def other_operators(connection: AsyncConnection, user_id: int) -> int:
    """How many enabled operators with a password there are beside this one, held until the
    transaction ends."""
    rows = await connection.scalars(
        select(UserRow.id)
        .where(UserRow.role == OPERATOR, UserRow.enabled, UserRow.password_hash != "")
        .order_by(UserRow.id)
        .with_for_update()
    )
    return sum(found != user_id for found in rows)


async def take_try(
    connection: AsyncConnection, user_id: int, now: datetime, lock_after: int, lock: timedelta
) -> Try:
    """Count a try before it is judged, so that tries at once cannot be more than tries in a row."""
    tries = case((UserRow.locked_until <= now, 1), else_=UserRow.failed_logins + 1)
    statement = (
        update(UserRow)
        .where(UserRow.id == user_id)
        .where(or_(UserRow.locked_until.is_(None), UserRow.locked_until <= now))
        .values(
            failed_logins=tries, locked_until=case((tries >= lock_after, now + lock), else_=null())
        )
        .returning(UserRow.locked_until)
    )
    row = (await connection.execute(statement)).first()
    return Try(granted=row is not None, locks_until=row.locked_until if row else None)


async def give_try_back(connection: AsyncConnection, user_id: int, taken: Try) -> None:
    """It was right: it counts no more, and does not lock."""
    ours = UserRow.locked_until == taken.locks_until
    await connection.execute(
        update(UserRow)
        .where(UserRow.id == user_id)
        .values(
            failed_logins=func.greatest(UserRow.failed_logins - 1, 0),
            locked_until=case((ours, null()), else_=UserRow.locked_until),
        )
    )


async def set_password(
    connection: AsyncConnection, user_id: int, password_hash: str, *, must_change: bool
) -> None:
    """It also ends a lock: whoever guessed, guessed at the old one."""
    await change_user(
        connection, user_id, password_hash=password_hash, password_changed_at=func.now(),
        must_change=must_change, failed_logins=0, locked_until=None,
    )  # fmt: skip


async def logged_in(connection: AsyncConnection, user_id: int, now: datetime) -> None:
    """They have proven all that they must."""
    await change_user(connection, user_id, failed_logins=0, locked_until=None, last_login_at=now)


async def take_step(connection: AsyncConnection, user_id: int, step: int) -> bool:
    """Use the code of a time step; False: it, or a later one, was used before."""
    done = await connection.execute(
        update(UserRow)
        .where(UserRow.id == user_id, UserRow.totp_step < step)
        .values(totp_step=step)
        .returning(UserRow.id)
    )
    return done.first() is not None


async def take_recovery(connection: AsyncConnection, user_id: int, code_hash: str) -> bool:
    """Use a recovery code; False: there is no such one, or not any more."""
    done = await connection.execute(
        update(UserRow)
        .where(UserRow.id == user_id, literal(code_hash) == any_(UserRow.recovery_hashes))
        .values(recovery_hashes=func.array_remove(UserRow.recovery_hashes, code_hash))
        .returning(UserRow.id)
    )
    return done.first() is not None


async def add_tenant(connection: AsyncConnection, tenant: str, name: str) -> None:
    """Raises UserError: the id is taken."""
    try:
        await connection.execute(insert(TenantRow).values(id=tenant, name=name))
    except IntegrityError as e:
        raise UserError(f"There is a tenant {tenant!r} already.") from e


async def rename_tenant(connection: AsyncConnection, tenant: str, name: str) -> bool:
    done = await connection.execute(
        update(TenantRow).where(TenantRow.id == tenant).values(name=name).returning(TenantRow.id)
    )
    return done.first() is not None


async def tenant_exists(connection: AsyncConnection, tenant: str) -> bool:
    return bool(await connection.scalar(select(exists().where(TenantRow.id == tenant))))


async def list_tenants(connection: AsyncConnection) -> list[Tenant]:
    """By id."""
    counts = [
        select(func.count()).where(row.tenant == TenantRow.id).scalar_subquery().label(name)
        for name, row in (("users", UserRow), ("agents", AgentRow), ("bases", KnowledgeBaseRow))
    ]
    columns = (TenantRow.id, TenantRow.name, TenantRow.created_at, *counts)
    rows = await connection.execute(select(*columns).order_by(TenantRow.id))
    return [Tenant(**row) for row in rows.mappings()]
