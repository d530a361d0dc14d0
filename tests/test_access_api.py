"""Users, account, keys, tenants and the audit log over the API: who may what, and whose is what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyotp
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import Actor
from appliance.access.apikeys import actor_of_key
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.admin.console import Console
from appliance.admin.services import users as user_service
from appliance.ops.postgres.server import EmbeddedPostgres
from tests.access_kit import (
    PASSWORD,
    actions,
    add_tenant,
    logged_in,
    make_actor,
    make_user,
    quick_passwords,  # noqa: F401
    settings_in,
)
from tests.console_kit import console_on
from tests.review_console_kit import api_as

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("quick_passwords")]
Asking = Callable[[Actor], AbstractAsyncContextManager[httpx.AsyncClient]]
NEW = "another plain phrase"


@pytest.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    async with engine.begin() as connection:
        await add_tenant(connection, "north")
    async with console_on(engine, settings_in(tmp_path)) as found:
        yield found


@dataclass(frozen=True, slots=True)
class Route:
    """A route of ours, and the least role that may ask it."""

    method: str
    path: str
    least: Role | None
    body: dict[str, Any] | None = None


_PROFILE = {"name": "N", "role": "viewer", "tenant": "main"}
ROUTES = [
    Route("GET", "/users", Role.ADMIN),
    Route("POST", "/users", Role.ADMIN, {"login": "newbie", **_PROFILE}),
    Route("GET", "/users/{viewer}", Role.ADMIN),
    Route("PUT", "/users/{viewer}", Role.ADMIN, _PROFILE),
    Route("POST", "/users/{viewer}/disable", Role.ADMIN),
    Route("POST", "/users/{viewer}/enable", Role.ADMIN),
    Route("POST", "/users/{viewer}/reset-password", Role.ADMIN),
    Route("POST", "/users/{viewer}/reset-second-factor", Role.ADMIN),
    Route("GET", "/keys", Role.REVIEWER),
    Route("GET", "/keys?everybodys=true", Role.ADMIN),
    Route("POST", "/keys", Role.REVIEWER, {"name": "k", "scopes": ["calls:read"]}),
    Route("GET", "/tenants", Role.OPERATOR),
    Route("POST", "/tenants", Role.OPERATOR, {"id": "south", "name": "South"}),
    Route("PUT", "/tenants/north", Role.OPERATOR, {"name": "N"}),
    Route("POST", "/tenants/north/assign", Role.OPERATOR, {"agents": [], "bases": []}),
    Route("GET", "/audit-log", Role.ADMIN),
    Route("GET", "/account", None),
    Route("GET", "/account/sessions", None),
    Route("PUT", "/account/language", None, {"language": "hi"}),
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
@pytest.mark.parametrize("role", list(Role))
async def test_which_role_may_ask_what(
    engine: AsyncEngine, console: Console, route: Route, role: Role
) -> None:
    order = [Role.VIEWER, Role.REVIEWER, Role.ADMIN, Role.OPERATOR]
    viewer = await make_user(engine, "victim", Role.VIEWER)
    actor, _ = await logged_in(engine, console.settings, await make_user(engine, "asker", role))
    before = len(await actions(engine))
    async with api_as(console, actor) as api:
        path = route.path.format(viewer=viewer.id)
        answer = await api.request(route.method, path, json=route.body)
    if route.least is None or order.index(role) >= order.index(route.least):
        assert answer.status_code in (200, 201, 204), answer.text
        changed = route.method != "GET" and "agents" not in (route.body or {})
        assert len(await actions(engine)) == before + changed
    else:
        assert answer.status_code == 403 and "Ask an administrator" in answer.text
        assert len(await actions(engine)) == before


async def test_nobody_asks_without_a_name(console: Console) -> None:
    nobody: Any = None
    async with api_as(console, nobody) as api:
        for route in ROUTES:
            path = route.path.format(viewer=1)
            answer = await api.request(route.method, path, json=route.body)
            assert answer.status_code == 401, route


async def test_another_tenants_people_keys_and_log_are_not_there(
    engine: AsyncEngine, console: Console
) -> None:
    asha = await make_actor(engine, "asha")
    noor = await make_user(engine, "noor", Role.VIEWER, "north")
    boss = await make_user(engine, "boss", Role.OPERATOR)
    north = await make_actor(engine, "nia", Role.ADMIN, "north")
    async with api_as(console, north) as api:
        made = await api.post("/keys", json={"name": "crm", "scopes": ["calls:read"]})
        key_id = made.json()["key"]["id"]
    async with api_as(console, asha) as api:
        for other in (noor, boss):
            url = f"/users/{other.id}"
            tries = [
                await api.get(url),
                await api.put(url, json=_PROFILE),
                *[
                    await api.post(f"{url}/{verb}")
                    for verb in ("disable", "enable", "reset-password", "reset-second-factor")
                ],
            ]
            assert {one.status_code for one in tries} == {404}
            assert {one.text for one in tries} == {(await api.get("/users/999999")).text}
        assert [one["login"] for one in (await api.get("/users")).json()] == ["asha"]
        assert (await api.delete(f"/keys/{key_id}")).status_code == 404
        assert (await api.get("/keys?everybodys=true")).json() == []
        rows = (await api.get("/audit-log")).json()["rows"]
        assert {row["tenant"] for row in rows} == {"main"}
        assert (await api.get("/audit-log?who=nia")).json()["rows"] == []
        assert (await api.post("/audit-log/verify", json={})).status_code == 403


@pytest.mark.parametrize("user_id", ["0", "-1", "x", "9223372036854775808", "1;--", "%00"])
async def test_hostile_ids(engine: AsyncEngine, console: Console, user_id: str) -> None:
    async with api_as(console, await make_actor(engine, "asha")) as api:
        assert (await api.get(f"/users/{user_id}")).status_code in (404, 422)
        assert (await api.delete(f"/keys/{user_id}")).status_code in (404, 422)
        assert (await api.delete(f"/account/sessions/{user_id}")).status_code in (403, 404, 422)


async def test_nobody_is_raised_over_the_api(engine: AsyncEngine, console: Console) -> None:
    asha = await make_actor(engine, "asha")
    victim = await make_user(engine, "victim", Role.VIEWER)
    async with api_as(console, asha) as api:
        for wanted in (
            {"name": "", "role": "operator", "tenant": None},
            {"name": "", "role": "admin", "tenant": "north"},
            {"name": "", "role": "viewer", "tenant": None},
        ):
            assert (await api.put(f"/users/{victim.id}", json=wanted)).status_code == 403
            made = await api.post("/users", json={"login": "newbie", **wanted})
            assert made.status_code == 403
        own = await api.put(f"/users/{asha.user_id}", json={**_PROFILE, "role": "viewer"})
        assert own.status_code == 400
        extra = await api.put(f"/users/{victim.id}", json={**_PROFILE, "password_hash": "x"})
        assert extra.status_code == 422


async def test_a_key_of_scopes_makes_no_wider_key_and_no_user(
    engine: AsyncEngine, console: Console
) -> None:
    asha = await make_actor(engine, "asha")
    scopes = ["keys:edit", "users:edit", "users:read"]
    async with api_as(console, asha) as api:
        made = (await api.post("/keys", json={"name": "narrow", "scopes": scopes})).json()
    narrow = await actor_of_key(engine, made["secret"], "10.0.0.9")
    assert narrow is not None
    async with api_as(console, narrow) as api:
        wide = await api.post("/keys", json={"name": "wide", "scopes": ["calls:read"]})
        assert wide.status_code == 403
        user = await api.post("/users", json={"login": "wide", **_PROFILE})
        assert user.status_code == 403
        for path in ("/account", "/account/sessions"):
            assert (await api.get(path)).status_code == 403, "an account is a person's own"
        assert (await api.post("/account/second-factor", json={"password": "x"})).status_code == 403


async def test_what_is_shown_once_is_shown_nowhere_else(
    engine: AsyncEngine, console: Console
) -> None:
    boss = await make_actor(engine, "boss", Role.OPERATOR)
    async with api_as(console, boss) as api:
        user = (await api.post("/users", json={"login": "newbie", **_PROFILE})).json()
        key = (await api.post("/keys", json={"name": "crm", "scopes": ["calls:read"]})).json()
        everything = "".join(
            [
                (await api.get(path)).text
                for path in ("/users", "/keys", "/audit-log", f"/users/{user['user']['id']}")
            ]
        )
    assert user["one_time_password"] not in everything and key["secret"] not in everything
    assert "argon2" not in everything and "password_hash" not in everything
    assert key["key"]["prefix"] in everything


async def test_ones_own_account(engine: AsyncEngine, console: Console) -> None:
    asha = await make_user(engine, "asha")
    await logged_in(engine, console.settings, asha)
    actor, _ = await logged_in(engine, console.settings, asha)
    async with api_as(console, actor) as api:
        mine = (await api.get("/account")).json()
        assert mine["user"]["login"] == "asha" and "users:edit" in mine["permissions"]
        sessions = (await api.get("/account/sessions")).json()
        assert [one["is_this"] for one in sessions] == [True, False]
        other = sessions[1]["id"]
        assert (await api.delete(f"/account/sessions/{other}")).status_code == 204
        assert (await api.delete(f"/account/sessions/{other}")).status_code == 404
        assert (await api.delete("/account/sessions")).json() == {"ended": 0}
        wrong = await api.post("/account/password", json={"old": "x", "new": NEW})
        assert wrong.status_code == 400
        right = await api.post("/account/password", json={"old": PASSWORD, "new": NEW})
        assert right.status_code == 204
        begun = (await api.post("/account/second-factor", json={"password": NEW})).json()
        now = datetime.now(UTC)
        code = pyotp.TOTP(begun["secret"]).at(now - timedelta(seconds=30))
        body = {"ticket": begun["ticket"], "code": code}
        done = (await api.post("/account/second-factor/confirm", json=body)).json()
        assert len(done["recovery_codes"]) == 10
        again = {"code": done["recovery_codes"][0]}
        new = await api.post("/account/second-factor/recovery-codes", json=again)
        codes = new.json()["recovery_codes"]
        assert (await api.get("/account")).json()["recovery_codes_left"] == 10
        off = {"password": NEW, "code": codes[0]}
        assert (await api.post("/account/second-factor/remove", json=off)).status_code == 204
        assert not (await api.get("/account")).json()["user"]["has_second_factor"]


async def test_pages_of_the_log(engine: AsyncEngine, console: Console) -> None:
    boss = await make_actor(engine, "boss", Role.OPERATOR)
    async with api_as(console, boss) as api:
        for number in range(5):
            await api.post("/tenants", json={"id": f"t{number}", "name": "T"})
        found, before = [], None
        while True:
            query = f"&before={before}" if before else ""
            page = (await api.get(f"/audit-log?action=tenant&limit=2{query}")).json()
            found += [row["subject"] for row in page["rows"]]
            if (before := page["before"]) is None:
                break
        assert found == ["t4", "t3", "t2", "t1", "t0"]
        assert (await api.get("/audit-log?limit=201")).status_code == 422
        assert (await api.get("/audit-log?since=yesterday")).status_code == 422
        assert (await api.get("/audit-log?who=%00")).status_code in (200, 400, 422)


async def test_verify_over_the_api(
    engine: AsyncEngine, console: Console, postgres: EmbeddedPostgres
) -> None:
    boss = await make_actor(engine, "boss", Role.OPERATOR)
    async with api_as(console, boss) as api:
        await api.post("/tenants", json={"id": "south", "name": "S"})
        well = (await api.post("/audit-log/verify", json={})).json()
        assert well["ok"] and well["rows"] == 2
        assert (await api.post("/audit-log/verify", json={"expect": "zz"})).status_code == 400
        kept = {"expect": well["head"]}
        assert (await api.post("/audit-log/verify", json=kept)).json()["ok"]
        with psycopg.connect(postgres.superuser_url(engine.url.database or "")) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("UPDATE audit_log SET detail = '{}' WHERE id = 2")
        broken = (await api.post("/audit-log/verify", json={})).json()
        assert (broken["ok"], broken["first_bad"]) == (False, 2)


async def test_tenants_are_the_operators_even_for_who_is_given_the_permission(
    engine: AsyncEngine, console: Console
) -> None:
    asha = await make_actor(engine, "asha")
    odd = replace(asha, permissions=frozenset(Permission))
    async with api_as(console, odd) as api:
        assert (await api.get("/tenants")).status_code == 403


async def test_one_login_is_made_once_however_many_ask(
    engine: AsyncEngine, console: Console
) -> None:
    asha = await make_actor(engine, "asha")
    profile = user_service.users.Profile("N", Role.VIEWER, "main")
    done = await asyncio.gather(
        *(user_service.create_user(console, asha, "newbie", profile) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, Exception) for one in done) == 1
    assert PERMISSIONS[Role.VIEWER] <= asha.permissions
