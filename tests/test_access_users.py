"""Who may make, change and shut out whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import users
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.access.users import Profile, roles_to_give
from appliance.errors import UserError
from tests.access_kit import (
    BOX,
    PASSWORD,
    actions,
    add_tenant,
    audited,
    make_actor,
    make_user,
    quick_passwords,  # noqa: F401
)

pytestmark = pytest.mark.usefixtures("quick_passwords")
server = pytest.mark.server
MAIN_VIEWER = Profile("V", Role.VIEWER, "main")


def test_each_role_may_all_that_the_one_below_may() -> None:
    order = [Role.VIEWER, Role.REVIEWER, Role.ADMIN, Role.OPERATOR]
    for lower, upper in pairwise(order):
        assert PERMISSIONS[lower] < PERMISSIONS[upper]


@given(st.sampled_from(Role), st.frozensets(st.sampled_from(Permission)), st.booleans())
def test_nobody_gives_what_they_have_not(
    role: Role, kept: frozenset[Permission], tenantless: bool
) -> None:
    tenant = None if tenantless or role is Role.OPERATOR else "main"
    actor = Actor("x", role, tenant, PERMISSIONS[role] & kept)
    for given_role in roles_to_give(actor):
        assert PERMISSIONS[given_role] <= actor.permissions
        assert given_role is not Role.OPERATOR or role is Role.OPERATOR


@server
async def test_a_new_user_gets_a_password_for_one_time(engine: AsyncEngine) -> None:
    asha = await make_actor(engine, "asha")
    made = await users.create(engine, asha, " Ravi ", replace(MAIN_VIEWER, name="Ravi K"))
    assert (made.user.login, made.user.name, made.user.role) == ("ravi", "Ravi K", "viewer")
    assert made.user.must_change and len(made.one_time_password) >= 16
    assert made.one_time_password not in repr(made)
    assert all(made.one_time_password not in str(row) for row in await audited(engine))
    assert (await actions(engine))[-1] == ("user.create", "ravi")


@server
@pytest.mark.parametrize(
    "login", ["", "a", "A B", "-x", "x" * 65, "a\0b", "../x", "<b>", "अशा", "a\n"]
)
async def test_what_is_no_login(engine: AsyncEngine, login: str) -> None:
    with pytest.raises(UserError, match="A login has"):
        await users.create(engine, BOX, login, MAIN_VIEWER)


@server
async def test_what_else_is_refused(engine: AsyncEngine) -> None:
    await make_user(engine, "asha")
    for profile, why in (
        (replace(MAIN_VIEWER, tenant="nowhere"), "no tenant 'nowhere'"),
        (Profile("O", Role.OPERATOR, "main"), "belongs to no tenant"),
        (replace(MAIN_VIEWER, language="xx"), "speaks en and hi"),
        (replace(MAIN_VIEWER, name="x" * 101), "at most 100"),
        (replace(MAIN_VIEWER, name="a\nb"), "on one line"),
    ):
        with pytest.raises(UserError, match=why):
            await users.create(engine, BOX, "ravi", profile)
    with pytest.raises(UserError, match="already"):
        await users.create(engine, BOX, "ASHA", MAIN_VIEWER)
    with pytest.raises(UserError, match="at least 12"):
        await users.create(engine, BOX, "ravi", MAIN_VIEWER, "short")
    assert [row.login for row in await users.list_visible(engine, BOX)] == ["asha"]


@server
async def test_nobody_rises_above_who_made_them(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await add_tenant(connection, "north")
    asha = await make_actor(engine, "asha")
    staff = await make_actor(engine, "staff", Role.ADMIN, None)
    ravi = await make_user(engine, "ravi", Role.VIEWER)
    for profile in (
        Profile("x", Role.OPERATOR, None),
        Profile("x", Role.ADMIN, "north"),
        Profile("x", Role.ADMIN, None),
    ):
        with pytest.raises(ForbiddenError):
            await users.create(engine, asha, "new", profile)
        with pytest.raises(ForbiddenError):
            await users.change(engine, asha, ravi.id, profile)
    with pytest.raises(ForbiddenError):
        await users.create(engine, staff, "new", Profile("x", Role.OPERATOR, None))
    await users.create(engine, staff, "new", Profile("x", Role.ADMIN, "north"))
    narrow = replace(asha, via="key", permissions=frozenset({Permission.USERS_EDIT}))
    with pytest.raises(ForbiddenError):
        await users.create(engine, narrow, "wide", MAIN_VIEWER)


@server
@pytest.mark.parametrize("what", ["change", "disable", "password", "factor"])
async def test_nobody_touches_who_may_do_more(engine: AsyncEngine, what: str) -> None:
    staff = await make_actor(engine, "staff", Role.ADMIN, None)
    boss = await make_user(engine, "boss", Role.OPERATOR)
    with pytest.raises(ForbiddenError, match="may do more than you"):
        await _touch(engine, staff, boss.id, what)


@server
@pytest.mark.parametrize("what", ["change", "disable", "password", "factor", "find"])
async def test_another_tenants_people_are_not_there(engine: AsyncEngine, what: str) -> None:
    async with engine.begin() as connection:
        await add_tenant(connection, "north")
    asha = await make_actor(engine, "asha")
    for other in (
        await make_user(engine, "noor", Role.VIEWER, "north"),
        await make_user(engine, "boss", Role.OPERATOR),
    ):
        with pytest.raises(NotFoundError):
            await _touch(engine, asha, other.id, what)
    assert [one.login for one in await users.list_visible(engine, asha)] == ["asha"]
    assert len(await users.list_visible(engine, BOX)) == 3


async def _touch(engine: AsyncEngine, actor: Actor, user_id: int, what: str) -> None:
    match what:
        case "change":
            await users.change(engine, actor, user_id, MAIN_VIEWER)
        case "disable":
            await users.set_enabled(engine, actor, user_id, False)
        case "password":
            await users.reset_password(engine, actor, user_id)
        case "factor":
            await users.reset_second_factor(engine, actor, user_id)
        case _:
            await users.find(engine, actor, user_id)


@server
async def test_nobody_changes_their_own_place(engine: AsyncEngine) -> None:
    asha = await make_actor(engine, "asha")
    assert asha.user_id is not None
    with pytest.raises(UserError, match="their own"):
        await users.change(engine, asha, asha.user_id, MAIN_VIEWER)
    with pytest.raises(UserError, match="their own"):
        await users.set_enabled(engine, asha, asha.user_id, False)
    renamed = await users.change(engine, asha, asha.user_id, Profile("Asha M", Role.ADMIN, "main"))
    assert renamed.name == "Asha M"


@server
@pytest.mark.parametrize("by", ["the box", "another operator's key"])
async def test_the_last_operator_stays(engine: AsyncEngine, by: str) -> None:
    boss = await make_user(engine, "boss", Role.OPERATOR)
    second = await make_user(engine, "second", Role.OPERATOR)
    actor = BOX if by == "the box" else replace(BOX, name="key", via="key", user_id=second.id + 99)
    await users.set_enabled(engine, actor, second.id, False)
    with pytest.raises(UserError, match="last operator"):
        await users.set_enabled(engine, actor, boss.id, False)
    with pytest.raises(UserError, match="last operator"):
        await users.change(engine, actor, boss.id, MAIN_VIEWER)
    await users.set_enabled(engine, actor, second.id, True)
    await users.change(engine, actor, boss.id, MAIN_VIEWER)


@server
async def test_two_operators_do_not_shut_each_other_out_at_once(engine: AsyncEngine) -> None:
    one = await make_actor(engine, "one", Role.OPERATOR)
    two = await make_actor(engine, "two", Role.OPERATOR)
    assert one.user_id is not None and two.user_id is not None
    done = await asyncio.gather(
        users.set_enabled(engine, one, two.user_id, False),
        users.set_enabled(engine, two, one.user_id, False),
        return_exceptions=True,
    )
    assert sum(isinstance(result, UserError) for result in done) == 1, done
    enabled = [one for one in await users.list_visible(engine, BOX) if one.enabled]
    assert len(enabled) == 1


@server
async def test_a_reset_is_for_one_time_and_ends_a_lock(engine: AsyncEngine) -> None:
    asha, ravi = await make_actor(engine, "asha"), await make_user(engine, "ravi", Role.VIEWER)
    made = await users.reset_password(engine, asha, ravi.id)
    assert made.user.must_change and made.one_time_password
    given = await users.reset_password(engine, BOX, ravi.id, "another plain phrase")
    assert not given.user.must_change and not given.one_time_password
    with pytest.raises(UserError, match="at least 12"):
        await users.reset_password(engine, BOX, ravi.id, "short")
    assert PASSWORD not in str(await audited(engine))


@server
async def test_what_was_changed_stands_in_the_log(engine: AsyncEngine) -> None:
    asha, ravi = await make_actor(engine, "asha"), await make_user(engine, "ravi", Role.VIEWER)
    await users.change(engine, asha, ravi.id, Profile("Ravi", Role.REVIEWER, "main", "hi"))
    last = (await audited(engine))[-1]
    assert (last.actor, last.action, last.subject, last.tenant) == (
        *("asha", "user.change", "ravi", "main"),
    )
    assert last.detail["before"]["role"] == "viewer" and last.detail["after"]["role"] == "reviewer"
