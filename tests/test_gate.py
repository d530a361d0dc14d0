"""The gate before the console: who gets in, from where, how often, with how much."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from appliance.access import sessions
from appliance.access.actor import Actor
from appliance.access.roles import Permission, Role
from appliance.admin.console import Console
from appliance.admin.gate import COOKIE, LARGEST_BODY_BYTES, Gate
from appliance.admin.live.hub import LiveHub
from appliance.settings import Admin, Settings
from appliance.store import users
from appliance.store.database import open_engine
from tests.console_kit import cookie, key, person

HOST = "https://console.example"
STATIC = "/_nicegui/1.0/"


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the gate: it says who was let in, and how much they sent."""
    actor: Actor | None = scope["state"]["actor"]
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            answer: Any = {"cut": True}
            break
        if not message.get("more_body"):
            answer = {"who": actor.name if actor else None, "size": size}
            break
    await JSONResponse(answer)(scope, receive, send)


def gate(engine: AsyncEngine, folder: Path, http: aiohttp.ClientSession, **admin: Any) -> Gate:
    settings = Settings(data_dir=folder, admin=Admin(**admin))
    return Gate(inner, Console(settings, engine, LiveHub(settings, engine), http), STATIC)


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def browser(gate: Gate, token: str = "", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(gate)
    cookies = {COOKIE: token} if token else {}
    return httpx.AsyncClient(transport=transport, base_url=HOST, cookies=cookies, headers=headers)


@pytest.fixture
async def token(engine: AsyncEngine, tmp_path: Path) -> str:
    return await cookie(engine, await person(engine, login="asha"), Settings(data_dir=tmp_path))


async def test_who_is_not_known_is_sent_to_the_login_and_comes_back_there(
    engine: AsyncEngine, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with browser(gate(engine, tmp_path, http)) as ask:
        answer = await ask.get("/calls?agent=a&q=%2F%2Fevil.example")
        assert answer.status_code == 303
        place = answer.headers["location"]
        assert place == "/login?next=/calls%3Fagent%3Da%26q%3D%252F%252Fevil.example"
        assert (await ask.get("/login")).json()["who"] is None
        assert (await ask.get("/static/console.css")).json()["who"] is None
        assert (await ask.get(f"{STATIC}vue.js")).status_code == 200
        assert (await ask.get("/_nicegui/client/x/upload/1")).status_code == 303
        for path in ("/api/v1/calls", "/api/v1/openapi.json", "/api/v1", "/api/v1x"):
            answer = await ask.post(path, content=b"x" * 1000)
            assert (answer.status_code, "who" in answer.json()) == (401, False), path
        assert (await ask.get("/staticx")).status_code == 303


async def test_a_session_lets_in_until_it_is_ended(
    engine: AsyncEngine, tmp_path: Path, http: aiohttp.ClientSession, token: str
) -> None:
    async with browser(gate(engine, tmp_path, http), token + "x") as ask:
        assert (await ask.get("/calls")).status_code == 303
    async with browser(gate(engine, tmp_path, http), token) as ask:
        assert (await ask.get("/calls")).json()["who"] == "asha"
        async with engine.begin() as connection:
            (asha,) = await users.list_users(connection, None)
            await sessions.end_all_of(connection, asha.id)
        assert (await ask.get("/calls")).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": HOST}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://console.example.evil.example"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({}, 403),
    ],
)
async def test_a_foreign_page_changes_nothing(
    engine: AsyncEngine,
    tmp_path: Path,
    http: aiohttp.ClientSession,
    token: str,
    headers: dict[str, str],
    status: int,
) -> None:
    async with browser(gate(engine, tmp_path, http), token, **headers) as ask:
        assert (await ask.post("/api/v1/agents")).status_code == status
        assert (await ask.get("/api/v1/agents")).status_code == 200


async def test_a_key_is_for_the_api_alone_and_needs_no_origin(
    engine: AsyncEngine, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    secret = await key(engine, await person(engine, Role.ADMIN), [Permission.CALLS_READ])
    async with browser(gate(engine, tmp_path, http), authorization=f"Bearer {secret}") as ask:
        assert "of admin-" in (await ask.post("/api/v1/agents")).json()["who"]
        assert (await ask.get("/calls")).status_code == 403
    async with browser(gate(engine, tmp_path, http), authorization="Bearer ivr_a_b") as ask:
        assert (await ask.get("/api/v1/agents")).status_code == 401


async def test_too_much_and_too_often(
    engine: AsyncEngine, tmp_path: Path, http: aiohttp.ClientSession, token: str
) -> None:
    async def drops(size: int) -> AsyncIterator[bytes]:
        for _ in range(0, size, 65536):
            yield b"x" * 65536

    async with browser(gate(engine, tmp_path, http), token, origin=HOST) as ask:
        assert (await ask.post("/a", content=b"x" * LARGEST_BODY_BYTES)).status_code == 200
        assert (await ask.post("/a", content=b"x" * (LARGEST_BODY_BYTES + 1))).status_code == 413
        # whoever says nothing of the length is cut off where it ends
        unsaid = await ask.post("/a", content=drops(2 * LARGEST_BODY_BYTES))
        assert unsaid.json() == {"cut": True}
    async with browser(gate(engine, tmp_path, http, requests_a_minute=10), token) as ask:
        answers = [(await ask.get("/a")).status_code for _ in range(12)]
        assert answers[:10] == [200] * 10 and answers[-1] == 429


async def test_a_host_that_is_not_ours_is_refused_where_ours_is_set(
    engine: AsyncEngine, tmp_path: Path, http: aiohttp.ClientSession, token: str
) -> None:
    one = gate(engine, tmp_path, http, public_url="https://ivr.example")
    async with browser(one, token) as ask:
        assert (await ask.get("/calls")).status_code == 421
        assert (await ask.get("/calls", headers={"host": "ivr.example"})).status_code == 200


async def test_postgres_away_is_no_open_door(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    engine = open_engine("postgresql://u:p@127.0.0.1:1/x")
    async with browser(gate(engine, tmp_path, http), "a-token") as ask:
        assert (await ask.get("/calls")).status_code == 503
        assert (await ask.get("/api/v1/calls")).json()["error"]["message"]
        assert (await ask.get("/static/x")).status_code == 200
    await engine.dispose()


@pytest.mark.parametrize(
    ("origin", "known", "accepted"),
    [(HOST, True, True), ("https://evil.example", True, False), (HOST, False, False)],
)
async def test_a_websocket_needs_a_session_and_our_own_page(
    engine: AsyncEngine,
    tmp_path: Path,
    http: aiohttp.ClientSession,
    token: str,
    origin: str,
    known: bool,
    accepted: bool,
) -> None:
    headers = [(b"host", b"console.example"), (b"origin", origin.encode())]
    if known:
        headers.append((b"cookie", f"{COOKIE}={token}".encode()))
    seen: list[Any] = []

    async def socket(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["actor"].name)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        seen.append(message["type"])

    door = gate(engine, tmp_path, http)
    door._app = socket
    scope = {"type": "websocket", "path": "/x", "headers": headers, "client": ("127.0.0.1", 1)}
    await door(scope, receive, send)
    assert seen == (["asha"] if accepted else ["websocket.close"])
