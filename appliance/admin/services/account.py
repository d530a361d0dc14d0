"""One's own account. Whoever has logged in with a browser may look after it; a key may not."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.access import account, sessions
from appliance.access.account import Enrolment
from appliance.access.actor import Actor, NotFoundError
from appliance.access.proving import Asked, prove_again, prove_code
from appliance.admin.console import Console
from appliance.store import users as store
from appliance.store.sessions import LiveSession
from appliance.store.users import User

SESSION_ID_LETTERS = 64


@dataclass(frozen=True, slots=True)
class Mine:
    """Somebody as they see themselves."""

    user: User
    permissions: tuple[str, ...]
    second_factor_required: bool


@dataclass(frozen=True, slots=True)
class MySession:
    """A browser that somebody is logged in with."""

    session: LiveSession
    is_this: bool


async def show_mine(console: Console, actor: Actor) -> Mine:
    """Raises ForbiddenError for a key."""
    async with console.engine.connect() as connection:
        user = await store.find_user(connection, account.own_id(actor), None)
    if user is None:
        raise NotFoundError("There is no such user.")
    required = console.settings.admin.second_factor == "required"
    return Mine(user, tuple(sorted(actor.permissions)), required)


async def change_password(console: Console, actor: Actor, old: str, new: str) -> None:
    """All other sessions end. Raises WrongError, UserError."""
    await account.change_password(console.engine, console.settings, actor, old, new)


async def set_language(console: Console, actor: Actor, language: str) -> None:
    """Of the console, from the next page on. Raises UserError."""
    await account.set_language(console.engine, actor, language)


async def list_sessions(console: Console, actor: Actor) -> list[MySession]:
    """Those that have not ended, the latest first."""
    user_id = account.own_id(actor)
    found = await sessions.of_user(console.engine, user_id, console.settings.admin)
    return [MySession(one, one.id == actor.session_id) for one in found]


async def end_session(console: Console, actor: Actor, session_id: str) -> None:
    """One of one's own. Raises NotFoundError."""
    if len(session_id) != SESSION_ID_LETTERS or not session_id.isalnum():
        raise NotFoundError("There is no such session, or it has ended.")
    await account.end_session(console.engine, actor, session_id)


async def end_other_sessions(console: Console, actor: Actor) -> int:
    """All of one's own but this one; returns how many."""
    return await account.end_other_sessions(console.engine, actor)


async def begin_second_factor(
    console: Console, actor: Actor, password: str, code: str = ""
) -> Enrolment:
    """A secret for the telephone; it is in force once a code of it has come back. Where it takes the
    place of one that is there, ``code`` is of that one, or a recovery code: else whoever has only the
    password could put theirs in its place. Raises WrongError."""
    user_id = account.own_id(actor)
    asked = Asked.at(actor.address)
    found = await prove_again(console.engine, console.settings, user_id, password, asked)
    if found.user.has_second_factor:
        await prove_code(console.engine, console.settings, user_id, code, asked)
    return account.begin_enrolment(console.settings, actor, found.totp_secret)


async def confirm_second_factor(
    console: Console, actor: Actor, ticket: str, code: str
) -> list[str]:
    """Returns the recovery codes, which are shown once. Raises WrongError, UserError."""
    return await account.confirm_enrolment(console.engine, console.settings, actor, ticket, code)


async def renew_recovery_codes(console: Console, actor: Actor, code: str) -> list[str]:
    """In place of the old ones. Raises WrongError."""
    return await account.renew_recovery(console.engine, console.settings, actor, code)


async def remove_second_factor(console: Console, actor: Actor, password: str, code: str) -> None:
    """Raises WrongError; UserError where everybody must have one."""
    await account.remove_second_factor(console.engine, console.settings, actor, password, code)
