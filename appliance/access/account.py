"""One's own account: password, second factor, language; and what a login ends with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access import audit, passwords, sealing, sessions, totp
from appliance.access.actor import Actor, ForbiddenError
from appliance.access.proving import Asked, Factor, WrongError, prove_again, prove_code
from appliance.access.roles import PERMISSIONS, Role
from appliance.access.sessions import Opened
from appliance.access.users import LANGUAGES
from appliance.errors import UserError
from appliance.settings import Settings
from appliance.store import users as store
from appliance.store.users import Credentials, User

ENROL = "enrol"
"""Purpose of the ticket of an enrolment."""
ENROL_S = 900
"""How long a new second factor may take to be confirmed."""
_TOO_LATE = "This took too long; begin again."


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A second factor that waits for its first code."""

    secret: str = field(repr=False)
    """To type in where no camera is."""
    uri: str = field(repr=False)
    """What the QR code says."""
    ticket: str = field(repr=False)
    """To bring back with the code."""


def actor_of_user(user: User, address: str) -> Actor:
    """Somebody who has proven who they are, before they have a session."""
    role = Role(user.role)
    return Actor(
        name=user.login, role=role, tenant=user.tenant, permissions=PERMISSIONS[role],
        user_id=user.id, address=address, language=user.language,
    )  # fmt: skip


async def log_in(
    engine: AsyncEngine,
    settings: Settings,
    user: User,
    factor: Factor | None,
    asked: Asked,
    browser: str,
) -> Opened:
    """Open the session of somebody who has proven all that they must."""
    actor = actor_of_user(user, asked.address)
    async with engine.begin() as connection:
        opened = await sessions.open_session(
            connection, user.id, asked.address, browser, settings.admin, asked.now
        )
        await store.logged_in(connection, user.id, asked.now)
        detail = {"second_factor": factor or "none"}
        await audit.append(connection, actor, "session.open", user.login, detail, user.tenant)
    return opened


async def log_out(engine: AsyncEngine, actor: Actor) -> None:
    """End the session that the actor asks with."""
    await end_session(engine, actor, actor.session_id)


async def end_session(engine: AsyncEngine, actor: Actor, session_id: str) -> None:
    """End one of one's own. Raises NotFoundError."""
    user_id = own_id(actor)
    async with engine.begin() as connection:
        await sessions.end_session(connection, session_id, user_id)
        await audit.append(connection, actor, "session.end", actor.name, {}, actor.tenant)


async def end_other_sessions(engine: AsyncEngine, actor: Actor) -> int:
    """End all of one's own but the one that asks; returns how many."""
    user_id = own_id(actor)
    async with engine.begin() as connection:
        ended = await sessions.end_all_of(connection, user_id, keep=actor.session_id)
        detail = {"sessions": ended}
        await audit.append(
            connection, actor, "session.end_others", actor.name, detail, actor.tenant
        )
    return ended


async def change_password(
    engine: AsyncEngine, settings: Settings, actor: Actor, old: str, new: str
) -> None:
    """Change one's own; all other sessions end. Raises WrongError, UserError."""
    await prove_again(engine, settings, own_id(actor), old, Asked.at(actor.address))
    if old == new:
        raise UserError("This is the password that you have; choose another.")
    await choose_password(engine, actor, new)


async def choose_password(engine: AsyncEngine, actor: Actor, new: str) -> None:
    """As :func:`change_password`, for somebody who has just proven the old one. Raises UserError."""
    user_id = own_id(actor)
    passwords.require_good(new, actor.name)
    password_hash = await passwords.hash_password(new)
    async with engine.begin() as connection:
        await store.set_password(connection, user_id, password_hash, must_change=False)
        await sessions.end_all_of(connection, user_id, keep=actor.session_id)
        detail = {"own": True}
        await audit.append(connection, actor, "user.password", actor.name, detail, actor.tenant)


async def is_password_of(found: Credentials, password: str) -> bool:
    """Whether somebody has this password already. Raises BusyError."""
    return (await passwords.check(found.password_hash, password)).right


def begin_enrolment(settings: Settings, actor: Actor, over: str = "") -> Enrolment:
    """A new second factor for somebody who has just proven their password, and the one that they have
    (``over``: as the database keeps it), if any."""
    secret = totp.new_secret()
    facts = {"user": own_id(actor), "secret": secret, "over": _mark(over)}
    ticket = sealing.make_ticket(settings, ENROL, facts)
    return Enrolment(secret, totp.uri(secret, actor.name), ticket)


