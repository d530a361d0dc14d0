"""The login and the pages of access in a real browser, on a real ``ivr admin``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import users
from appliance.access.roles import Permission, Role
from tests.access_kit import actions
from tests.console_kit import (
    COMMAND,
    PASSWORD,
    ConsoleProcess,
    chromium,
    cookie,
    key,
    page_of,
    person,
)

pytestmark = pytest.mark.server
NEW = "another plain phrase"
HOSTILE = "<img src=x onerror=alert(1)>{{7*7}}"


@pytest.fixture
async def console(database_url: str, tmp_path: Path) -> AsyncIterator[ConsoleProcess]:
    process = ConsoleProcess(tmp_path, {"IVR_DATABASE__URL": database_url})
    try:
        await asyncio.to_thread(process.open)
        yield process
    finally:
        await asyncio.to_thread(process.close)


async def _log_in(page: Page, login: str, password: str) -> None:
    await page.get_by_label("Login").fill(login)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.keyboard.press("Enter")


async def _log_out(page: Page) -> None:
    await page.get_by_role("button", name="Account").click()
    await page.get_by_text("Log out").click()
    await page.wait_for_url(re.compile(r"/login$"))


async def test_a_person_from_their_first_login_to_a_second_factor(
    engine: AsyncEngine, console: ConsoleProcess
) -> None:
    asha = await person(engine, Role.ADMIN, login="asha")
    given = (await users.reset_password(engine, COMMAND, asha.id)).one_time_password
    async with chromium() as browser, page_of(browser, console.url) as page:
        await page.goto(f"{console.url}/account")
        await _log_in(page, "asha", given)
        await expect(page.get_by_text("made by somebody else")).to_be_visible()
        await page.get_by_label("New password", exact=True).fill(NEW)
        await page.get_by_label("New password, again").fill(NEW)
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile(r"/account$"))
        await page.get_by_role("button", name="Turn it on").click()
        await page.get_by_label("Your password, once more").fill(NEW)
        await page.get_by_role("button", name="Go on").click()
        secret = await page.locator(".q-dialog .once-secret").inner_text()
        picture = page.get_by_alt_text("QR code for an authenticator app")
        assert await picture.evaluate("image => image.naturalWidth") > 100
        await page.get_by_label("Code that the app shows").fill(pyotp.TOTP(secret).now())
        await page.get_by_role("dialog").get_by_role("button", name="Turn it on").click()
        await expect(page.get_by_text("Recovery codes", exact=True)).to_be_visible()
        codes = await page.locator(".once .once-secret").all_inner_texts()
        assert len(codes) == 10
        await page.get_by_role("button", name="I have kept it").click()
        await expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()
        await _log_out(page)
        await _log_in(page, "asha", NEW)
        await page.get_by_label("Code from your telephone, or a recovery code").fill(codes[0])
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile(r"^(?!.*login).*$"))
    assert ("user.second_factor_on", "asha") in await actions(engine)


async def test_users_keys_and_the_log(engine: AsyncEngine, console: ConsoleProcess) -> None:
    boss = await person(engine, Role.OPERATOR, login="boss")
    viewer = await person(engine, Role.VIEWER, login="vani")
    await key(engine, boss, [Permission.CALLS_READ])
    first, second = [await cookie(engine, boss, console.settings) for _ in range(2)]
    looking = await cookie(engine, viewer, console.settings)
    async with chromium() as browser:
        async with page_of(browser, console.url, first) as page:
            await _make_a_user(page, console.url)
            await _make_a_key(page, console)
            await _check_the_log(page, console.url)
            async with page_of(browser, console.url, second) as other:
                await _end_other_sessions(other, page, console.url)
        async with page_of(browser, console.url, looking) as page:
            await _see_nothing(page, console.url)
    assert PASSWORD not in console.log()


async def _make_a_user(page: Page, url: str) -> None:
    await page.goto(f"{url}/users")
    await page.get_by_role("button", name="New user").click()
    await page.get_by_label("Login").fill("newbie")
    await page.get_by_label("Name").fill(HOSTILE)
    await page.get_by_role("button", name="Make the user").click()
    await expect(page.get_by_text("Password of newbie")).to_be_visible()
    password = await page.locator(".once .once-secret").inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    await expect(page.get_by_text(HOSTILE)).to_be_visible()
    await expect(page.locator(".q-dialog")).to_have_count(0)
    assert password not in await page.content()


async def _make_a_key(page: Page, console: ConsoleProcess) -> None:
    await page.goto(f"{console.url}/keys")
    await page.get_by_role("button", name="Revoke test").click()
    await page.get_by_role("button", name="Revoke", exact=True).click()
    await expect(page.get_by_text("revoked", exact=True)).to_be_visible()
    await page.get_by_role("button", name="New API key").click()
    await page.get_by_label("What is it for?").fill("crm")
    await page.get_by_role("checkbox", name="Read calls and transcripts").click()
    await page.get_by_role("button", name="Make the key").click()
    secret = await page.locator(".once .once-secret").inner_text()
    async with console.client(authorization=f"Bearer {secret}") as program:
        answer = await program.get("/api/v1/keys")
        assert answer.status_code == 403 and "keys:edit" in answer.text
        assert (await program.get("/api/v1/calls")).status_code == 200
    await page.get_by_role("button", name="I have kept it").click()


async def _check_the_log(page: Page, url: str) -> None:
    await page.goto(f"{url}/audit?action=user")
    await expect(page.get_by_text("user.create").first).to_be_visible()
    assert await page.get_by_text("key.create").count() == 0
    await page.get_by_role("button", name="Check the log").click()
    await page.get_by_role("button", name="Check", exact=True).click()
    await expect(page.get_by_text("rows are as they were written")).to_be_visible()


async def _end_other_sessions(page: Page, open_elsewhere: Page, url: str) -> None:
    await page.goto(f"{url}/account")
    await page.get_by_role("button", name="End all others").click()
    await open_elsewhere.wait_for_url(re.compile(r"/login"))
    await page.get_by_role("button", name="हिन्दी").click()
    await expect(page.get_by_text("मेरा खाता").first).to_be_visible()


async def _see_nothing(page: Page, url: str) -> None:
    """As a viewer."""
    for path in ("users", "keys", "tenants", "audit"):
        await page.goto(f"{url}/{path}")
        await expect(page.get_by_text("does not allow this")).to_be_visible()
    assert await page.get_by_role("link", name="Audit log").count() == 0
