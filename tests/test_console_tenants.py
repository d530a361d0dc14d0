"""People of one tenant ask for another's things, by every route that names one: there are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from appliance.admin.api.app import PREFIX, make_api, routers
from tests.hostile_site import MAIN, OTHER, Site, Things, hostile_site

pytestmark = pytest.mark.server

ROUTES = [r for router in routers() for r in router.routes if isinstance(r, APIRoute)]
PARAMETER = re.compile(r"\{([^}:]+)")
NOT_HERE = ("/trunks", "/extensions", "/queues", "/tenants", "/try/", "/account/")
"""The operator's; a call of one's own from the browser; one's own sessions, which a key may not end."""
SCHEMA = make_api().openapi()

BODIES: dict[str, dict[str, Any]] = {
    "Fields": {"fields": {"greeting": "Mine now."}},
    "Publication": {"revision": 1},
    "Rollback": {"version": 1},
    "Decision": {"state": "dismissed"},
    "Correction": {"answer": "Mine now."},
    "RuleChange": {"text": "mine"},
    "Edit": {"expected": "mine"},
    "SearchFor": {"question": "What is the fee?"},
    "Urls": {"urls": ["https://example.com/"]},
    "Said": {"text": "Mine now."},
    "To": {"to": "100"},
    "Supervising": {"extension": "100"},
    "RouteBody": {"agent_id": f"agent-{OTHER}"},
    "PlanBody": {"name": "mine", "agent_id": f"agent-{OTHER}"},
    "RuleBody": {"text": "mine"},
    "Enabled": {"enabled": False},
    "Beginning": {},
    "Key": {"digit": "1"},
    "UserProfile": {"role": "viewer"},
    "WebhookBody": {"url": "https://192.0.2.2/", "events": ["call.ended"]},
    "RedeliverBody": {},
    "appliance__admin__api__agents__Assignment": {"tenant": OTHER},
}
"""What somebody would send who knows the API."""
FORMS = {
    "contacts": {"file": ("c.csv", b"number\n+918033333333\n", "text/csv")},
    "documents": {"files": ("d.txt", b"mine", "text/plain")},
}


