"""``ivr admin`` as a process on a database of the test, people who log in, and a real browser."""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from playwright.async_api import Browser, Error, Page, Response, async_playwright, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import apikeys, sessions, users
from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.admin.console import Console
from appliance.admin.gate import COOKIE
from appliance.admin.live.hub import LiveHub
from appliance.ops.keeping.ports import free_port
from appliance.settings import ENV_PREFIX, Settings, load
from appliance.store.access_models import MAIN_TENANT
from tests.appliance_kit import ROOT

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
)  # fmt: skip
LAPTOP = (1366, 768)
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
PAGE_TIMEOUT_MS = 30_000
"""For what a page does and what is expected of it: the machine may be busy with other tests."""
expect.set_options(timeout=PAGE_TIMEOUT_MS)
ALIVE = "() => !document.getElementById('app') || window.did_handshake"
PASSWORD = secrets.token_urlsafe(18)
"""Of every person that a test makes."""

COMMAND = Actor("command test", Role.OPERATOR, None, PERMISSIONS[Role.OPERATOR], "command")
"""Who makes them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can log in with :data:`PASSWORD`."""

    id: int
    login: str
    role: Role
    tenant: str | None
    actor: Actor


async def person(
    engine: AsyncEngine, role: Role = Role.OPERATOR, tenant: str | None = None, login: str = ""
) -> Person:
    """A new user; an admin and below belong to the main tenant, if to no other."""
    login = login or f"{role.value}-{secrets.token_hex(3)}"
    tenant = None if role is Role.OPERATOR else tenant or MAIN_TENANT
    profile = users.Profile(login.title(), role, tenant)
    made = await users.create(engine, COMMAND, login, profile, PASSWORD)
    actor = Actor(login, role, tenant, PERMISSIONS[role], user_id=made.user.id)
    return Person(made.user.id, login, role, tenant, actor)


async def cookie(engine: AsyncEngine, who: Person, settings: Settings) -> str:
    """The token of a session of theirs, as a login leaves it in the browser."""
    async with engine.begin() as connection:
        opened = await sessions.open_session(
            connection, who.id, "127.0.0.1", "test", settings.admin
        )
    return opened.token


async def key(engine: AsyncEngine, who: Person, scopes: Sequence[Permission] = ()) -> str:
    """An API key of theirs, with all they may do or with ``scopes``."""
    wanted = frozenset(scopes) or PERMISSIONS[who.role]
    made = await apikeys.create(engine, who.actor, "test", wanted)
    return made.secret


@asynccontextmanager
async def console_on(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Console]:
    """What services are given first, without a process around it."""
    async with aiohttp.ClientSession() as http:
        yield Console(settings, engine, LiveHub(settings, engine), http)


class ConsoleProcess:
    """``ivr admin`` on a free port; ``environment`` are its settings, the database's included."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        port = free_port()
        own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
        self.environment = own | {"IVR_DATA_DIR": str(folder / "var")} | environment
        self.environment |= {"IVR_ADMIN__PORT": str(port)}
        self.settings = load(environ=self.environment)
        self.url = f"{'https' if self.settings.admin.tls else 'http'}://127.0.0.1:{port}"
        self._log = folder / "admin.log"
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Start it and wait until it answers (blocks)."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "appliance", "admin"],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()  # or it would outlive the test
                self._process.wait()
                raise AssertionError(self.log())
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Of the process; it must be open."""
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        """SIGTERM (blocks)."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A program that asks it; the certificate is of its own making."""
        return httpx.AsyncClient(base_url=self.url, verify=False, headers=headers, timeout=20)

    def _answers(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default loads all authorities
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1, context=context):
                return True
        except OSError:
            return False


@asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """Debian's Chromium, headless."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *flags], headless=True
        )
        try:
            yield browser
        finally:
            await browser.close()


async def _text_of(page: Page) -> str:
    """What stands on it, dialogs too; of a browser that does not answer, nothing."""
    try:
        return await page.locator("body").inner_text(timeout=2000)
    except Error:
        return ""


def _wait_until_alive(page: Page) -> None:
    """``goto`` waits until a page's websocket is there: NiceGUI sends what is done before that in any
    order (a click, then what was typed before it), which nobody is fast enough for but a program."""
    go = page.goto

    async def goto(url: str, **options: Any) -> Response | None:
        response = await go(url, **options)
        await page.wait_for_function(ALIVE)
        return response

    page.goto = goto  # type: ignore[method-assign, assignment]


@asynccontextmanager
async def page_of(
    browser: Browser, url: str, token: str = "", *, dark: bool = False, language: str = "en-IN"
) -> AsyncIterator[Page]:
    """A browser window of a laptop's size, logged in by ``token``; what its console says is an error
    of the test's."""
    context = await browser.new_context(
        ignore_https_errors=True,
        viewport={"width": LAPTOP[0], "height": LAPTOP[1]},
        color_scheme="dark" if dark else "light",
        locale=language,
        permissions=["microphone"],
    )
    if token:
        await context.add_cookies(
            [{"name": COOKIE, "value": token, "url": url, "secure": True, "httpOnly": True}]
        )
    page = await context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    _wait_until_alive(page)
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on(
        "console", lambda message: told.append(message.text) if message.type == "error" else None
    )
    try:
        yield page
        assert not [line for line in told if "401" not in line], told  # a wrong password
    except Exception as e:
        e.add_note(f"its console: {told}; the page at {page.url}: {await _text_of(page)}")
        raise
    finally:
        await context.close()
