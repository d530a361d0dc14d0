"""Proving who one is: counted, locked, never taken twice, and mute about who there is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import account, passwords, users
from appliance.access.passwords import BusyError, hash_password
from appliance.access.proving import Asked, WrongError, prove_code, prove_password
from appliance.access.users import set_enabled
from appliance.settings import Settings
from appliance.store import users as store
from tests.access_kit import (
    BOX,
    PASSWORD,
    actions,
    at,
    audited,
    enrolled,
    make_user,
    quick_passwords,  # noqa: F401
    settings_in,
)

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("quick_passwords")]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path, lock_after=3, lock_minutes=15)


async def _wrong(
    engine: AsyncEngine, settings: Settings, login: str, asked: Asked, password: str = "no"
) -> str:
    with pytest.raises(WrongError) as caught:
        await prove_password(engine, settings, login, password, asked)
    return str(caught.value)


async def test_the_right_password(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    proven = await prove_password(engine, settings, " ASHA ", PASSWORD, at())
    assert proven.user.id == user.id
    assert proven.password_hash not in repr(proven)


async def test_unknown_disabled_locked_and_wrong_answer_alike(
    engine: AsyncEngine, settings: Settings
) -> None:
    await make_user(engine, "asha")
    gone = await make_user(engine, "gone")
    await set_enabled(engine, BOX, gone.id, False)
    answers = {
        await _wrong(engine, settings, "nobody", at()),
        await _wrong(engine, settings, "gone", at(), PASSWORD),
        *[await _wrong(engine, settings, "asha", at()) for _ in range(3)],
        await _wrong(engine, settings, "asha", at(), PASSWORD),  # locked by now
        await _wrong(engine, settings, "a\0b", at()),
        await _wrong(engine, settings, "", at()),
        await _wrong(engine, settings, "x" * 5000, at(), "y" * 5000),
    }
    assert len(answers) == 1


class Work:
    """What a try costs: statements, and hashes with their parameters."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.done: list[str] = []
        self._hasher = passwords._hasher
        event.listen(engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, connection: object, cursor: object, statement: str, *rest: object) -> None:
        self.done.append(statement)

    def hash(self, password: str) -> str:
        self.done.append("hash")
        return self._hasher.hash(password)

    def verify(self, kept: str, typed: str) -> bool:
        self.done.append(f"verify {kept.split('$')[1:4]}")
        return self._hasher.verify(kept, typed)

    def check_needs_rehash(self, kept: str) -> bool:
        return self._hasher.check_needs_rehash(kept)


