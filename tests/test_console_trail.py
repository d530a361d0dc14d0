"""What the console leaves behind, in a real ``ivr admin``: a line of the audit log for each change, and
no secret anywhere: in no answer, no log, no line."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.admin.api.app import PREFIX
from appliance.admin.gate import COOKIE
from tests.console_kit import PASSWORD
from tests.hostile_site import Site, hostile_site
from tests.test_console_roles import ANY_ID, ROUTES

pytestmark = pytest.mark.server

TRUNK_PASSWORD = "tr-Vulpine-4471-marmalade"
NEW_PASSWORD = "nw-Quixotic-8812-tamarind"
CSV = ("people.csv", b"number,name\n+919811112222,Asha\n", "text/csv")

LEAVE_NOTHING = {
    "POST /answers/ask": "asks and keeps nothing",
    "POST /audit-log/verify": "reads",
    "POST /campaigns/preview": "reads what is sent",
    "POST /knowledge/{base_id}/search": "reads",
    "POST /rules/try": "reads",
    "POST /agents/{agent_id}/draft/check": "reads",
    "POST /flags/{flag_id}/retest": "asks and keeps nothing",
    "POST /system/checks": "looks",
    "POST /trunks/{name}/diagnosis": "looks",
    "POST /try/{call_id}/typed": "within a call whose beginning is written down",
    "POST /try/{call_id}/key": "within a call whose beginning is written down",
    "POST /try/{call_id}/hangup": "within a call whose beginning is written down",
    "POST /account/second-factor": "shows a seed that nothing knows of before it is confirmed",
}
ELSEWHERE = {
    "POST /live/calls/{call_id}/say": "tests/test_live_services.py",
    "POST /live/calls/{call_id}/transfer": "tests/test_live_services.py",
    "POST /live/calls/{call_id}/hangup": "tests/test_live_services.py",
    "POST /live/calls/{call_id}/supervise": "tests/test_live_services.py",
    "POST /agents/{agent_id}/try": "tests/test_tryit.py",
    "POST /flags/{flag_id}/correction": "tests/test_console_flags.py",
    "POST /golden/runs": "tests/test_console_golden.py",
    "POST /answers/withdraw": "tests/test_console_flags.py",
    "POST /flags/{flag_id}/rule": "tests/test_console_flags.py",
    "POST /knowledge/{base_id}/documents/{document_id}/retry": "tests/test_console_knowledge.py",
    "DELETE /calls/{call_id}/caller": "tests/test_console_calls.py",
    "DELETE /account/sessions/{session_id}": "tests/test_access_account.py",
}
"""They need a worker, a queue or a knowledge base that answers."""


class Trail:
    """Changes made by one key, each with the lines that it left in the audit log."""

    def __init__(self, site: Site, http: httpx.AsyncClient, engine: AsyncEngine) -> None:
        self.site, self._http, self._engine = site, http, engine
        self.without: list[str] = []
        self.done: set[str] = set()
        self.secrets: list[str] = []
        """What an answer told once."""

    async def do(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """Ask, as ``path`` says with ids in braces; the answer's JSON."""
        route = f"{method} {path}"
        ids = more.pop("ids", {})
        before = await self.lines()
        answer = await self._http.request(
            method, PREFIX + path.format(**{**self.site.main.ids, **ids}), json=body, **more
        )
        assert answer.is_success, (route, answer.status_code, answer.text)
        self.done.add(route)
        if await self.lines() == before:
            self.without.append(route)
        return answer.json() if answer.content else None

    async def tag(self, path: str) -> dict[str, str]:
        """The header that says which state is changed."""
        return {"If-Match": (await self._http.get(PREFIX + path)).headers["etag"]}

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(PREFIX + path.format(**self.site.main.ids))

    async def lines(self) -> int:
        async with self._engine.connect() as connection:
            return int(await connection.scalar(text("SELECT count(*) FROM audit_log")) or 0)


