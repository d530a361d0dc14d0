"""What somebody writes or presses stays what it is, while the page around it changes or its browser is
not heard for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Permission, Role
from tests.console_kit import ConsoleProcess, chromium, cookie, key, page_of, person

STALL_MS = 10_000
"""NiceGUI, left as it is, takes a browser for gone after 6 s and forgets its page 3 s later."""
STALL = "ms => { const end = Date.now() + ms; while (Date.now() < end); }"


@pytest.fixture
async def console(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> AsyncIterator[ConsoleProcess]:
    process = ConsoleProcess(tmp_path, {"IVR_DATABASE__URL": database_url})
    await asyncio.to_thread(process.open)
    try:
        yield process
    finally:
        await asyncio.to_thread(process.close)


@pytest.mark.server
async def test_a_form_outlives_a_stall(engine: AsyncEngine, console: ConsoleProcess) -> None:
    token = await cookie(engine, await person(engine, Role.OPERATOR), console.settings)
    async with chromium() as browser, page_of(browser, console.url, token) as page:
        await page.goto(f"{console.url}/trunks")
        await page.get_by_role("button", name="New telephone").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Extension: 2 to 6 digits").fill("1002")
        await page.evaluate(STALL, STALL_MS)
        await dialog.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("It is shown once.")).to_be_visible()
        await page.get_by_role("button", name="I have written it down").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_text("1002", exact=True)).to_be_visible()


@pytest.mark.server
async def test_a_cell_stays_itself_while_its_page_changes(
    engine: AsyncEngine, console: ConsoleProcess
) -> None:
    """A button that is replaced between press and release was not clicked."""
    boss = await person(engine, Role.OPERATOR)
    await key(engine, boss, [Permission.CALLS_READ])
    token = await cookie(engine, boss, console.settings)
    async with chromium() as browser, page_of(browser, console.url, token) as page:
        await page.goto(f"{console.url}/keys")
        button = await page.get_by_role("button", name="Revoke test").element_handle()
        await button.focus()
        await page.get_by_role("button", name="New API key").click()
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert await button.evaluate("button => button.isConnected")
        await button.click()
        await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("revoked", exact=True)).to_be_visible()
