"""The doctor's checks in the console: the API, and the System page in a real browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.account import set_language
from appliance.access.roles import PERMISSIONS, Role
from appliance.admin.services import doctor
from appliance.admin.ui.words import translator
from appliance.errors import UserError
from appliance.ops.doctor.check import Group, State
from appliance.ops.doctor.checks import CHECKS
from appliance.settings import Settings
from tests.console_kit import (
    ConsoleProcess,
    chromium,
    console_on,
    cookie,
    page_of,
    person,
)
from tests.review_console_kit import actor, api_as

PICTURES = os.environ.get("IVR_TEST_PICTURES", "")


async def test_a_round_is_made_once_for_all_who_ask(engine: AsyncEngine, tmp_path: Path) -> None:
    async with console_on(engine, Settings(data_dir=tmp_path)) as console:
        operator = actor(Role.OPERATOR, None)
        assert doctor.last(console, operator) is None
        first, second = await asyncio.gather(
            doctor.check(console, operator), doctor.check(console, operator)
        )
        assert first is second and doctor.last(console, operator) is first
        assert not first.good and first.counts[State.GOOD] > 5
        for role in (Role.ADMIN, Role.VIEWER):
            with pytest.raises(UserError):
                await doctor.check(console, actor(role))


async def test_the_api(engine: AsyncEngine, tmp_path: Path) -> None:
    async with console_on(engine, Settings(data_dir=tmp_path)) as console:
        async with api_as(console, actor(Role.OPERATOR, None)) as api:
            assert (await api.get("/system/checks")).json()["at_s"] == 0
            found = (await api.post("/system/checks")).json()
            assert found == (await api.get("/system/checks")).json()
        codes = {one["code"]: one for one in found["findings"]}
        assert codes["no-worker"]["state"] == "bad" and "ivr worker" in codes["no-worker"]["remedy"]
        assert codes["schema"]["state"] == "good" and codes["schema"]["group"] == "database"
        async with api_as(console, actor(Role.ADMIN)) as api:
            assert (await api.post("/system/checks")).status_code == 403


@pytest.fixture
async def process(database_url: str, tmp_path: Path) -> AsyncIterator[ConsoleProcess]:
    console = ConsoleProcess(tmp_path, {"IVR_DATABASE__URL": database_url})
    try:
        await asyncio.to_thread(console.open)
        yield console
    finally:
        await asyncio.to_thread(console.close)


@pytest.mark.server
async def test_the_system_page_checks_again(process: ConsoleProcess, engine: AsyncEngine) -> None:
    operator = await person(engine)
    token = await cookie(engine, operator, process.settings)
    async with chromium() as browser:
        async with page_of(browser, process.url, token) as page:
            await page.goto(f"{process.url}/system")
            await expect(page.get_by_text("Not looked at yet", exact=False)).to_be_visible()
            await page.get_by_role("button", name="Check again").click()
            row = page.locator('[data-check="numbers"]')
            await expect(row).to_contain_text("No number is answered by an agent", timeout=30_000)
            await expect(page.locator('[data-check="schema"]')).to_be_hidden()
            await page.get_by_text("What is well").click()
            await expect(page.locator('[data-check="schema"]')).to_be_visible()
            if PICTURES:
                await page.screenshot(path=f"{PICTURES}/doctor.png", full_page=True)
        await set_language(engine, operator.actor, "hi")
        async with page_of(browser, process.url, token, language="hi-IN") as page:
            await page.goto(f"{process.url}/system")
            hindi = "किसी नंबर पर कोई एजेंट उत्तर नहीं देता"
            await expect(page.locator('[data-check="numbers"]')).to_contain_text(hindi)
            if PICTURES:
                await page.screenshot(path=f"{PICTURES}/doctor-hi.png", full_page=True)


def test_every_check_has_a_hindi_title() -> None:
    hindi = translator("hi")
    titles = {check.title for check in CHECKS} - {"GPU", "SIP"}
    words = titles | {group.value for group in Group} | {state.value for state in State}
    assert [word for word in sorted(words) if hindi(word) == word] == []


def test_the_permission_is_that_of_the_page() -> None:
    assert [r for r in Role if "system:read" in PERMISSIONS[r]] == [Role.OPERATOR]
