"""Attacks on the console as a browser, a stranger or another's socket would make them."""

from __future__ import annotations

import asyncio
import re
import ssl
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect

from appliance.admin.gate import COOKIE
from tests.console_kit import PASSWORD, chromium
from tests.hostile_site import SECRET_WORDS, Site, hostile_site

pytestmark = pytest.mark.server

HANDSHAKE = (
    "/_nicegui_ws/socket.io/?EIO=4&transport=websocket&client_id={}&document_id=d&tab_id=t"
    "&next_message_id=0&implicit_handshake=true"
)
CLIENT = re.compile(r"client_id['\"]?:\s*['\"]([0-9a-f-]{36})")


@pytest.fixture(scope="module")
def site(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with hostile_site(postgres, tmp_path_factory.mktemp("attacks"), "attacks") as made:
        yield made


async def page_id(site: Site, token: str) -> str:
    async with site.console.client(Cookie=f"{COOKIE}={token}") as http:
        found = CLIENT.search((await http.get("/agents")).text)
    assert found is not None
    return found[1]


async def join(site: Site, token: str, page: str) -> str:
    """What socket.io says to a socket with ``token`` that wants ``page``: 40… is yes, 44… is no."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Cookie": f"{COOKIE}={token}", "Origin": site.console.url}
    url = site.console.url + HANDSHAKE.format(page)
    async with connect(
        url.replace("https", "wss", 1), ssl=context, additional_headers=headers, open_timeout=10
    ) as socket:
        async with asyncio.timeout(10):
            await socket.recv()
            await socket.send("40")
            return str(await socket.recv())[:2]


async def test_a_socket_joins_the_pages_of_its_own_session_alone(site: Site) -> None:
    page = await page_id(site, site.main.cookie)
    assert await join(site, site.other.cookie, page) == "44"
    assert await join(site, site.operator_cookie, page) == "44"
    assert await join(site, site.main.cookie, page) == "40"


async def test_an_upload_goes_to_ones_own_page_alone(site: Site) -> None:
    page = await page_id(site, site.main.cookie)
    headers = {"Cookie": f"{COOKIE}={site.other.cookie}", "Origin": site.console.url}
    async with site.console.client(**headers) as http:
        answer = await http.post(f"/_nicegui/client/{page}/upload/1", content=b"x")
    assert (answer.status_code, answer.json()) == (404, {"error": {"message": "No such page."}})


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "plain", ""])
async def test_another_sites_page_changes_nothing(site: Site, origin: str) -> None:
    origin = site.console.url.replace("https", "http") if origin == "plain" else origin
    headers = {"Cookie": f"{COOKIE}={site.main.cookie}"} | ({"Origin": origin} if origin else {})
    async with site.console.client(**headers) as http:
        for method, path in (("PUT", "/api/v1/account/language"), ("POST", "/logout")):
            answer = await http.request(method, path, json={"language": "en"})
            assert answer.status_code == 403, answer.text


async def test_strangers_learn_nothing_of_the_api(site: Site) -> None:
    """``/openapi.json`` too: it names every route and who may call it."""
    for path in ("openapi.json", "calls", "nowhere", "users/1"):
        async with site.console.client() as http:
            answer = await http.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.json()["error"]["message"][:6]) == (401, "Log in")
    async with site.as_key(site.main.key) as http:
        assert len((await http.get("/api/v1/openapi.json")).json()["paths"]) > 50


LIES = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP")


async def test_nobody_gets_more_tries_by_lying_about_their_address(site: Site) -> None:
    people = ["nobody-at-all", site.main.admin.login] + [f"nobody{n}" for n in range(80)]
    said, statuses = [], []
    async with site.console.client(Origin=site.console.url) as http:
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await http.get("/login")).text)
        assert csrf is not None
        for number, login in enumerate(people):
            lies = {name: f"198.51.100.{number}" for name in LIES}
            lies["Forwarded"] = f"for=198.51.100.{number}"
            form = {"login": login, "password": "wrong-password-wrong", "csrf": csrf[1]}
            answer = await http.post("/login", data=form, headers=lies)
            csrf = re.search(r'name="csrf" value="([^"]+)"', answer.text) or csrf
            said += re.findall(r'class="login-error"[^>]*>([^<]+)<', answer.text)
            statuses.append(answer.status_code)
            if statuses[-1] == 429:
                break
    assert "Too many tries" in said[-1] and statuses[-1] == 429
    assert statuses[:-1] == [401] * (len(statuses) - 1) and len(statuses) > 20
    assert (
        len(said) == len(statuses) and len(set(said[:-1])) == 1
    )  # somebody and nobody are told the same


async def test_nobody_is_logged_in_by_another_sites_form(site: Site) -> None:
    """Login CSRF: a form that this browser was not given."""
    async with site.console.client(Origin=site.console.url) as http:
        form = {"login": site.main.admin.login, "password": PASSWORD}
        answer = await http.post("/login", data=form)
    assert answer.status_code == 400 and f"{COOKIE}=" not in str(answer.headers)


async def test_a_cookie_that_was_there_before_the_login_opens_nothing(site: Site) -> None:
    """Session fixation: who plants a token in a browser has none that works."""
    planted = "A" * 43
    async with site.console.client(Cookie=f"{COOKIE}={planted}") as http:
        assert (await http.get("/agents")).status_code == 303
        assert (await http.get("/login")).headers.get("set-cookie", "").count(planted) == 0


async def test_lost_pages_are_called_so(site: Site) -> None:
    async with site.console.client(Cookie=f"{COOKIE}={site.main.cookie}") as http:
        assert "<title>Not found" in (await http.get("/nowhere")).text


RANGES = (
    "bytes=0-0,2-3,4-5", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 4000, 2)),
    "bytes=99999999999-", "bytes=-99999999999", "bytes=5-1", "bytes=-", "x", "bytes=0-" + "9" * 4000,
)  # fmt: skip


@pytest.mark.parametrize("wanted", RANGES)
async def test_ranges_of_a_recording_cost_no_more_than_it_has(site: Site, wanted: str) -> None:
    path = f"/api/v1/calls/{site.main.ids['call_id']}/recording"
    async with site.as_key(site.main.key) as http:
        whole = len((await http.get(path)).content)
        answer = await http.get(path, headers={"Range": wanted})
    assert answer.status_code in (200, 206, 400, 416)
    assert len(answer.content) <= whole + 1000


HOSTILE_FILES = (
    "../../{secret}",
    "{root}/{secret}",
    "./.././x/../{secret}",
    "link.wav",
    "\x00",
    "",
)


@pytest.mark.parametrize("name", HOSTILE_FILES)
async def test_a_row_that_names_another_file_plays_nothing(site: Site, name: str) -> None:
    folder = site.console.settings.recordings_dir
    secret = folder.parent / "outside.wav"
    secret.write_bytes(b"RIFF-outside")
    link = folder / "link.wav"
    if not link.is_symlink():
        link.symlink_to(secret)
    named = name.format(secret="outside.wav", root=folder.parent).replace("\x00", "a")
    engine = site.engine()
    call_id = site.other.ids["call_id"]
    try:
        async with engine.begin() as connection:
            before = await connection.scalar(
                text("SELECT recording FROM calls WHERE call_id = :c"), {"c": call_id}
            )
            change = text("UPDATE calls SET recording = :r WHERE call_id = :c")
            await connection.execute(change, {"r": named, "c": call_id})
        async with site.as_key(site.other.key) as http:
            for what in ("recording", "recording/download", "waveform"):
                answer = await http.get(f"/api/v1/calls/{call_id}/{what}")
                assert answer.status_code == 404, (what, answer.text[:200])
                assert b"outside" not in answer.content
        async with engine.begin() as connection:
            await connection.execute(change, {"r": before, "c": call_id})
    finally:
        await engine.dispose()


@pytest.mark.parametrize("path", ["/healthx", "/login/x", "/_nicegui/3/x", "/nowhere?n=98765"])
async def test_what_is_not_there_keeps_nothing_of_who_asks(site: Site, path: str) -> None:
    async with site.console.client() as http:
        stranger = await http.get(path)
    async with site.console.client(Cookie=f"{COOKIE}={site.main.cookie}") as http:
        known = await http.get(path)
    assert CLIENT.search(stranger.text + known.text) is None
    assert known.status_code == 404
    assert "98765" not in site.console.log()


async def test_the_end_of_the_calendar_is_refused_in_a_sentence(site: Site) -> None:
    body = {"name": "x", "agent_id": "agent-main", "starts_at": "9999-12-31T23:59:59-14:00"}
    async with site.as_key(site.main.key) as http:
        answer = await http.post("/api/v1/campaigns", json=body)
    assert answer.status_code == 400
    assert "years" in answer.json()["error"]["message"]


def test_the_private_key_is_ours_alone(site: Site) -> None:
    folder = site.console.settings.tls_dir
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "console.key").stat().st_mode) == 0o600


PAGES = (
    "/calls", "/calls/{call_id}", "/agents", "/agents/{agent_id}", "/analytics", "/answers",
    "/audit", "/knowledge", "/knowledge/{base_id}", "/campaigns", "/campaigns/{campaign_id}",
    "/knowledge/{base_id}/documents/{document_id}", "/do-not-call", "/flags?flag={flag_id}",
    "/golden", "/keys", "/numbers", "/rules", "/tenants", "/users", "/webhooks",
    "/webhooks/{webhook_id}", "/account",
)  # fmt: skip
WATCH = "document.addEventListener('securitypolicyviolation', e => { window.__hit = e.blockedURI })"
FOUND = (
    "[window.__hit, document.querySelectorAll('img[src=x], svg[onload], [href^=\"javascript:\"]')"
    ".length]"
)


async def test_hostile_words_stay_words_on_every_page(site: Site) -> None:
    shown = 0
    token = {"name": COOKIE, "value": site.operator_cookie, "url": site.console.url}
    async with chromium() as browser:
        context = await browser.new_context(ignore_https_errors=True)
        await context.add_cookies([{**token, "secure": True, "httpOnly": True}])
        await context.add_init_script(WATCH)
        page = await context.new_page()
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for path in PAGES:
            await page.goto(site.console.url + path.format(**site.main.ids))
            await page.wait_for_timeout(500)
            assert await page.evaluate(FOUND) == [None, 0], path
            shown += "onerror" in await page.inner_text("body")
        assert dialogs == []
    assert shown > 10  # or nothing was tried


def test_the_log_has_no_secret_and_no_callers_words(site: Site) -> None:
    """The last of this file: all the others have been in the log."""
    log = site.console.log()
    secrets = [site.main.key, site.main.cookie, site.other.key, site.operator_cookie, SECRET_WORDS]
    database = site.console.settings.database.url
    assert [word for word in [*secrets, database, "onerror"] if word in log] == []
