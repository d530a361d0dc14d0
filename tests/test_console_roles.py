"""Every route and every page, asked by every role: whoever lacks its permission gets 403, nobody else
does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.admin.api.app import PREFIX, make_api, routers
from appliance.admin.api.schema import permission_of
from appliance.admin.console import Console
from appliance.settings import Settings
from tests.console_kit import console_on

API = make_api()
ROUTES = [r for router in routers() for r in router.routes if isinstance(r, APIRoute)]
ANY_ID = re.compile(r"\{[^}]+\}")


class Entered:
    """The API as if the gate had let ``actor`` in."""

    def __init__(self, app: ASGIApp, console: Console, actor: Actor | None) -> None:
        self._app, self._console, self._actor = app, console, actor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"console": self._console, "actor": self._actor}
        await self._app(scope, receive, send)


@pytest_asyncio.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    settings = Settings(data_dir=tmp_path)
    async with console_on(engine, settings) as made:
        yield made


def requests() -> list[tuple[str, str, object]]:
    """Method, path with some id in it, and permission of every route."""
    return [
        (method, PREFIX + ANY_ID.sub("1", route.path), permission_of(route))
        for route in ROUTES
        for method in sorted(route.methods)
    ]


def test_every_route_says_who_may_call_it() -> None:
    assert len(ROUTES) > 40
    for route in ROUTES:
        permission_of(route)  # raises LookupError


async def statuses(console: Console, actor: Actor | None) -> dict[tuple[str, str], int]:
    """What each route answers ``actor`` who sends nothing with it."""
    found = {}
    transport = httpx.ASGITransport(Entered(API, console, actor), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
        for method, path, _ in requests():
            async with http.stream(method, path) as answer:  # some never end
                found[method, path] = answer.status_code
    return found


async def test_nobody_gets_anything(console: Console) -> None:
    answers = await statuses(console, None)
    assert {path for path, status in answers.items() if status != 401} == set()


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_gets_what_its_permissions_allow(console: Console, role: Role) -> None:
    tenant = None if role is Role.OPERATOR else "main"
    actor = Actor(f"a {role}", role, tenant, PERMISSIONS[role], user_id=1, session_id="s")
    answers = await statuses(console, actor)
    for method, path, permission in requests():
        allowed = permission is None or permission in PERMISSIONS[role]
        status = answers[method, path]
        assert (status == 403) is not allowed, (method, path, permission, status)
        assert status < 500 or status == 503, (method, path, status)


async def test_a_key_may_do_what_its_scopes_say(console: Console) -> None:
    scopes = frozenset({Permission.CALLS_READ})
    actor = Actor("key k of x", Role.OPERATOR, None, scopes, "key", user_id=1)
    answers = await statuses(console, actor)
    for method, path, permission in requests():
        if permission is not None and permission is not Permission.CALLS_READ:
            assert answers[method, path] == 403, (method, path)
