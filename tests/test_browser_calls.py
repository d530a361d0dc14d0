"""The log and one call in a real browser: filters, playing, seeking, strangers' words, erasing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from tests.calls_kit import EVIL, a_call, a_flag, a_turn, put, record, two_tenants
from tests.console_kit import ConsoleProcess, Person, chromium, cookie, page_of, person

pytestmark = pytest.mark.server
BLANK = """canvas => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size < 3;
}"""


@pytest_asyncio.fixture
async def console(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> AsyncIterator[ConsoleProcess]:
    process = ConsoleProcess(tmp_path, {"IVR_DATABASE__URL": database_url})
    await two_tenants(engine)
    folder = process.settings.recordings_dir
    call = record(folder, a_call("c1", recording="", facts={"name": EVIL}), seconds=30)
    turns = [
        a_turn(call, 1, 400, said=EVIL),
        a_turn(call, 2, 1700, heard="The fee", barged_in=True, failure=EVIL),
    ]
    await put(engine, *turns, a_flag(call, phrase=EVIL), call)
    await put(engine, *(a_call(f"d{number:02}", 20 + number) for number in range(60)))
    slow = a_call("slow", 15, caller="+911140001234")
    await put(engine, a_turn(slow, 1, 2500), slow)
    process.open()
    try:
        yield process
    finally:
        process.close()


async def logged_in(engine: AsyncEngine, console: ConsoleProcess, role: Role) -> str:
    who: Person = await person(engine, role)
    return await cookie(engine, who, console.settings)


async def at_ms(page: Page) -> int:
    return int(await page.locator(".wave-field").get_attribute("aria-valuenow") or -1)


async def test_the_log_and_a_call(engine: AsyncEngine, console: ConsoleProcess) -> None:
    token = await logged_in(engine, console, Role.ADMIN)
    async with chromium("--autoplay-policy=no-user-gesture-required") as browser:
        async with page_of(browser, console.url, token) as page:
            await _filters(page, console.url)
            await _plays(page, console.url)
            await _erases(page)
        async with page_of(
            browser, console.url, await logged_in(engine, console, Role.VIEWER)
        ) as p:
            await p.goto(f"{console.url}/calls/slow")
            await expect(p.get_by_text("What was said")).to_be_visible()
            assert await p.locator("audio").count() == 0
            await expect(p.get_by_role("button", name="Erase")).to_have_count(0)
        other = await person(engine, Role.ADMIN, "acme")
        stranger = await cookie(engine, other, console.settings)
        async with page_of(browser, console.url, stranger) as p:
            await p.goto(f"{console.url}/calls/slow")
            await expect(p.get_by_text("There is no such call.")).to_be_visible()
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT action, subject FROM audit_log ORDER BY id"))
        told = [tuple(row) for row in rows if row[0].startswith(("recording", "call."))]
    assert told == [("call.export", ""), ("recording.listen", "c1"), ("call.erase", "c1")]


async def _filters(page: Page, url: str) -> None:
    await page.goto(f"{url}/calls")
    await expect(page.locator(".log-table tbody tr")).to_have_count(50)
    await page.get_by_role("button", name="Older").click()
    await expect(page.locator(".log-table tbody tr")).to_have_count(12)
    await page.get_by_label("Gap p95 over, ms").fill("2000")
    await expect(page.locator(".log-table tbody tr")).to_have_count(1)
    assert parse_qs(urlsplit(page.url).query) == {"slow": ["2000"]}
    await page.reload()
    await expect(page.locator(".log-table tbody tr")).to_have_count(1)
    href = await page.get_by_role("link", name="Export CSV").get_attribute("href")
    assert href is not None and "slower_than_ms=2000" in href
    exported = await page.request.get(f"{url}{href}")
    assert (await exported.text()).count("\n") == 2
    await page.get_by_label("Gap p95 over, ms").fill("quick")
    await expect(page.get_by_role("alert")).to_contain_text("quick is no number of ms")


async def _plays(page: Page, url: str) -> None:
    await page.goto(f"{url}/calls/c1")
    await expect(page.locator(".bubble--caller").first).to_have_text(EVIL)
    assert await page.locator("img[src='x']").count() == 0
    await expect(page.locator(".call-troubles")).to_contain_text(EVIL)
    await expect(page.locator(".bubble-unheard")).to_have_text("is one hundred rupees.")
    await expect(page.locator(".stages-slowest").last).to_contain_text("language model")
    canvas = page.locator(".wave-canvas")
    await expect(page.locator(".wave-note")).to_have_count(0)
    assert not await canvas.evaluate(BLANK)
    field = page.locator(".wave-field")
    await field.focus()
    await page.keyboard.press("ArrowDown")  # to the first turn, at 10 s
    assert await at_ms(page) == 10
    await expect(page.locator(".turn--now")).to_have_attribute("data-turn", "1")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await expect(field).to_have_attribute("aria-valuenow", "11", timeout=10_000)
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    await page.keyboard.press("End")
    await expect(field).to_have_attribute("aria-valuenow", "30")
    await page.keyboard.press("+")
    await expect(page.get_by_role("button", name="Zoom out")).to_be_enabled()
    await page.locator(".bubble-words--seek").nth(2).click()
    await expect(field).to_have_attribute("aria-valuenow", "20")
    await page.get_by_role("button", name="tariffs.pdf, page 3").first.click()
    await expect(page.get_by_text("The fee is 100 rupees.")).to_be_visible()
    await page.keyboard.press("Escape")


async def _erases(page: Page) -> None:
    await page.get_by_role("button", name="Erase").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Erase").click()
    await dialog.get_by_label("Type ERASE to confirm").fill("erase")
    await dialog.get_by_role("button", name="Erase").click()
    await expect(page.get_by_text("Erased: 1 calls, 1 recordings")).to_be_visible()
    await page.get_by_role("button", name="Back to the log").click()
    await expect(page.locator(".log-table tbody tr")).to_have_count(50)


async def test_a_recording_that_is_being_finished_can_be_played_without_a_reload(
    engine: AsyncEngine, console: ConsoleProcess
) -> None:
    token = await logged_in(engine, console, Role.ADMIN)
    async with chromium() as browser, page_of(browser, console.url, token) as page:
        await page.goto(f"{console.url}/calls")
        now = datetime.now(UTC)
        fresh = a_call("fresh", 2, ended_at=now, started_at=now - timedelta(minutes=2))
        call = record(console.settings.recordings_dir, fresh)
        await put(engine, a_turn(call, 1), call)
        await page.goto(f"{console.url}/calls/fresh")
        await expect(page.get_by_text("The recording is being finished.")).to_be_visible()
        await expect(page.get_by_role("button", name="Play", exact=True)).to_be_disabled()
        await expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
        await expect(page.get_by_text("The recording is being finished.")).to_have_count(0)
        await expect(page.get_by_role("link", name="Download the recording")).to_be_visible()
