"""The login, as a browser goes through it: behind the real gate, on a real database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import users
from appliance.access.roles import Role
from appliance.admin.api.app import make_api
from appliance.admin.gate import COOKIE, Gate
from appliance.admin.login import forms, tickets
from appliance.admin.login import routes as module
from appliance.admin.login.tickets import safe_next
from appliance.admin.ui.words import translator
from appliance.settings import Settings
from tests.access_kit import (
    BOX,
    PASSWORD,
    actions,
    enrolled,
    make_user,
    quick_passwords,  # noqa: F401
    settings_in,
)
from tests.console_kit import console_on

pytestmark = pytest.mark.usefixtures("quick_passwords")
server = pytest.mark.server
ORIGIN = "https://box.example"
NEW = "another plain phrase"


class Browser:
    """Forms, filled in and sent; redirects are looked at, not followed."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page = httpx.Response(0)

    async def get(self, path: str) -> httpx.Response:
        self.page = await self.client.get(path)
        return self.page

    async def send(self, path: str, origin: str = ORIGIN, **fields: str) -> httpx.Response:
        hidden = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.page.text)
        )
        values = {name: unescape(value) for name, value in hidden.items()} | fields
        self.page = await self.client.post(path, data=values, headers={"origin": origin})
        return self.page

    async def log_in(self, login: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        await self.get("/login")
        return await self.send("/login", login=login, password=password, **more)

    async def follow(self) -> httpx.Response:
        return await self.get(self.page.headers["location"])

    @property
    def session(self) -> str:
        return str(self.client.cookies.get(COOKIE, default="") or "")


@asynccontextmanager
async def site(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Browser]:
    async with console_on(engine, settings) as console:
        app = make_api()
        app.include_router(module.router)

        @app.get("/calls")
        async def calls() -> dict[str, str]:
            return {"page": "calls"}

        gate: Any = Gate(app, console, "/_nicegui/")
        transport = httpx.ASGITransport(gate, client=("10.0.0.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            yield Browser(client)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
async def browser(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Browser]:
    async with site(engine, settings) as found:
        yield found


@server
async def test_in_and_out(engine: AsyncEngine, browser: Browser) -> None:
    await make_user(engine, "asha")
    refused = await browser.get("/calls?day=1")
    assert refused.status_code == 303
    await browser.follow()
    sent = await browser.send("/login", login="asha", password=PASSWORD)
    assert (sent.status_code, sent.headers["location"]) == (303, "/calls?day=1")
    cookie = next(c for c in sent.headers.get_list("set-cookie") if c.startswith(f"{COOKIE}="))
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    assert "domain" not in cookie.lower()
    assert (await browser.follow()).json() == {"page": "calls"}
    assert (await browser.get("/login")).headers["location"] == "/", "is in already"
    token = browser.session
    await browser.send("/logout")
    assert browser.session == ""
    browser.client.cookies.set(COOKIE, token)
    assert (await browser.get("/calls")).status_code == 303, "ended, not only forgotten"
    assert [a for a, _ in await actions(engine)][-2:] == ["session.open", "session.end"]


@server
async def test_the_page_is_one_for_password_managers(browser: Browser) -> None:
    page = (await browser.get("/login")).text
    assert 'autocomplete="username"' in page and 'autocomplete="current-password"' in page
    assert 'method="post" action="/login"' in page
    assert page.count("autofocus") == 1
    assert "<script>" not in page and "onclick" not in page and "style=" not in page


@server
async def test_a_wrong_password_says_no_more_than_that(
    engine: AsyncEngine, browser: Browser
) -> None:
    await make_user(engine, "asha")
    pages = []
    for login in ("asha", "nobody"):
        answer = await browser.log_in(login, "wrong one")
        assert answer.status_code == 401 and browser.session == ""
        assert "Wrong login or password" in answer.text and 'role="alert"' in answer.text
        assert "wrong one" not in answer.text
        pages.append(re.sub(r'(value|nonce)="[^"]*"', "", answer.text))
    assert pages[0] == pages[1]


@server
async def test_a_login_that_is_markup_is_shown_as_text(browser: Browser) -> None:
    answer = await browser.log_in('"><script>alert(1)</script>', "x")
    assert "<script>alert" not in answer.text and "&lt;script&gt;" in answer.text


@server
async def test_another_site_cannot_log_somebody_in(engine: AsyncEngine, browser: Browser) -> None:
    await make_user(engine, "asha")
    await browser.get("/login")
    foreign = await browser.send(
        "/login", origin="https://evil.example", login="asha", password=PASSWORD
    )
    assert foreign.status_code == 403 and browser.session == ""
    for csrf in ("", "x", "é"):
        await browser.get("/login")
        forged = await browser.send("/login", login="asha", password=PASSWORD, csrf=csrf)
        assert forged.status_code == 400 and browser.session == ""
        assert "open for too long" in forged.text
    await browser.get("/login")
    browser.client.cookies.delete(tickets.COOKIE)
    assert (await browser.send("/login", login="asha", password=PASSWORD)).status_code == 400


@server
async def test_a_session_is_never_one_that_was_there_before(
    engine: AsyncEngine, browser: Browser
) -> None:
    await make_user(engine, "asha")
    browser.client.cookies.set(COOKIE, "chosen-by-somebody-else")
    await browser.log_in("asha")
    first = browser.client.cookies
    given = {c.value for c in first.jar if c.name == COOKIE} - {"chosen-by-somebody-else"}
    assert len(given) == 1 and len(given.pop() or "") >= 43


@server
async def test_logging_in_again_ends_the_session_before(
    engine: AsyncEngine, browser: Browser
) -> None:
    await make_user(engine, "asha")
    await browser.get("/login")
    form, ticket = browser.page, browser.client.cookies[tickets.COOKIE]
    await browser.send("/login", login="asha", password=PASSWORD)
    token = browser.session
    browser.page = form
    browser.client.cookies.set(tickets.COOKIE, ticket, domain="box.example")
    await browser.send("/login", login="asha", password=PASSWORD)
    assert browser.session != token
    old = await browser.client.get("/calls", headers={"cookie": f"{COOKIE}={token}"})
    assert old.status_code == 303


@server
async def test_with_a_second_factor(
    engine: AsyncEngine, settings: Settings, browser: Browser
) -> None:
    user = await make_user(engine, "asha")
    secret, codes = await enrolled(engine, settings, user)
    sent = await browser.log_in("asha", next="/calls")
    assert sent.headers["location"] == "/login/second-factor" and browser.session == ""
    assert (await browser.get("/calls")).status_code == 303, "half is not in"
    await browser.get("/login/second-factor")
    wrong = await browser.send("/login/second-factor", code="000000")
    assert wrong.status_code == 401 and browser.session == ""
    right = await browser.send("/login/second-factor", code=pyotp.TOTP(secret).now())
    assert (right.status_code, right.headers["location"]) == (303, "/calls")
    assert (await browser.follow()).status_code == 200
    await browser.send("/logout")
    await browser.log_in("asha")
    await browser.follow()
    again = await browser.send("/login/second-factor", code=pyotp.TOTP(secret).now())
    assert again.status_code == 401, "a code is taken once"
    assert (await browser.send("/login/second-factor", code=codes[0])).status_code == 303
    assert browser.session


@server
async def test_a_password_from_somebody_else_is_changed_first(
    engine: AsyncEngine, browser: Browser
) -> None:
    user = await make_user(engine, "asha")
    given = (await users.reset_password(engine, BOX, user.id)).one_time_password
    sent = await browser.log_in("asha", given, next="/calls")
    assert sent.headers["location"] == "/login/password" and browser.session == ""
    await browser.follow()
    for new, again, why in (
        (NEW, NEW + "!", "not alike"),
        ("short", "short", "at least 12"),
        (given, given, "that you have"),
    ):
        answer = await browser.send("/login/password", new=new, again=again)
        assert answer.status_code == 400 and why in answer.text and browser.session == ""
    done = await browser.send("/login/password", new=NEW, again=NEW)
    assert (done.status_code, done.headers["location"]) == (303, "/calls")
    assert (await browser.follow()).status_code == 200
    await browser.send("/logout")
    assert (await browser.log_in("asha", given)).status_code == 401
    assert (await browser.log_in("asha", NEW)).headers["location"] == "/"


@server
async def test_where_everybody_must_nobody_gets_past_without_enrolling(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await make_user(engine, "asha")
    async with site(engine, settings_in(tmp_path, second_factor="required")) as browser:
        sent = await browser.log_in("asha", next="/calls")
        assert sent.headers["location"] == "/login/second-factor" and browser.session == ""
        page = (await browser.follow()).text
        assert "data:image/svg+xml" in page
        found = re.search(r'login-secret mono">(\w+)<', page)
        assert found is not None
        wrong = await browser.send("/login/second-factor", code="000000")
        assert wrong.status_code == 401 and found[1] in wrong.text, "the same one goes on"
        now = pyotp.TOTP(found[1]).at(datetime.now(UTC) - timedelta(seconds=30))
        done = await browser.send("/login/second-factor", code=now)
        assert done.status_code == 200 and browser.session
        codes = re.findall(r"<li>([a-z2-7-]+)</li>", done.text)
        assert len(codes) == 10 and 'href="/calls"' in done.text
        assert (await browser.get("/calls")).status_code == 200
        await browser.send("/logout")
        await browser.log_in("asha")
        await browser.follow()
        assert (await browser.send("/login/second-factor", code=codes[0])).status_code == 303


@server
@pytest.mark.parametrize("change", ["disabled", "new password", "nobody's ticket"])
async def test_a_half_login_is_worth_nothing_once_things_change(
    engine: AsyncEngine, settings: Settings, browser: Browser, change: str
) -> None:
    user = await make_user(engine, "asha")
    secret, _ = await enrolled(engine, settings, user)
    await browser.log_in("asha")
    await browser.follow()
    if change == "disabled":
        await users.set_enabled(engine, BOX, user.id, False)
    elif change == "new password":
        await users.reset_password(engine, BOX, user.id)
    else:
        browser.client.cookies.set(tickets.COOKIE, "x" * 100, domain="box.example")
    sent = await browser.send("/login/second-factor", code=pyotp.TOTP(secret).now())
    assert (sent.status_code, sent.headers["location"]) == (303, "/login")
    assert browser.session == ""


@server
async def test_steps_cannot_be_skipped(
    engine: AsyncEngine, settings: Settings, browser: Browser
) -> None:
    user = await make_user(engine, "asha")
    await enrolled(engine, settings, user)
    await browser.log_in("asha")
    await browser.follow()
    for path in ("/login/password",):
        assert (await browser.get(path)).headers["location"] == "/login"
        sent = await browser.send(path, new=NEW, again=NEW)
        assert sent.headers["location"] == "/login" and browser.session == ""
    for path in ("/login/second-factor", "/login/password"):
        browser.client.cookies.clear()
        assert (await browser.get(path)).headers["location"] == "/login"


@server
async def test_tries_of_one_address_are_limited(
    engine: AsyncEngine, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_user(engine, "asha")
    monkeypatch.setattr(module, "TRIES_A_MINUTE", 3)
    statuses = [(await browser.log_in(f"nobody{n}", "x")).status_code for n in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert (await browser.log_in("asha")).status_code == 429


@server
async def test_large_and_broken_forms(browser: Browser) -> None:
    await browser.get("/login")
    headers = {"origin": ORIGIN}
    for body in (b"x" * 20_000, b"\xff\xfe", b"&".join(b"a%d=1" % n for n in range(50)), b""):
        answer = await browser.client.post("/login", content=body, headers=headers)
        assert answer.status_code == 400 and "open for too long" in answer.text


@server
async def test_hindi(browser: Browser) -> None:
    page = await browser.client.get("/login", headers={"accept-language": "hi-IN,en;q=0.8"})
    assert 'lang="hi"' in page.text and "पासवर्ड" in page.text
    assert "पासवर्ड" not in (await browser.get("/login?lang=en")).text
    assert "पासवर्ड" in (await browser.get("/login?lang=hi")).text
    answer = await browser.send("/login", login="nobody", password="x")
    assert "लॉगिन या पासवर्ड ग़लत है" in answer.text


def test_every_word_of_the_login_has_its_hindi() -> None:
    hindi = translator("hi")
    folder = Path(forms.__file__).parent / "templates"
    words = {
        w for f in folder.iterdir() for w in re.findall(r't\(["\']([^"\']+)["\']\)', f.read_text())
    }
    words |= {
        v for n, v in vars(module).items() if n.startswith("_") and isinstance(v, str) and " " in v
    }
    words -= {module.__doc__ or ""}
    assert len(words) > 20
    assert [word for word in words if hindi(word) == word] == []


@pytest.mark.parametrize(
    "path", ["/", "/calls", "/calls?day=1&who=a%20b", "/agents/sunrise#draft", "/calls/3f2a-9"]
)
def test_where_one_may_go_on_to(path: str) -> None:
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "calls", "//evil.example", "/\\evil.example", "https://evil.example", "/a\\b", "/a\nb",
        "/a\tb", "\\\\evil", "/login?next=/x", "/logout", "/api/v1/calls", "javascript:alert(1)",
        "/é", "/ x", "/" + "x" * 600, "/\t/evil.example",
    ],
)  # fmt: skip
def test_where_nobody_is_sent(path: str) -> None:
    assert safe_next(path) == "/"


@given(st.text(max_size=30))
def test_wherever_one_goes_it_is_here(path: str) -> None:
    found = safe_next(path)
    url = httpx.URL(ORIGIN).join(found)
    assert (url.scheme, url.host) == ("https", "box.example")
    assert found.startswith("/") and not found.startswith(("//", "/\\"))


@server
async def test_an_open_redirect_is_none(engine: AsyncEngine, browser: Browser) -> None:
    await make_user(engine, "asha", Role.VIEWER)
    await browser.get("/login?next=//evil.example/x")
    sent = await browser.send(
        "/login", login="asha", password=PASSWORD, next="https://evil.example"
    )
    assert sent.headers["location"] == "/"
