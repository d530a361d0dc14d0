"""People: who may make, change and shut out whom."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access import audit, passwords, sessions
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import PERMISSIONS, Role
from appliance.errors import UserError
from appliance.store import users as store
from appliance.store.users import User

LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,63}")
LONGEST_NAME = 100
LANGUAGES = ("en", "hi")
"""Of the console."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is set of a person."""

    name: str
    role: Role
    tenant: str | None
    """None: the operator's own staff."""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Made:
    """A user with a password that somebody else has to be told."""

    user: User
    one_time_password: str = field(repr=False)
    """Shown once; empty where a password was given."""


async def create(
    engine: AsyncEngine, actor: Actor, login: str, profile: Profile, password: str = ""
) -> Made:
    """A new user; without ``password`` with one for one time. Raises UserError, ForbiddenError."""
    login = login.strip().lower()
    if not LOGIN.fullmatch(login):
        raise UserError(
            "A login has 2 to 64 letters (a-z), digits and . _ @ + -, and begins with one of the"
            " first two."
        )
    _require_valid(profile)
    _require_grantable(actor, profile)
    given, password_hash = await _new_password(password, login)
    async with engine.begin() as connection:
        user_id = await store.add_user(
            connection, login=login, password_hash=password_hash, must_change=not password,
            **_values(profile),
        )  # fmt: skip
        made = await _find(connection, actor, user_id)
        await audit.append(connection, actor, "user.create", login, _facts(made), made.tenant)
    return Made(made, given)


async def change(engine: AsyncEngine, actor: Actor, user_id: int, profile: Profile) -> User:
    """Name, role, tenant, language. A new role or tenant ends their sessions.

    Raises NotFoundError, ForbiddenError, UserError.
    """
    _require_valid(profile)
    async with engine.begin() as connection:
        before = await _manageable(connection, actor, user_id)
        moved = (before.role, before.tenant) != (profile.role.value, profile.tenant)
        if moved:
            _require_grantable(actor, profile)
            _require_not_self(actor, before, "role or tenant")
        if profile.role is not Role.OPERATOR:
            await _require_other_operator(connection, before)
        await store.change_user(connection, user_id, **_values(profile))
        if moved:
            await sessions.end_all_of(connection, user_id)
        after = await _find(connection, actor, user_id)
        detail = {"before": _facts(before), "after": _facts(after)}
        await audit.append(connection, actor, "user.change", before.login, detail, before.tenant)
    return after


async def set_enabled(engine: AsyncEngine, actor: Actor, user_id: int, enabled: bool) -> User:
    """Shut somebody out (sessions and keys end at once), or let them in again, a lock included.

    Raises NotFoundError, ForbiddenError, UserError.
    """
    async with engine.begin() as connection:
        before = await _manageable(connection, actor, user_id)
        if enabled:
            await store.change_user(
                connection, user_id, enabled=True, failed_logins=0, locked_until=None
            )
        else:
            _require_not_self(actor, before, "access")
            await _require_other_operator(connection, before)
            await store.change_user(connection, user_id, enabled=False)
            await sessions.end_all_of(connection, user_id)
        action = "user.enable" if enabled else "user.disable"
        await audit.append(connection, actor, action, before.login, {}, before.tenant)
        return await _find(connection, actor, user_id)


async def reset_password(
    engine: AsyncEngine, actor: Actor, user_id: int, password: str = ""
) -> Made:
    """Give somebody a password; without ``password`` one for one time. Ends their sessions, and a lock.

    Raises NotFoundError, ForbiddenError, UserError.
    """
    async with engine.connect() as connection:
        login = (await _manageable(connection, actor, user_id)).login
    given, password_hash = await _new_password(password, login)
    async with engine.begin() as connection:
        user = await _manageable(connection, actor, user_id)
        await store.set_password(connection, user_id, password_hash, must_change=not password)
        await sessions.end_all_of(connection, user_id)
        detail = {"one_time": not password}
        await audit.append(connection, actor, "user.password", login, detail, user.tenant)
        return Made(await _find(connection, actor, user_id), given)