@pytest.mark.parametrize("first", [True, False])
async def test_whoever_is_not_let_in_costs_the_same_work(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """Counted, not timed: wrong, unknown, shut out, locked, without a password; the first try of a
    process and any later one."""
    await make_user(engine, "asha")
    await make_user(engine, "locked")
    for _ in range(3):
        await _wrong(engine, settings, "locked", at())
    gone = await make_user(engine, "gone")
    await set_enabled(engine, BOX, gone.id, False)
    bare = await make_user(engine, "bare")
    async with engine.begin() as connection:
        await store.change_user(connection, bare.id, password_hash="")
    work = Work(engine)
    monkeypatch.setattr(passwords, "_hasher", work)
    passwords._nobodys_hash.cache_clear()  # other tests hash otherwise
    await passwords.check("", "x")
    costs = {}
    tries = (("asha", "no"), ("nobody", "no"), ("gone", PASSWORD), ("locked", PASSWORD),
             ("bare", ""), ("x" * 5000, "y" * 5000), ("a\0b", "no"))  # fmt: skip
    for login, password in tries:
        if first:
            passwords._nobodys_hash.cache_clear()
        work.done = []
        await _wrong(engine, settings, login, at(), password)
        costs[login] = work.done
    one = costs.pop("asha")
    assert sum(what.startswith("verify") for what in one) == 1 and len(one) >= 6
    assert one.count("hash") == (1 if first else 0)
    assert {login: done for login, done in costs.items() if done != one} == {}


async def test_what_was_typed_for_nobody_is_kept_nowhere(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await make_user(engine, "asha")
    await _wrong(engine, settings, "my secret password", at(), "hunter2 hunter2")
    last = (await audited(engine))[-1]
    assert (last.actor, last.action, last.subject) == ("nobody", "login.refuse", "unknown")
    assert last.address == "10.0.0.7" and last.tenant is None
    assert "secret" not in caplog.text and "hunter2" not in caplog.text + str(last)


async def test_too_many_wrong_ones_lock_for_a_while(
    engine: AsyncEngine, settings: Settings
) -> None:
    await make_user(engine, "asha")
    for _ in range(3):
        await _wrong(engine, settings, "asha", at(NOON))
    await _wrong(engine, settings, "asha", at(NOON + timedelta(minutes=14)), PASSWORD)
    later = at(NOON + timedelta(minutes=15, seconds=1))
    assert (await prove_password(engine, settings, "asha", PASSWORD, later)).user.login == "asha"
    assert ("login.lock", "asha") in await actions(engine)


async def test_after_a_lock_the_count_begins_anew(engine: AsyncEngine, settings: Settings) -> None:
    await make_user(engine, "asha")
    for _ in range(3):
        await _wrong(engine, settings, "asha", at(NOON))
    later = at(NOON + timedelta(minutes=20))
    await _wrong(engine, settings, "asha", later)
    await prove_password(engine, settings, "asha", PASSWORD, later)


async def test_a_right_one_between_does_not_count(engine: AsyncEngine, settings: Settings) -> None:
    await make_user(engine, "asha")
    for _ in range(2):
        await _wrong(engine, settings, "asha", at())
        await prove_password(engine, settings, "asha", PASSWORD, at())
    await prove_password(engine, settings, "asha", PASSWORD, at())
    await _wrong(engine, settings, "asha", at())
    await _wrong(
        engine, settings, "asha", at(), PASSWORD
    )  # a login that was not ended resets nothing


async def test_many_at_once_are_no_more_than_many_in_a_row(
    engine: AsyncEngine, settings: Settings
) -> None:
    await make_user(engine, "asha")
    tries = [prove_password(engine, settings, "asha", f"guess {n}", at()) for n in range(12)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(one, WrongError) for one in done)
    async with engine.connect() as connection:
        found = await store.credentials(connection, login="asha")
    assert found is not None and found.user.locked_until is not None
    locks = [row for row in await audited(engine) if row.action == "login.lock"]
    assert len(locks) == 1


async def test_an_operator_ends_a_lock(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    for _ in range(3):
        await _wrong(engine, settings, "asha", at())
    await users.set_enabled(engine, BOX, user.id, True)
    await prove_password(engine, settings, "asha", PASSWORD, at())


async def test_old_parameters_are_replaced(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    old = PasswordHasher(time_cost=1, memory_cost=512, parallelism=1).hash(PASSWORD)
    async with engine.begin() as connection:
        await store.change_user(connection, user.id, password_hash=old)
    await prove_password(engine, settings, "asha", PASSWORD, at())
    async with engine.connect() as connection:
        found = await store.credentials(connection, login="asha")
    fresh = await hash_password("x")
    assert found is not None and found.password_hash != old
    assert found.password_hash.split("$")[:4] == fresh.split("$")[:4]


async def test_a_busy_box_counts_no_try(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_user(engine, "asha")

    async def busy(kept: str, typed: str) -> None:
        raise BusyError("later")

    with monkeypatch.context() as patch:
        patch.setattr("appliance.access.passwords.check", busy)
        for _ in range(4):
            with pytest.raises(BusyError):
                await prove_password(engine, settings, "asha", PASSWORD, at())
    await prove_password(engine, settings, "asha", PASSWORD, at())


async def test_a_code_is_taken_once(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    secret, _ = await enrolled(engine, settings, user)
    now = datetime.now(UTC) + timedelta(minutes=5)
    code = pyotp.TOTP(secret).at(now)
    assert (await prove_code(engine, settings, user.id, code, at(now)))[1] == "code"
    for later_s in (0, 20):
        with pytest.raises(WrongError, match="used before"):
            again = at(now + timedelta(seconds=later_s))
            await prove_code(engine, settings, user.id, code, again)
    following = now + timedelta(seconds=30)
    await prove_code(engine, settings, user.id, pyotp.TOTP(secret).at(following), at(following))
    before = pyotp.TOTP(secret).at(now - timedelta(seconds=30))
    with pytest.raises(WrongError):
        await prove_code(engine, settings, user.id, before, at(now))


async def test_one_code_by_two_at_once_lets_one_in(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    secret, _ = await enrolled(engine, settings, user)
    now = datetime.now(UTC) + timedelta(minutes=5)
    tries = [
        prove_code(engine, settings, user.id, pyotp.TOTP(secret).at(now), at(now)) for _ in "ab"
    ]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(isinstance(one, WrongError) for one in done) == [False, True]


async def test_the_code_that_enrolled_logs_nobody_in(
    engine: AsyncEngine, settings: Settings
) -> None:
    user = await make_user(engine, "asha")
    secret, _ = await enrolled(engine, settings, user)
    used = pyotp.TOTP(secret).at(datetime.now(UTC) - timedelta(seconds=30))
    with pytest.raises(WrongError):
        await prove_code(engine, settings, user.id, used, at())


async def test_a_recovery_code_once(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    _, codes = await enrolled(engine, settings, user)
    _, factor = await prove_code(engine, settings, user.id, codes[0].upper(), at())
    assert factor == "recovery"
    with pytest.raises(WrongError):
        await prove_code(engine, settings, user.id, codes[0], at())
    await prove_code(engine, settings, user.id, codes[1], at())
    async with engine.connect() as connection:
        now = await store.find_user(connection, user.id, None)
    assert now is not None and now.recovery_left == len(codes) - 2


async def test_guessing_codes_locks_too(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    _, codes = await enrolled(engine, settings, user)
    for _ in range(3):
        await prove_password(engine, settings, "asha", PASSWORD, at())
        with pytest.raises(WrongError):
            await prove_code(engine, settings, user.id, "000000", at())
    with pytest.raises(WrongError):
        await prove_code(engine, settings, user.id, codes[0], at())
    await _wrong(engine, settings, "asha", at(), PASSWORD)


async def test_a_whole_login_forgets_wrong_tries(engine: AsyncEngine, settings: Settings) -> None:
    user = await make_user(engine, "asha")
    for _ in range(2):
        await _wrong(engine, settings, "asha", at())
    await prove_password(engine, settings, "asha", PASSWORD, at())
    await account.log_in(engine, settings, user, None, at(), "")
    for _ in range(2):
        await _wrong(engine, settings, "asha", at())
    await prove_password(engine, settings, "asha", PASSWORD, at())


async def test_somebody_without_a_second_factor_proves_none(
    engine: AsyncEngine, settings: Settings
) -> None:
    user = await make_user(engine, "asha")
    with pytest.raises(WrongError):
        await prove_code(engine, settings, user.id, "000000", at())
    with pytest.raises(WrongError):
        await prove_code(engine, settings, 999_999, "000000", at())
