"""Agents over HTTP: the life of a draft by ETag, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from appliance.access.actor import Actor
from appliance.admin.console import Console
from tests.review_console_kit import the_api
from tests.test_agent_services import ASHA, BELA, CHAND, OPERATOR, VIEWER, console

pytestmark = pytest.mark.server
__all__ = ["console"]  # the fixture


class Caller:
    """The API as one actor meets it."""

    def __init__(self, console: Console) -> None:
        self.actor: Actor = ASHA
        self._app, self._console = the_api(), console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"console": self._console, "actor": self.actor}
        await self._app(scope, receive, send)


@pytest.fixture
async def api(console: Console) -> AsyncIterator[tuple[httpx.AsyncClient, Caller]]:
    caller = Caller(console)
    transport = httpx.ASGITransport(caller)
    async with httpx.AsyncClient(transport=transport, base_url="http://t/api/v1") as client:
        yield client, caller


async def test_the_life_of_a_draft(api: tuple[httpx.AsyncClient, Caller]) -> None:
    client, caller = api
    made = await client.post("/agents", json={"id": "help", "name": "Help"})
    assert made.status_code == 201 and made.json()["draft_revision"] == 1
    read = await client.get("/agents/help/draft")
    assert read.headers["etag"] == '"1"' and read.json()["version"] == 0
    fields = read.json()["fields"] | {"greeting": "Hello."}
    saved = await client.put(
        "/agents/help/draft", json={"fields": fields}, headers={"If-Match": read.headers["etag"]}
    )
    assert saved.status_code == 200 and saved.headers["etag"] == '"2"'
    caller.actor = BELA
    late = await client.put(
        "/agents/help/draft", json={"fields": fields}, headers={"If-Match": '"1"'}
    )
    assert late.status_code == 412
    assert late.json()["error"]["message"].startswith("asha changed this draft at")
    blind = await client.put("/agents/help/draft", json={"fields": fields})
    assert blind.status_code == 428 and "If-Match" in blind.json()["error"]["message"]
    checked = (await client.post("/agents/help/draft/check")).json()["problems"]
    assert {p["severity"] for p in checked} == {"warning"}
    out = await client.post("/agents/help/publish", json={"revision": 2, "note": "First."})
    assert out.json()["version"] == 1 and "greeting" in out.json()["fields"]
    again = await client.put(
        "/agents/help/draft",
        json={"fields": fields | {"greeting": "Hi."}},
        headers={"If-Match": '"0"'},
    )
    revision = again.headers["etag"]
    (change,) = (await client.get("/agents/help/diff", params={"from": "1"})).json()
    assert (change["field"], change["after"]) == ("greeting", "Hi.")
    await client.post(
        "/agents/help/publish", json={"revision": int(revision.strip('"')), "note": ""}
    )
    back = await client.post("/agents/help/rollback", json={"version": 1})
    assert back.json() == {"agent_id": "help", "version": 3, "fields": ["greeting"]}
    versions = (await client.get("/agents/help/versions")).json()
    assert [v["version"] for v in versions] == [3, 2, 1] and versions[2]["note"] == "First."
    old = (await client.get("/agents/help/versions/2")).json()
    assert old["fields"]["greeting"] == "Hi."
    (listed,) = (await client.get("/agents")).json()
    assert (listed["version"], listed["draft_revision"]) == (3, 0)
    gone = await client.delete("/agents/help/draft", headers={"If-Match": '"0"'})
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/agents", {"id": "a b", "name": "x"}, 400),
        ("POST", "/agents", {"id": "ok", "name": "x", "colour": "red"}, 422),
        ("POST", "/agents", {"id": "ok", "name": 7}, 422),
        ("POST", "/agents", {"id": "ok", "name": "x", "tenant": "other"}, 404),
        ("GET", "/agents/nobody", None, 404),
        ("GET", "/agents/..%2Fhelp", None, 404),
        ("GET", "/agents?limit=0", None, 422),
        ("GET", "/agents?limit=201", None, 422),
        ("GET", "/agents/help/versions/0", None, 422),
        ("GET", "/agents/help/versions/99999999999", None, 422),
        ("GET", "/agents/help/diff?from=x", None, 422),
        ("GET", "/agents/help/diff?from=8", None, 404),
        ("GET", "/agents/help/sample?text=", None, 422),
        ("GET", "/agents/help/sample?text=Hello", None, 400),
        ("PUT", "/agents/help/draft", {"fields": {"colour": "red"}}, 400),
        ("PUT", "/agents/help/draft", {"fields": {"prompt": "x" * 300_000}}, 400),
        ("PUT", "/agents/help/draft", {"fields": {"prompt": "a\0b"}}, 400),
        ("POST", "/agents/help/publish", {"revision": 7}, 412),
        ("POST", "/agents/help/publish", {"revision": -1}, 422),
        ("POST", "/agents/help/publish", {"revision": 1, "note": "x" * 501}, 422),
        ("POST", "/agents/help/rollback", {"version": 4}, 404),
        ("PUT", "/agents/help/tenant", {"tenant": "other"}, 403),
    ],
)
async def test_what_is_refused(
    api: tuple[httpx.AsyncClient, Caller], method: str, path: str, body: Any, status: int
) -> None:
    client, _ = api
    await client.post("/agents", json={"id": "help", "name": "Help"})
    answer = await client.request(method, path, json=body, headers={"If-Match": '"1"'})
    assert answer.status_code == status, answer.text
    assert len(answer.json()["error"]["message"]) < 400


async def test_whose_agent_it_is(api: tuple[httpx.AsyncClient, Caller]) -> None:
    client, caller = api
    await client.post("/agents", json={"id": "help", "name": "Help"})
    caller.actor = CHAND
    assert (await client.get("/agents")).json() == []
    for path in ("", "/draft", "/versions", "/versions/1", "/choices", "/diff?from=0"):
        assert (await client.get(f"/agents/help{path}")).status_code == 404
    caller.actor = VIEWER
    assert (await client.get("/agents/help/draft")).status_code == 200
    assert (await client.delete("/agents/help/draft")).status_code == 403
    caller.actor = OPERATOR
    moved = await client.put("/agents/help/tenant", json={"tenant": "other"})
    assert moved.json()["tenant"] == "other"