async def reset_second_factor(engine: AsyncEngine, actor: Actor, user_id: int) -> User:
    """Take the second factor away from somebody who has lost it. Ends their sessions.

    Raises NotFoundError, ForbiddenError.
    """
    async with engine.begin() as connection:
        user = await _manageable(connection, actor, user_id)
        await store.change_user(connection, user_id, totp_secret="", recovery_hashes=[])
        await sessions.end_all_of(connection, user_id)
        await audit.append(
            connection, actor, "user.second_factor_reset", user.login, {}, user.tenant
        )
        return await _find(connection, actor, user_id)


async def list_visible(engine: AsyncEngine, actor: Actor) -> list[User]:
    """Everybody whom the actor may know of, by login."""
    async with engine.connect() as connection:
        return await store.list_users(connection, actor.tenant)


async def find(engine: AsyncEngine, actor: Actor, user_id: int) -> User:
    """Raises NotFoundError: there is none, or of another tenant."""
    async with engine.connect() as connection:
        return await _find(connection, actor, user_id)


async def find_login(engine: AsyncEngine, login: str) -> User:
    """For commands. Raises NotFoundError."""
    async with engine.connect() as connection:
        found = await store.credentials(connection, login=login.strip().lower() or "\n")
    if found is None:
        raise NotFoundError(f"There is no user {login!r}. See `ivr users list`.")
    return found.user


def roles_to_give(actor: Actor) -> list[Role]:
    """The roles that the actor may give: none that may do what they may not."""
    tenantless = actor.tenant is None
    return [
        role for role in Role
        if PERMISSIONS[role] <= actor.permissions and (tenantless or role is not Role.OPERATOR)
    ]  # fmt: skip


async def _new_password(password: str, login: str) -> tuple[str, str]:
    """What is shown once (empty where one was given), and the hash."""
    if password:
        passwords.require_good(password, login)
    given = "" if password else passwords.one_time()
    return given, await passwords.hash_password(password or given)


async def _find(
    connection: AsyncConnection, actor: Actor, user_id: int, *, hold: bool = False
) -> User:
    found = await store.find_user(connection, user_id, actor.tenant, hold=hold)
    if found is None:
        raise NotFoundError("There is no such user.")
    return found


async def _manageable(connection: AsyncConnection, actor: Actor, user_id: int) -> User:
    """Held until the transaction ends. Raises ForbiddenError: they may do more than the actor."""
    user = await _find(connection, actor, user_id, hold=True)
    if not PERMISSIONS[Role(user.role)] <= actor.permissions:
        raise ForbiddenError(f"{user.login} ({user.role}) may do more than you; ask an operator.")
    return user


def _require_valid(profile: Profile) -> None:
    if len(profile.name) > LONGEST_NAME or not (profile.name.isprintable() or not profile.name):
        raise UserError(f"A name has at most {LONGEST_NAME} letters, on one line.")
    if profile.language not in LANGUAGES:
        raise UserError(f"The console speaks {' and '.join(LANGUAGES)}, not {profile.language!r}.")
    if profile.role is Role.OPERATOR and profile.tenant is not None:
        raise UserError("An operator runs the whole box and belongs to no tenant.")


def _require_grantable(actor: Actor, profile: Profile) -> None:
    if not PERMISSIONS[profile.role] <= actor.permissions:
        raise ForbiddenError(f"The role {profile.role} may do more than you; ask an operator.")
    if actor.tenant is not None and profile.tenant != actor.tenant:
        raise ForbiddenError("You may make and change people of your own tenant only.")


def _require_not_self(actor: Actor, user: User, what: str) -> None:
    if user.id == actor.user_id:
        raise UserError(f"Nobody changes their own {what}; another administrator does.")


async def _require_other_operator(connection: AsyncConnection, user: User) -> None:
    """Raises UserError: without this one nobody could run the box."""
    if user.role != Role.OPERATOR or not user.enabled:
        return
    if not await store.other_operators(connection, user.id):
        raise UserError(f"{user.login} is the last operator who can log in; make another first.")


def _values(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name.strip(),
        "role": profile.role.value,
        "tenant": profile.tenant,
        "language": profile.language,
    }


def _facts(user: User) -> dict[str, Any]:
    return {"name": user.name, "role": user.role, "tenant": user.tenant, "language": user.language}
