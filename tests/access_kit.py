"""People of two tenants, for tests of who may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access import account, passwords, users
from appliance.access.account import actor_of_user
from appliance.access.actor import Actor
from appliance.access.commandline import actor_of_command
from appliance.access.proving import Asked
from appliance.access.roles import Role
from appliance.access.sessions import actor_of
from appliance.access.users import Profile
from appliance.settings import Admin, Settings
from appliance.store import audit_log
from appliance.store.access_models import TenantRow
from appliance.store.audit_log import AuditEntry
from appliance.store.users import User

PASSWORD = "four plain words here"
ADDRESS = "10.0.0.7"
BOX = actor_of_command()


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id as ever, only cheaper."""
    cheap = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)


def settings_in(folder: Path, **admin: Any) -> Settings:
    return Settings(data_dir=folder, admin=Admin(**admin))


async def add_tenant(connection: AsyncConnection, tenant: str) -> None:
    await connection.execute(insert(TenantRow).values(id=tenant, name=tenant.title()))


async def make_user(
    engine: AsyncEngine, login: str, role: Role = Role.ADMIN, tenant: str | None = "main"
) -> User:
    """With ``PASSWORD``."""
    tenant = None if role is Role.OPERATOR else tenant
    return (await users.create(engine, BOX, login, Profile(login, role, tenant), PASSWORD)).user


async def make_actor(
    engine: AsyncEngine, login: str, role: Role = Role.ADMIN, tenant: str | None = "main"
) -> Actor:
    """Of a new user, as if logged in."""
    return actor_of_user(await make_user(engine, login, role, tenant), ADDRESS)


async def logged_in(engine: AsyncEngine, settings: Settings, user: User) -> tuple[Actor, str]:
    """With a real session; also its token."""
    opened = await account.log_in(engine, settings, user, None, at(), "Firefox")
    actor = await actor_of(engine, opened.token, ADDRESS, settings.admin)
    assert actor is not None
    return actor, opened.token


async def enrolled(engine: AsyncEngine, settings: Settings, user: User) -> tuple[str, list[str]]:
    """Give them a second factor; returns its secret and the recovery codes."""
    actor = actor_of_user(user, ADDRESS)
    begun = account.begin_enrolment(settings, actor)
    code = pyotp.TOTP(begun.secret).at(datetime.now(UTC) - timedelta(seconds=30))
    codes = await account.confirm_enrolment(engine, settings, actor, begun.ticket, code)
    return begun.secret, codes


def at(now: datetime | None = None) -> Asked:
    return Asked(ADDRESS, now or datetime.now(UTC))


async def audited(engine: AsyncEngine) -> list[AuditEntry]:
    async with engine.connect() as connection:
        return await audit_log.read_after(connection, 0, 1000)


async def actions(engine: AsyncEngine) -> list[tuple[str, str]]:
    """What the audit log says was done, to what."""
    return [(row.action, row.subject) for row in await audited(engine)]
