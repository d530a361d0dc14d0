"""API keys: what their scopes and their owner's role both allow, while both last."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import apikeys, users
from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.access.apikeys import actor_of_key, create, revoke
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.access.users import Profile
from appliance.errors import UserError
from appliance.store.access_models import ApiKeyRow
from tests.access_kit import (
    BOX,
    actions,
    add_tenant,
    audited,
    make_actor,
    quick_passwords,  # noqa: F401
)

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("quick_passwords")]
READ = frozenset({Permission.CALLS_READ, Permission.FLAGS_READ})


async def test_a_key_is_whose_it_is_within_its_scopes(engine: AsyncEngine) -> None:
    asha = await make_actor(engine, "asha")
    made = await create(engine, asha, "crm", READ)
    assert made.secret.startswith(f"ivr_{made.key.prefix}_") and made.secret not in repr(made)
    actor = await actor_of_key(engine, made.secret, "10.0.0.9")
    assert actor is not None
    assert (actor.name, actor.via, actor.tenant) == ("key crm of asha", "key", "main")
    assert actor.permissions == READ and actor.user_id == asha.user_id
    assert actor.address == "10.0.0.9"


async def test_the_database_knows_no_key(engine: AsyncEngine) -> None:
    made = await create(engine, await make_actor(engine, "asha"), "crm", READ)
    async with engine.connect() as connection:
        row = (await connection.execute(select(*ApiKeyRow.__table__.columns))).mappings().one()
    secret = made.secret.split("_", 2)[2]
    assert secret not in str(dict(row))
    assert all(secret not in str(entry) for entry in await audited(engine))


async def test_what_is_no_key_is_nobody(engine: AsyncEngine) -> None:
    made = await create(engine, await make_actor(engine, "asha"), "crm", READ)
    good = made.secret
    wrong = [
        *("", "ivr", "ivr__", f"ivr_{made.key.prefix}_", good[:-1], good + "x", good.upper()),
        *(good.replace("ivr_", "key_"), good.replace("_", "-"), "ivr_\0_x", "ivr_é_x"),
        *("ivr_" + "a" * 10_000 + "_b", f"ivr_{made.key.prefix}_{'x' * 43}"),
    ]
    for key in wrong:
        assert await actor_of_key(engine, key, "") is None, key
    assert await actor_of_key(engine, good, "") is not None


async def test_a_key_lasts_until_its_day_or_its_end(engine: AsyncEngine) -> None:
    asha, now = await make_actor(engine, "asha"), datetime.now(UTC)
    made = await create(engine, asha, "crm", READ, now + timedelta(days=1))
    assert await actor_of_key(engine, made.secret, "", now + timedelta(hours=23)) is not None
    assert await actor_of_key(engine, made.secret, "", now + timedelta(days=1, seconds=1)) is None
    await revoke(engine, asha, made.key.id)
    assert await actor_of_key(engine, made.secret, "") is None
    await revoke(engine, asha, made.key.id)
    assert [one for one in await actions(engine) if one[0].startswith("key.")] == [
        ("key.create", made.key.prefix),
        ("key.revoke", made.key.prefix),
    ]


async def test_a_key_does_no_more_than_its_owner_may_now(engine: AsyncEngine) -> None:
    asha = await make_actor(engine, "asha")
    scopes = READ | {Permission.AGENTS_PUBLISH}
    made = await create(engine, asha, "ci", scopes)
    assert asha.user_id is not None
    await users.change(engine, BOX, asha.user_id, Profile("Asha", Role.VIEWER, "main"))
    actor = await actor_of_key(engine, made.secret, "")
    assert actor is not None and actor.permissions == READ
    await users.set_enabled(engine, BOX, asha.user_id, False)
    assert await actor_of_key(engine, made.secret, "") is None


async def test_nobody_gives_a_key_more_than_they_have(engine: AsyncEngine) -> None:
    viewer = await make_actor(engine, "vani", Role.REVIEWER)
    with pytest.raises(ForbiddenError, match="agents:publish"):
        await create(engine, viewer, "ci", READ | {Permission.AGENTS_PUBLISH})
    narrow = replace(viewer, via="key", permissions=frozenset({Permission.KEYS_EDIT}))
    with pytest.raises(ForbiddenError, match="calls:read"):
        await create(engine, narrow, "wider", READ)


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\nb", "\x1b[2J"])
async def test_a_key_has_a_name(engine: AsyncEngine, name: str) -> None:
    with pytest.raises(UserError, match="a name"):
        await create(engine, await make_actor(engine, "asha"), name, READ)


async def test_other_things_that_are_refused(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asha = await make_actor(engine, "asha")
    with pytest.raises(UserError, match="at least one"):
        await create(engine, asha, "crm", frozenset())
    with pytest.raises(UserError, match="over already"):
        await create(engine, asha, "crm", READ, datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(UserError, match="belongs to a person"):
        await create(engine, BOX, "crm", READ)
    monkeypatch.setattr(apikeys, "MOST_OF_ONE", 1)
    made = await create(engine, asha, "one", READ)
    with pytest.raises(UserError, match="revoke one"):
        await create(engine, asha, "two", READ)
    await revoke(engine, asha, made.key.id)
    await create(engine, asha, "two", READ)


async def test_whose_keys_can_be_ended_by_whom(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await add_tenant(connection, "north")
    asha = await make_actor(engine, "asha")
    ravi = await make_actor(engine, "ravi", Role.REVIEWER)
    noor = await make_actor(engine, "noor", Role.ADMIN, "north")
    op = await make_actor(engine, "op", Role.OPERATOR)
    made = await create(engine, ravi, "crm", READ)
    north = await create(engine, noor, "crm", READ)
    for stranger in (noor, await make_actor(engine, "rita", Role.REVIEWER)):
        with pytest.raises(NotFoundError):
            await revoke(engine, stranger, made.key.id)
    with pytest.raises(NotFoundError):
        await revoke(engine, ravi, 999_999)
    reader = replace(asha, permissions=PERMISSIONS[Role.ADMIN] - {Permission.USERS_EDIT})
    with pytest.raises(ForbiddenError):
        await revoke(engine, reader, made.key.id)
    await revoke(engine, asha, made.key.id)
    await revoke(engine, op, north.key.id)
    assert await actor_of_key(engine, north.secret, "") is None


async def test_when_it_was_used_is_written_once_a_minute(engine: AsyncEngine) -> None:
    made = await create(engine, await make_actor(engine, "asha"), "crm", READ)
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)

    async def used() -> datetime | None:
        async with engine.connect() as connection:
            found: datetime | None = await connection.scalar(select(ApiKeyRow.last_used_at))
            return found

    await actor_of_key(engine, made.secret, "", noon)
    assert await used() == noon
    await actor_of_key(engine, made.secret, "", noon + timedelta(seconds=30))
    assert await used() == noon
    await actor_of_key(engine, made.secret, "", noon + timedelta(seconds=60))
    assert await used() == noon + timedelta(seconds=60)
