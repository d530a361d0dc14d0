"""How a person proves who they are: password, then code. Each try is counted before it is judged."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import audit, passwords, sealing, totp
from appliance.access.actor import Actor
from appliance.access.roles import Role
from appliance.errors import UserError
from appliance.settings import Admin, Settings
from appliance.store import users as store
from appliance.store.users import Credentials, Try, User

_log = logging.getLogger(__name__)

NOBODY_ID = 0
"""No user has it: an unknown login goes the same way as a known one, statement for statement."""
LONGEST_LOGIN = 100

WRONG_PASSWORD = "Wrong login or password. After several wrong tries a login is locked for a while."
WRONG_CODE = "This code is wrong, or was used before. Wait for the next one."

Factor = Literal["code", "recovery"]


class WrongError(UserError):
    """Not proven; which part was wrong, and whether there is such a person at all, stays open."""


@dataclass(frozen=True, slots=True)
class Asked:
    """From where somebody tries, and when."""

    address: str
    now: datetime

    @classmethod
    def at(cls, address: str) -> Asked:
        return cls(address, datetime.now(UTC))


async def prove_password(
    engine: AsyncEngine, settings: Settings, login: str, password: str, asked: Asked
) -> Credentials:
    """Whoever has this login and this password. Raises WrongError, and BusyError."""
    async with engine.begin() as connection:
        found = await store.credentials(connection, login=_login(login))
    return await _judge_password(engine, settings, found, password, asked)


async def prove_again(
    engine: AsyncEngine, settings: Settings, user_id: int, password: str, asked: Asked
) -> Credentials:
    """The password of somebody who has logged in, before something that matters. Raises WrongError."""
    async with engine.begin() as connection:
        found = await store.credentials(connection, user_id=user_id)
    return await _judge_password(engine, settings, found, password, asked)


async def _judge_password(
    engine: AsyncEngine,
    settings: Settings,
    found: Credentials | None,
    password: str,
    asked: Asked,
) -> Credentials:
    user_id = found.user.id if found else NOBODY_ID
    taken = await _take_try(engine, settings.admin, user_id, asked)
    typed = password if len(password) <= passwords.LONGEST_LETTERS else ""
    try:
        checked = await passwords.check(found.password_hash if found else "", typed)
    except passwords.BusyError:
        await _give_back(engine, user_id, taken)
        raise
    if found is None or not (found.user.enabled and taken.granted and checked.right):
        await _refuse(engine, found.user if found else None, "password", taken, asked)
        raise WrongError(WRONG_PASSWORD)
    await _give_back(engine, user_id, taken)
    if checked.outdated:
        fresh = await passwords.hash_password(password)
        async with engine.begin() as connection:
            await store.change_user(connection, user_id, password_hash=fresh)
    return found


async def prove_code(
    engine: AsyncEngine, settings: Settings, user_id: int, code: str, asked: Asked
) -> tuple[User, Factor]:
    """The second factor of whoever has proven their password: a code, or a recovery code; each is
    taken once. Raises WrongError."""
    async with engine.begin() as connection:
        found = await store.credentials(connection, user_id=user_id)
    taken = await _take_try(engine, settings.admin, user_id, asked)
    factor: Factor | None = None
    if found is not None and found.user.enabled and found.totp_secret and taken.granted:
        secret = sealing.unseal(settings, found.totp_secret)
        factor = await _take_code(engine, user_id, secret, code[:LONGEST_LOGIN], asked)
    if found is None or factor is None:
        await _refuse(engine, found.user if found else None, "code", taken, asked)
        raise WrongError(WRONG_CODE)
    await _give_back(engine, user_id, taken)
    return found.user, factor


async def _take_code(
    engine: AsyncEngine, user_id: int, secret: str, code: str, asked: Asked
) -> Factor | None:
    step = totp.step_of(secret, code, asked.now.timestamp())
    async with engine.begin() as connection:
        if step is not None:
            return "code" if await store.take_step(connection, user_id, step) else None
        used = await store.take_recovery(connection, user_id, totp.recovery_hash(code))
        return "recovery" if used else None


async def _take_try(engine: AsyncEngine, settings: Admin, user_id: int, asked: Asked) -> Try:
    lock = timedelta(minutes=settings.lock_minutes)
    async with engine.begin() as connection:
        return await store.take_try(connection, user_id, asked.now, settings.lock_after, lock)


async def _give_back(engine: AsyncEngine, user_id: int, taken: Try) -> None:
    async with engine.begin() as connection:
        await store.give_try_back(connection, user_id, taken)


async def _refuse(
    engine: AsyncEngine, user: User | None, what: str, taken: Try, asked: Asked
) -> None:
    """Into the log. What was typed for a login that nobody has is not kept: it may be a password."""
    nobody = Actor("nobody", Role.VIEWER, None, frozenset(), address=asked.address)
    locked = taken.locks_until is not None
    action = "login.lock" if locked else "login.refuse"
    subject, tenant = (user.login, user.tenant) if user else ("unknown", None)
    _tell(what, asked.address)
    async with engine.begin() as connection:
        await audit.append(connection, nobody, action, subject, {"wrong": what}, tenant)


def _tell(what: str, address: str) -> None:
    """The line that fail2ban reads (installer/fail2ban/filter.d/ivr-console.conf)."""
    try:
        shown = ip_address(address)
    except ValueError:  # a proxy's word, or a test's: nobody can be shut out by it
        return
    _log.warning("! console: refused a wrong %s from %s", what, shown)


def _login(typed: str) -> str:
    """As it is kept; what cannot be one is nobody's."""
    login = typed.strip().lower()
    return login if 0 < len(login) <= LONGEST_LOGIN and "\0" not in login else "\n"