def resume_enrolment(settings: Settings, actor: Actor, ticket: str) -> Enrolment:
    """The one that a ticket is of. Raises UserError: it is too old."""
    secret, _ = _of_ticket(settings, actor, ticket)
    return Enrolment(secret, totp.uri(secret, actor.name), ticket)


async def confirm_enrolment(
    engine: AsyncEngine, settings: Settings, actor: Actor, ticket: str, code: str
) -> list[str]:
    """The second factor is in force when its first code is right; returns the recovery codes, which
    are shown once. Other sessions end. A ticket is taken once, and only over what was proven when it
    was made. Raises WrongError, UserError."""
    user_id, asked = own_id(actor), Asked.at(actor.address)
    secret, over = _of_ticket(settings, actor, ticket)
    step = totp.step_of(secret, code, asked.now.timestamp())
    if step is None:
        raise WrongError("This code is wrong. Is the telephone's clock right?")
    codes = totp.recovery_codes()
    async with engine.begin() as connection:
        await store.find_user(connection, user_id, None, hold=True)
        found = await store.credentials(connection, user_id=user_id)
        if found is None or _mark(found.totp_secret) != over:
            raise UserError(_TOO_LATE)
        await store.change_user(
            connection,
            user_id,
            totp_secret=sealing.seal(settings, secret),
            totp_step=step,
            recovery_hashes=[totp.recovery_hash(one) for one in codes],
        )
        await sessions.end_all_of(connection, user_id, keep=actor.session_id)
        await _log_factor(connection, actor, "user.second_factor_on")
    return codes


async def renew_recovery(
    engine: AsyncEngine, settings: Settings, actor: Actor, code: str
) -> list[str]:
    """New recovery codes in place of the old ones. Raises WrongError."""
    user_id = own_id(actor)
    await prove_code(engine, settings, user_id, code, Asked.at(actor.address))
    codes = totp.recovery_codes()
    async with engine.begin() as connection:
        hashes = [totp.recovery_hash(one) for one in codes]
        await store.change_user(connection, user_id, recovery_hashes=hashes)
        await _log_factor(connection, actor, "user.recovery_codes")
    return codes


async def remove_second_factor(
    engine: AsyncEngine, settings: Settings, actor: Actor, password: str, code: str
) -> None:
    """Raises WrongError; UserError where everybody must have one."""
    if settings.admin.second_factor == "required":
        raise UserError("Everybody here has a second factor (setting admin.second_factor).")
    user_id, asked = own_id(actor), Asked.at(actor.address)
    await prove_again(engine, settings, user_id, password, asked)
    await prove_code(engine, settings, user_id, code, asked)
    async with engine.begin() as connection:
        await store.change_user(connection, user_id, totp_secret="", recovery_hashes=[])
        await _log_factor(connection, actor, "user.second_factor_off")


async def set_language(engine: AsyncEngine, actor: Actor, language: str) -> None:
    """Raises UserError."""
    if language not in LANGUAGES:
        raise UserError(f"The console speaks {' and '.join(LANGUAGES)}.")
    async with engine.begin() as connection:
        await store.change_user(connection, own_id(actor), language=language)
        detail = {"language": language}
        await audit.append(connection, actor, "user.language", actor.name, detail, actor.tenant)


def own_id(actor: Actor) -> int:
    """Raises ForbiddenError for a key or a command: an account is a person's own."""
    if actor.via != "session" or actor.user_id is None:
        raise ForbiddenError("Only somebody who has logged in with a browser may do this.")
    return actor.user_id


def _of_ticket(settings: Settings, actor: Actor, ticket: str) -> tuple[str, str]:
    """The secret, and the mark of what it takes the place of."""
    facts = sealing.read_ticket(settings, ENROL, ticket, ENROL_S)
    if facts is None or facts["user"] != own_id(actor) or "over" not in facts:
        raise UserError(_TOO_LATE)
    return str(facts["secret"]), str(facts["over"])


def _mark(sealed: str) -> str:
    return hashlib.sha256(sealed.encode()).hexdigest() if sealed else ""


async def _log_factor(connection: AsyncConnection, actor: Actor, action: str) -> None:
    await audit.append(connection, actor, action, actor.name, {}, actor.tenant)
