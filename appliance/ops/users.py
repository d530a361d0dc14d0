"""``ivr users``: who logs in to the console."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import users
from appliance.access.commandline import actor_of_command
from appliance.access.roles import Role
from appliance.access.users import Profile
from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table
from appliance.settings import Settings
from appliance.store.database import answer
from appliance.store.users import User

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed of a new person."""

    login: str
    name: str
    role: str
    tenant: str
    language: str


def print_users(settings: Settings, tenant: str, *, as_json: bool) -> None:
    """By login."""
    actor = actor_of_command()
    found = answer(settings, lambda engine: users.list_visible(engine, actor), TIMEOUT_S)
    found = [user for user in found if not tenant or user.tenant == tenant]
    if as_json:
        print_json({"users": [facts_of(user) for user in found]})
        return
    print_table(
        ("login", "name", "role", "tenant", "state", "second factor", "last login"),
        [
            (
                user.login, user.name, user.role, user.tenant or "", state_of(user),
                "yes" if user.has_second_factor else "no", _when(user.last_login_at),
            )
            for user in found
        ],
        "Nobody can log in yet. Make the first: ivr users create NAME --role operator",
    )  # fmt: skip


def create(settings: Settings, wanted: Wanted, password: str, *, as_json: bool) -> None:
    """Raises UserError."""
    profile = Profile(wanted.name, Role(wanted.role), wanted.tenant or None, wanted.language)
    _require_password(password)

    async def work(engine: AsyncEngine) -> User:
        made = await users.create(engine, actor_of_command(), wanted.login, profile, password)
        return made.user

    user = answer(settings, work, TIMEOUT_S)
    whose = f"of tenant {user.tenant}" if user.tenant else "of the operator"
    _tell("created", user, f"{user.login} ({user.role}, {whose}) may log in.", as_json)


def set_password(settings: Settings, login: str, password: str, *, as_json: bool) -> None:
    """Raises UserError."""
    _require_password(password)

    async def work(engine: AsyncEngine) -> User:
        user = await users.find_login(engine, login)
        made = await users.reset_password(engine, actor_of_command(), user.id, password)
        return made.user

    user = answer(settings, work, TIMEOUT_S)
    _tell("password set", user, f"{user.login} has a new password; sessions ended.", as_json)


def set_enabled(settings: Settings, login: str, enabled: bool, *, as_json: bool) -> None:
    """Raises UserError: the last operator stays."""

    async def work(engine: AsyncEngine) -> User:
        user = await users.find_login(engine, login)
        return await users.set_enabled(engine, actor_of_command(), user.id, enabled)

    user = answer(settings, work, TIMEOUT_S)
    done = "enabled" if enabled else "disabled"
    says = "may log in again." if enabled else "is shut out; sessions and keys ended."
    _tell(done, user, f"{user.login} {says}", as_json)


def reset_second_factor(settings: Settings, login: str, *, as_json: bool) -> None:
    """Raises UserError."""

    async def work(engine: AsyncEngine) -> User:
        user = await users.find_login(engine, login)
        return await users.reset_second_factor(engine, actor_of_command(), user.id)

    user = answer(settings, work, TIMEOUT_S)
    _tell("second factor reset", user, f"{user.login} logs in by password alone now.", as_json)


def facts_of(user: User) -> dict[str, Any]:
    """For JSON."""
    return {
        "id": user.id,
        "login": user.login,
        "name": user.name,
        "role": user.role,
        "tenant": user.tenant,
        "state": state_of(user),
        "second_factor": user.has_second_factor,
        "last_login_at": user.last_login_at,
    }


def state_of(user: User) -> str:
    if not user.enabled:
        return "disabled"
    if user.locked_until is not None and user.locked_until > datetime.now(user.locked_until.tzinfo):
        return "locked"
    return "must change password" if user.must_change else "enabled"


def _require_password(password: str) -> None:
    if not password:
        raise UserError("No password was given.")


def _when(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}" if at else "never"


def _tell(action: str, user: User, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json({"action": action} | facts_of(user))
    else:
        print(plain(sentence))
