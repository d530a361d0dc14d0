"""Sessions: they end when ended, when idle, when the day is over, with their person."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import account, users
from appliance.access.actor import NotFoundError
from appliance.access.roles import PERMISSIONS, Role
from appliance.access.sessions import (
    SEEN_EVERY,
    Opened,
    actor_of,
    end_all_of,
    end_session,
    living,
    of_user,
    open_session,
    touch,
)
from appliance.settings import Admin
from appliance.store.access_models import SessionRow
from appliance.store.users import User
from tests.access_kit import (
    BOX,
    enrolled,
    logged_in,
    make_user,
    quick_passwords,  # noqa: F401
    settings_in,
)

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("quick_passwords")]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ADMIN = Admin(session_hours=12, idle_minutes=60)


async def _opened(engine: AsyncEngine, user: User, now: datetime = NOON) -> Opened:
    async with engine.begin() as connection:
        return await open_session(connection, user.id, "10.0.0.7", "Firefox", ADMIN, now)


async def _is_let_in(engine: AsyncEngine, opened: Opened, now: datetime) -> bool:
    return await actor_of(engine, opened.token, "10.0.0.7", ADMIN, now) is not None


async def test_whoever_has_the_cookie(engine: AsyncEngine) -> None:
    user = await make_user(engine, "asha", Role.REVIEWER)
    opened = await _opened(engine, user)
    actor = await actor_of(engine, opened.token, "10.0.0.8", ADMIN, NOON)
    assert actor is not None
    assert (actor.name, actor.role, actor.tenant) == ("asha", Role.REVIEWER, "main")
    assert actor.permissions == PERMISSIONS[Role.REVIEWER]
    assert (actor.via, actor.user_id, actor.address) == ("session", user.id, "10.0.0.8")
    assert actor.session_id == opened.id


async def test_the_database_knows_no_token(engine: AsyncEngine) -> None:
    opened = await _opened(engine, await make_user(engine, "asha"))
    assert len(opened.token) >= 43 and opened.token not in repr(opened)
    async with engine.connect() as connection:
        row = (await connection.execute(select(*SessionRow.__table__.columns))).mappings().one()
    assert opened.token not in str(dict(row))
    assert row["id"] == hashlib.sha256(opened.token.encode()).hexdigest()
    assert await actor_of(engine, opened.id, "", ADMIN, NOON) is None, "its hash opens nothing"


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 10_000, "' OR 1=1 --", "\0"])
async def test_a_wrong_cookie_is_nobody(engine: AsyncEngine, token: str) -> None:
    await _opened(engine, await make_user(engine, "asha"))
    assert await actor_of(engine, token, "", ADMIN, NOON) is None


async def test_idle_too_long(engine: AsyncEngine) -> None:
    opened = await _opened(engine, await make_user(engine, "asha"))
    assert await _is_let_in(engine, opened, NOON + timedelta(minutes=59))
    assert await _is_let_in(engine, opened, NOON + timedelta(minutes=118)), "heard of meanwhile"
    assert not await _is_let_in(engine, opened, NOON + timedelta(minutes=179))


async def test_the_day_is_over_however_busy_it_was(engine: AsyncEngine) -> None:
    opened = await _opened(engine, await make_user(engine, "asha"))
    for half_hours in range(1, 24):
        assert await _is_let_in(engine, opened, NOON + timedelta(minutes=30 * half_hours))
    assert not await _is_let_in(engine, opened, NOON + timedelta(hours=12, seconds=1))


async def test_who_was_seen_is_written_once_a_minute(engine: AsyncEngine) -> None:
    opened = await _opened(engine, await make_user(engine, "asha"))

    async def version() -> str:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT xmin FROM sessions")))

    first = await version()
    await _is_let_in(engine, opened, NOON + SEEN_EVERY / 2)
    assert await version() == first
    await _is_let_in(engine, opened, NOON + SEEN_EVERY)
    second = await version()
    assert second != first
    await _is_let_in(engine, opened, NOON + SEEN_EVERY * 1.5)
    assert await version() == second


async def test_what_ends_a_session(engine: AsyncEngine, tmp_path: Path) -> None:
    user, other = await make_user(engine, "asha"), await make_user(engine, "ravi")
    settings = settings_in(tmp_path)
    actor, token = await logged_in(engine, settings, user)
    _, second = await logged_in(engine, settings, user)
    _, third = await logged_in(engine, settings, other)
    assert len(await of_user(engine, user.id, settings.admin)) == 2
    async with engine.begin() as connection:
        with pytest.raises(NotFoundError):
            await end_session(connection, actor.session_id, other.id)  # another's
        await end_session(connection, actor.session_id, user.id)
    assert await actor_of(engine, token, "", settings.admin) is None
    assert await actor_of(engine, second, "", settings.admin) is not None
    async with engine.begin() as connection:
        assert await end_all_of(connection, user.id) == 1
    assert await actor_of(engine, second, "", settings.admin) is None
    assert await actor_of(engine, third, "", settings.admin) is not None
    await users.set_enabled(engine, BOX, other.id, False)
    assert await actor_of(engine, third, "", settings.admin) is None


async def test_others_of_ones_own_end(engine: AsyncEngine, tmp_path: Path) -> None:
    user, settings = await make_user(engine, "asha"), settings_in(tmp_path)
    _, stolen = await logged_in(engine, settings, user)
    actor, token = await logged_in(engine, settings, user)
    assert await account.end_other_sessions(engine, actor) == 1
    assert await actor_of(engine, stolen, "", settings.admin) is None
    assert await actor_of(engine, token, "", settings.admin) is not None


async def test_where_a_second_factor_is_required_nobody_works_without(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    user, settings = await make_user(engine, "asha"), settings_in(tmp_path)
    _, token = await logged_in(engine, settings, user)
    required = settings_in(tmp_path, second_factor="required").admin
    assert await actor_of(engine, token, "", required) is None
    await enrolled(engine, settings, user)
    _, token = await logged_in(engine, settings, user)
    assert await actor_of(engine, token, "", required) is not None


async def test_which_of_many_live(engine: AsyncEngine) -> None:
    asha, ravi = await make_user(engine, "asha"), await make_user(engine, "ravi")
    old = await _opened(engine, asha, NOON - timedelta(hours=13))
    idle = await _opened(engine, asha, NOON - timedelta(hours=2))
    fresh = await _opened(engine, asha, NOON)
    shut_out = await _opened(engine, ravi, NOON)
    await users.set_enabled(engine, BOX, ravi.id, False)
    ids = {old.id, idle.id, fresh.id, shut_out.id, "nobody's"}
    assert await living(engine, ids, now=NOON) == {idle.id, fresh.id}
    assert await living(engine, ids, ADMIN, NOON) == {fresh.id}
    await touch(engine, idle.id, NOON)
    assert await living(engine, ids, ADMIN, NOON) == {idle.id, fresh.id}
    assert await living(engine, set()) == set()


async def test_a_browsers_name_is_cut(engine: AsyncEngine) -> None:
    user = await make_user(engine, "asha")
    async with engine.begin() as connection:
        await open_session(connection, user.id, "", "x\0" + "y" * 5000, ADMIN)
    (found,) = await of_user(engine, user.id, ADMIN)
    assert len(found.browser) < 210 and "\0" not in found.browser


async def test_old_rows_go_at_the_next_login(engine: AsyncEngine) -> None:
    user, other = await make_user(engine, "asha"), await make_user(engine, "ravi")
    old = await _opened(engine, user, NOON - timedelta(days=40))
    kept = await _opened(engine, user, NOON - timedelta(days=20))
    others = await _opened(engine, other, NOON - timedelta(days=40))
    new = await _opened(engine, user)
    async with engine.connect() as connection:
        there = set(await connection.scalars(select(SessionRow.id)))
    assert there == {kept.id, others.id, new.id} and old.id not in there