@pytest.fixture(scope="module")
def site(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with hostile_site(postgres, tmp_path_factory.mktemp("tenants"), "tenants") as made:
        yield made


def requests_for(things: Things) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and content of every route that names something of ``things``."""
    for route in ROUTES:
        names = PARAMETER.findall(route.path)
        if not names or route.path.startswith(NOT_HERE) or route.path.endswith("/tenant"):
            continue
        path = PREFIX + route.path_format.format(**things.ids)
        for method in sorted(route.methods):
            operation = SCHEMA["paths"][PREFIX + route.path_format][method.lower()]
            yield method, path, content_of(operation, path)


def content_of(operation: dict[str, Any], path: str) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        return {"files": FORMS[path.rpartition("/")[2]]}
    sent: dict[str, Any] = {}
    if "application/json" in content:
        schema = content["application/json"]["schema"]
        name = (schema.get("$ref") or schema["anyOf"][0]["$ref"]).rpartition("/")[2]
        sent["json"] = BODIES[name]
    wanted = {p["name"]: "1" for p in operation.get("parameters", ()) if p["in"] == "query"}
    sent["params"] = {k: v for k, v in wanted.items() if k in ("from", "to", "text", "confirm")}
    sent["headers"] = {"If-Match": '"1"'}
    return sent


async def everything_of(site: Site, things: Things) -> dict[str, list[str]]:
    """Each row of every table, as text; what merely being asked changes is left out."""
    engine = site.engine()
    found = {}
    try:
        async with engine.connect() as connection:
            names = await connection.exec_driver_sql(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                " AND tablename NOT IN ('audit_log', 'sessions', 'api_keys', 'alembic_version')"
            )
            for (name,) in names.all():
                rows = await connection.exec_driver_sql(f'SELECT t::text FROM "{name}" t')
                found[name] = sorted(text for (text,) in rows.all())
            living = await connection.exec_driver_sql(
                "SELECT count(*) FILTER (WHERE revoked_at IS NULL) FROM api_keys"
                " UNION ALL SELECT count(*) FILTER (WHERE ended_at IS NULL) FROM sessions"
            )
            found["living"] = [str(row) for row in living.all()]
    finally:
        await engine.dispose()
    return found


async def test_what_another_tenant_has_is_not_there(site: Site) -> None:
    before = await everything_of(site, site.main)
    strange: list[Any] = []
    asked = 0
    async with site.as_key(site.other.key) as http:
        for method, path, content in requests_for(site.main):
            answer = await http.request(method, path, **content)
            asked += 1
            if answer.status_code != 404:
                strange.append((method, path, answer.status_code, answer.text[:120]))
            assert f"call-{MAIN}" not in answer.text.replace(path, "")
    assert strange == []
    assert asked > 50
    assert await everything_of(site, site.main) == before


async def test_ones_own_are_there(site: Site) -> None:
    """Or the test above would be passed by routes that find nothing at all."""
    missing = []
    async with site.as_key(site.main.key) as http:
        for method, path, content in requests_for(site.main):
            if method == "GET" and "/live/" not in path and "/try/" not in path:
                answer = await http.request(method, path, **content)
                if answer.status_code in (401, 403, 404):
                    missing.append((path, answer.status_code, answer.text[:100]))
    assert missing == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/agents", {"id": "copied", "name": "x", "copy_of": "agent-main"}),
        ("POST", "/campaigns", {"name": "x", "agent_id": "agent-main"}),
        ("PUT", "/campaigns/{campaign_id}", {"name": "x", "agent_id": "agent-main"}),
        ("POST", "/golden", {"agent_id": "agent-main", "questions": [{"question": "x"}]}),
        ("POST", "/golden/runs", {"agent_id": "agent-main"}),
        ("POST", "/answers/ask", {"agent_id": "agent-main", "question": "x"}),
        ("POST", "/answers/withdraw", {"agent_id": "agent-main", "wording": "x"}),
        ("POST", "/flags", {"call_id": "call-main", "turn": 0}),
        ("POST", "/numbers", {"agent_id": "agent-main", "did": "+918044444444"}),
        ("PUT", "/numbers/{did}", {"agent_id": "agent-main"}),
        ("POST", "/rules", {"text": "mine", "agent_id": "agent-main"}),
        ("PUT", "/rules/{rule_id}", {"text": "mine", "agent_id": "agent-main"}),
        ("POST", "/rules/try", {"text": "mine", "agent_id": "agent-main"}),
        ("POST", "/knowledge/{base_id}/search", {"question": "x", "agent_id": "agent-main"}),
        ("POST", "/knowledge/1/passages/{passage_id}/allow", None),
        ("GET", "/knowledge/{base_id}/documents/1", None),
        ("GET", "/knowledge/{base_id}/documents/1/original", None),
        ("POST", "/knowledge/{base_id}/passages/1/allow", None),
        ("POST", "/webhooks/{webhook_id}/redeliver", {"deliveries": [1]}),
        ("GET", "/webhooks/deliveries?webhook=1", None),
    ],
)
async def test_nothing_of_another_tenant_is_named_in_a_body(
    site: Site, method: str, path: str, body: dict[str, Any] | None
) -> None:
    before = await everything_of(site, site.main)
    async with site.as_key(site.other.key) as http:
        answer = await http.request(method, PREFIX + path.format(**site.other.ids), json=body)
    assert answer.status_code in (400, 403, 404), answer.text
    assert await everything_of(site, site.main) == before


THEIRS = ('"call-main', '"name":"agent-main', "base-main", "admin-main", '"flag-call-main')
FOREIGN = {
    "knowledge": "base-main",
    "language_menu": {"1": "agent-main"},
}


@pytest.mark.parametrize("field", FOREIGN)
async def test_a_draft_that_names_anothers_things_is_not_published(site: Site, field: str) -> None:
    path = f"{PREFIX}/agents/agent-{OTHER}"
    async with site.as_key(site.other.key) as http:
        draft = await http.get(f"{path}/draft")
        fields = {"greeting": "Hello.", "name": "x", field: FOREIGN[field]}
        saved = await http.put(
            f"{path}/draft", json={"fields": fields}, headers={"If-Match": draft.headers["etag"]}
        )
        if saved.status_code != 200:
            assert saved.status_code == 400, saved.text
            return
        revision = saved.json()["revision"]
        published = await http.post(f"{path}/publish", json={"revision": revision})
    assert published.status_code == 400, published.text


@pytest.mark.parametrize(
    "path",
    [
        "/calls?agent=agent-main", "/calls.csv?agent=agent-main", "/calls/count?agent=agent-main",
        "/calls?agent_id=agent-main", "/flags?agent=agent-main", "/flags?agent_id=agent-main",
        "/flags/counts?agent_id=agent-main", "/golden?agent_id=agent-main",
        "/rules?agent_id=agent-main", "/answers?agent_id=agent-main",
        "/campaigns", "/numbers", "/agents", "/knowledge", "/users", "/webhooks",
        "/webhooks/deliveries", "/audit-log", "/do-not-call", "/live/calls",
        "/keys?everybodys=true", "/analytics/overview?agent=agent-main",
        "/analytics/unanswered?agent=agent-main", "/analytics/failures?agent=agent-main",
        "/analytics/stages?agent=agent-main", "/analytics/load?agent=agent-main",
        "/numbers/trace?did=%2B918011111111", "/do-not-call/look-up?number=%2B918011111111",
    ],
)  # fmt: skip
async def test_no_list_and_no_filter_shows_another_tenants(site: Site, path: str) -> None:
    async with site.as_key(site.other.key) as http:
        answer = await http.get(PREFIX + path)
    assert answer.status_code in (200, 400, 403, 404, 422), answer.text
    for theirs in THEIRS:
        assert theirs not in answer.text.replace(path, ""), answer.text[:400]


PAGES = (
    "/calls/{call_id}", "/agents/{agent_id}", "/agents/{agent_id}/try", "/knowledge/{base_id}",
    "/knowledge/{base_id}/documents/{document_id}", "/campaigns/{campaign_id}",
    "/webhooks/{webhook_id}", "/flags?flag={flag_id}", "/calls?agent={agent_id}",
    "/golden?agent={agent_id}", "/answers?agent={agent_id}", "/analytics?agent={agent_id}",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
async def test_no_page_shows_another_tenants(site: Site, page: str) -> None:
    cookies = {"Cookie": f"__Host-ivr={site.other.cookie}"}
    async with site.console.client(**cookies) as http:
        theirs = await http.get(page.format(**site.main.ids))
        own = await http.get(page.format(**site.other.ids))
    assert own.status_code == 200
    for word in ("tangerine", "admin-main", "base-main"):
        assert word not in theirs.text
    if "?" not in page:
        assert "onerror" not in theirs.text


async def test_an_admin_makes_nobody_greater_than_themselves(site: Site) -> None:
    async with site.as_key(site.other.key) as http:
        for body in (
            {"login": "new-op", "role": "operator"},
            {"login": "new-op", "role": "admin", "tenant": MAIN},
            {"login": "new-op", "role": "operator", "tenant": OTHER},
        ):
            answer = await http.post(f"{PREFIX}/users", json=body)
            assert answer.status_code in (400, 403, 404), answer.text
        own = f"{PREFIX}/users/{site.other.ids['user_id']}"
        for change in ({"role": "operator"}, {"role": "admin", "tenant": MAIN}):
            answer = await http.put(own, json=change)
            assert answer.status_code in (400, 403, 404), answer.text
        operator = f"{PREFIX}/users/{site.operator.id}"
        for path in ("", "/disable", "/reset-password", "/reset-second-factor"):
            method = "POST" if path else "GET"
            assert (await http.request(method, operator + path)).status_code == 404
        wanted = {"name": "x", "scopes": ["tenants:edit"]}
        assert (await http.post(f"{PREFIX}/keys", json=wanted)).status_code in (400, 403)