@pytest.fixture(scope="module")
def site(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    ours = '["127.0.0.0/8"]'
    networks = {"IVR_ADMIN__WEBHOOK_NETWORKS": ours, "IVR_KNOWLEDGE__NETWORKS": ours}
    folder = tmp_path_factory.mktemp("trail")
    with hostile_site(postgres, folder, "trail", **networks) as made:
        yield made


HEARD = (
    "/calls.csv", "/calls/{call_id}/recording", "/calls/{call_id}/recording/download",
    "/flags/flag-call-acme-0/excerpt", "/campaigns/{campaign_id}/contacts.csv",
)  # fmt: skip


async def _agents(trail: Trail) -> None:
    mine = {"agent_id": "fresh"}
    await trail.do("POST", "/agents", {"id": "fresh", "name": "Fresh"})
    fields = {"name": "Fresh", "greeting": "Hello.", "prompt": "Be brief."}
    for greeting in ("Hello.", "Good day."):
        fields["greeting"] = greeting
        tag = await trail.tag("/agents/fresh/draft")
        draft = await trail.do(
            "PUT", "/agents/{agent_id}/draft", {"fields": fields}, ids=mine, headers=tag
        )
        body = {"revision": draft["revision"], "note": greeting}
        await trail.do("POST", "/agents/{agent_id}/publish", body, ids=mine)
    await trail.do("POST", "/agents/{agent_id}/rollback", {"version": 1}, ids=mine)
    none = {"If-Match": '"0"'}
    await trail.do("PUT", "/agents/{agent_id}/draft", {"fields": fields}, ids=mine, headers=none)
    tag = await trail.tag("/agents/fresh/draft")
    await trail.do("DELETE", "/agents/{agent_id}/draft", ids=mine, headers=tag)
    await trail.do("PUT", "/agents/{agent_id}/tenant", {"tenant": "acme"}, ids=mine)
    await trail.do("PUT", "/agents/{agent_id}/tenant", {"tenant": "main"}, ids=mine)


async def _people(trail: Trail) -> None:
    made = await trail.do("POST", "/users", {"login": "nila", "role": "viewer", "tenant": "main"})
    mine = {"user_id": made["user"]["id"] if "user" in made else made["id"]}
    body = {"name": "Nila", "role": "reviewer", "tenant": "main"}
    await trail.do("PUT", "/users/{user_id}", body, ids=mine)
    for what in ("disable", "enable", "reset-password", "reset-second-factor"):
        told = await trail.do("POST", "/users/{user_id}/" + what, ids=mine)
        trail.secrets += _told_once(told)
    trail.secrets += _told_once(made)
    await trail.do("POST", "/tenants", {"id": "north", "name": "North"})
    await trail.do("PUT", "/tenants/{tenant}", {"name": "The North"}, ids={"tenant": "north"})
    body = {"agents": ["fresh"]}
    await trail.do("POST", "/tenants/{tenant}/assign", body, ids={"tenant": "north"})
    await trail.do("POST", "/tenants/{tenant}/assign", body, ids={"tenant": "main"})
    made = await trail.do("POST", "/keys", {"name": "k", "scopes": ["calls:read"]})
    trail.secrets += _told_once(made)
    found = (made.get("key") or made) if isinstance(made.get("key"), dict) else made
    await trail.do("DELETE", "/keys/{key_id}", ids={"key_id": found["id"]})


async def _telephony(trail: Trail) -> None:
    body = {"name": "north", "proxy": "192.0.2.9", "username": "u", "password": TRUNK_PASSWORD}
    await trail.do("POST", "/trunks", body)
    mine = {"name": "north"}
    await trail.do("PUT", "/trunks/{name}", {"priority": 3}, ids=mine)
    for what in ("disable", "enable"):
        await trail.do("POST", "/trunks/{name}/" + what, ids=mine)
    told = await trail.do("PUT", "/extensions/{extension}", {"name": "A"}, ids={"extension": "201"})
    trail.secrets += _told_once(told)
    mine = {"extension": "201"}
    await trail.do("PUT", "/extensions/{extension}/enabled", {"enabled": True}, ids=mine)
    queue = {"name": "sales"}
    await trail.do("PUT", "/queues/{name}", {"members": ["201"]}, ids=queue)
    body = {"did": "+918033330000", "agent_id": "fresh"}
    await trail.do("POST", "/numbers", body)
    mine = {"did": "+918033330000"}
    await trail.do("PUT", "/numbers/{did}", {"agent_id": "fresh", "closed_text": "Shut."}, ids=mine)
    await trail.do("DELETE", "/numbers/{did}", ids=mine)
    await trail.do("DELETE", "/queues/{name}", ids=queue)


async def _outreach(trail: Trail) -> None:
    body = {"name": "Spring", "agent_id": "fresh", "hours": "mon-sun 00:00-24:00"}
    made = await trail.do("POST", "/campaigns", body)
    mine = {"campaign_id": made["id"]}
    await trail.do("PUT", "/campaigns/{campaign_id}", body | {"name": "Autumn"}, ids=mine)
    await trail.do("POST", "/campaigns/{campaign_id}/contacts", files={"file": CSV}, ids=mine)
    for what in ("start", "pause", "cancel"):
        await trail.do("POST", "/campaigns/{campaign_id}/" + what, ids=mine)
    await trail.do("DELETE", "/campaigns/{campaign_id}/contacts", ids=mine)
    await trail.do("DELETE", "/campaigns/{campaign_id}", ids=mine)
    body = {"numbers": ["+919822223333"], "reason": "asked"}
    await trail.do("POST", "/do-not-call", body)
    await trail.do("POST", "/do-not-call/upload", files={"file": CSV}, data={"reason": "x"})
    where = {"number": "+919822223333", "reason": "asked again"}
    await trail.do("DELETE", "/do-not-call", params=where)
    body = {"url": "https://127.0.0.1:1/in", "events": ["call.ended"], "tenant": "main"}
    made = await trail.do("POST", "/webhooks", body)
    trail.secrets += _told_once(made)
    mine = {"webhook_id": (made.get("webhook") or made)["id"]}
    trail.secrets += _told_once(await trail.do("POST", "/webhooks/{webhook_id}/secret", ids=mine))
    await trail.do("POST", "/webhooks/{webhook_id}/test", ids=mine)
    await trail.do("POST", "/webhooks/{webhook_id}/redeliver", {}, ids=mine)
    body.pop("tenant")
    await trail.do("PUT", "/webhooks/{webhook_id}", body | {"enabled": False}, ids=mine)
    await trail.do("DELETE", "/webhooks/{webhook_id}", ids=mine)


async def _knowledge(trail: Trail) -> None:
    made = await trail.do("POST", "/knowledge", {"name": "tariffs"})
    mine = {"base_id": made["id"]}
    file = {"files": ("a.txt", b"Open from nine.", "text/plain")}
    await trail.do("POST", "/knowledge/{base_id}/documents", files=file, ids=mine)
    body = {"urls": ["http://127.0.0.1:1/a"]}
    await trail.do("POST", "/knowledge/{base_id}/urls", body, ids=mine)
    await trail.do("POST", "/knowledge/{base_id}/refresh", ids=mine)
    await trail.do("POST", "/knowledge/{base_id}/passages/{passage_id}/allow")
    await trail.do("DELETE", "/knowledge/{base_id}/documents/{document_id}")
    await trail.do("DELETE", "/knowledge/{base_id}", ids=mine)


async def _review(trail: Trail) -> None:
    body = {"call_id": trail.site.main.ids["call_id"], "turn": 1, "note": "look"}
    await trail.do("POST", "/flags", body)
    body = {"state": "dismissed", "note": "fine", "seen": "open"}
    await trail.do("POST", "/flags/{flag_id}/decision", body)
    body = {"agent_id": "fresh", "questions": [{"question": "When?", "expected": "nine"}]}
    await trail.do("POST", "/golden", body)
    await trail.do("PUT", "/golden/{question_id}", {"enabled": False})
    await trail.do("DELETE", "/golden/{question_id}")
    made = await trail.do("POST", "/rules", {"text": "guaranteed", "agent_id": "fresh"})
    mine = {"rule_id": made["id"]}
    body = {"text": "promised", "agent_id": "fresh"}
    await trail.do("PUT", "/rules/{rule_id}", body, ids=mine)
    await trail.do("PUT", "/rules/{rule_id}/enabled", {"enabled": False}, ids=mine)
    await trail.do("DELETE", "/rules/{rule_id}", ids=mine)


async def _heard_and_taken_away(trail: Trail) -> None:
    """What changes nothing, and is written down all the same."""
    for path in HEARD:
        before = await trail.lines()
        answer = await trail.get(path)
        if await trail.lines() == before:
            trail.without.append(f"GET {path} {answer.status_code}")


async def _ends(trail: Trail) -> None:
    await trail.do("DELETE", "/extensions/{extension}", ids={"extension": "201"})
    await trail.do("DELETE", "/trunks/{name}", ids={"name": "north"})
    await trail.do("DELETE", "/calls/{call_id}", params={"confirm": trail.site.main.ids["call_id"]})


async def _account(trail: Trail) -> None:
    """What a session alone may do: the last ends them all."""
    await trail.do("PUT", "/account/language", {"language": "hi"})
    begun = await trail.do("POST", "/account/second-factor", {"password": PASSWORD})
    seed = re.search(r"secret=([A-Z2-7]+)", str(begun))
    assert seed is not None
    trail.secrets.append(seed[1])
    code = pyotp.TOTP(seed[1])
    body = {"ticket": begun["ticket"], "code": code.now()}
    told = await trail.do("POST", "/account/second-factor/confirm", body)
    body = {"code": code.at(int(time.time()) + 30)}
    told = await trail.do("POST", "/account/second-factor/recovery-codes", body)
    trail.secrets += told["recovery_codes"]
    body = {"password": PASSWORD, "code": told["recovery_codes"][0]}
    await trail.do("POST", "/account/second-factor/remove", body)
    await trail.do("DELETE", "/account/sessions")
    await trail.do("POST", "/account/password", {"old": PASSWORD, "new": NEW_PASSWORD})


def _told_once(answer: Any) -> list[str]:
    """The texts of an answer that look like a secret."""
    if isinstance(answer, dict):
        return [word for value in answer.values() for word in _told_once(value)]
    if isinstance(answer, list):
        return [word for value in answer for word in _told_once(value)]
    strange = isinstance(answer, str) and re.fullmatch(r"[\w+/=-]{16,}", answer)
    return [answer] if strange and re.search(r"\d", answer) and "-11-" not in answer else []


async def test_every_change_leaves_a_line_and_no_secret_anywhere(site: Site) -> None:
    engine = site.engine()
    try:
        async with site.as_key(site.operator_key) as http:
            trail = Trail(site, http, engine)
            parts = (_heard_and_taken_away, _agents, _people, _telephony, _outreach)
            for part in (*parts, _knowledge, _review):
                await part(trail)
            assert trail.secrets
            kept = await secrets_kept(engine) | {TRUNK_PASSWORD, site.operator_key, site.main.key}
            kept |= {site.operator_cookie, site.main.cookie, *trail.secrets}
            assert len(kept) > 12
            assert await shown(http, site, kept) == []
            await _ends(trail)
        own = {"Cookie": f"{COOKIE}={site.main.cookie}", "Origin": site.console.url}
        async with site.console.client(**own) as http:
            account = Trail(site, http, engine)
            await _account(account)
        kept |= await secrets_kept(engine) | set(account.secrets)
        assert [s for s in kept if s in site.console.log()] == []
        async with engine.connect() as connection:
            rows = str((await connection.execute(text("SELECT * FROM audit_log"))).all())
        assert [s for s in kept if s in rows] == []
    finally:
        await engine.dispose()
    without = {*trail.without, *account.without} - set(LEAVE_NOTHING)
    assert without == set()
    todo = {f"{method} {route.path}" for route in ROUTES for method in route.methods - {"GET"}}
    done = trail.done | account.done
    assert todo - done - set(LEAVE_NOTHING) - set(ELSEWHERE) == set()


SECRET_COLUMN = re.compile("password|secret|hash|ha1|seed|totp|token|sealed")


async def secrets_kept(engine: AsyncEngine) -> set[str]:
    """What the database keeps of secrets, in every column that is called so."""
    found: set[str] = set()
    async with engine.connect() as connection:
        columns = await connection.execute(
            text("SELECT table_name, column_name FROM information_schema.columns"
                 " WHERE table_schema = 'public' AND table_name <> 'audit_log'")
        )  # fmt: skip
        for table, column in columns.all():
            if SECRET_COLUMN.search(column):
                rows = await connection.execute(text(f'SELECT "{column}" FROM "{table}"'))
                found |= {str(value) for (value,) in rows.all() if len(str(value or "")) > 15}
    return found


async def shown(http: httpx.AsyncClient, site: Site, kept: set[str]) -> list[str]:
    """The routes whose answers hold one of ``kept``, asked with ids that exist."""
    found = []
    ids = site.main.ids | {"name": "north", "extension": "201"}
    for route in ROUTES:
        if "GET" not in route.methods or route.path == "/live/events":
            continue
        path = route.path.format(**{**{n: "1" for n in ANY_ID.findall(route.path)}, **ids})
        answer = await http.get(PREFIX + path)
        assert answer.status_code < 500 or answer.status_code == 503, (path, answer.text)
        found += [f"{path}: {word}" for word in kept if word in answer.text]
    schema = (await http.get(f"{PREFIX}/openapi.json")).text
    return found + [f"openapi: {word}" for word in kept if word in schema]
