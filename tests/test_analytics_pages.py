"""Analytics and webhooks in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from tests.calls_kit import a_call, a_turn, put, two_tenants
from tests.console_kit import ConsoleProcess, Person, chromium, cookie, page_of, person
from tests.webhook_receiver import Receiver

pytestmark = pytest.mark.server

EVIL = "<img src=x onerror=alert(1)>{{ 7*7 }}"
WAIT_MS = 40_000


@pytest.fixture
async def console(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> AsyncIterator[ConsoleProcess]:
    await two_tenants(engine)
    environment = {
        "IVR_DATABASE__URL": database_url,
        "IVR_ADMIN__WEBHOOK_NETWORKS": '["127.0.0.0/8"]',
    }
    process = ConsoleProcess(tmp_path, environment)
    await asyncio.to_thread(process.open)
    yield process
    await asyncio.to_thread(process.close)


async def _as(
    browser: Browser, engine: AsyncEngine, console: ConsoleProcess, role: Role
) -> tuple[Person, str]:
    who = await person(engine, role)
    return who, await cookie(engine, who, console.settings)


async def test_figures_filters_tables_and_csv(engine: AsyncEngine, console: ConsoleProcess) -> None:
    began = datetime.now(UTC) - timedelta(minutes=5)
    one = a_call("c1", started_at=began, ended_at=began + timedelta(minutes=2))
    two = a_call("c2", started_at=began, ended_at=began, agent_id="theirs", ended_by="agent")
    unknown = "I am sorry, I do not have that information."
    await put(engine, one, two, a_turn(one, 1, 400), a_turn(one, 2, 800, said=EVIL, reply=unknown))
    async with chromium() as browser:
        _, token = await _as(browser, engine, console, Role.ADMIN)
        async with page_of(browser, console.url, token) as page:
            page.set_default_timeout(WAIT_MS)
            await page.goto(f"{console.url}/analytics")
            tile = page.locator(".stat", has_text="Containment").locator(".stat-value")
            await expect(tile).to_have_text("100%", timeout=WAIT_MS)  # theirs is another tenant's
            await expect(page.locator(".question-cell")).to_have_text(EVIL, timeout=WAIT_MS)
            await expect(page.get_by_text("By agent").first).to_be_visible()
            panel = page.locator(".chart-panel", has_text="Gap over time")
            await panel.locator(".q-toggle").click()
            await expect(panel.get_by_role("columnheader", name="p95 ms")).to_be_visible()
            async with page.expect_download() as download:
                await panel.get_by_role("button", name="Download CSV").click()
            content = Path(await (await download.value).path()).read_text("utf-8-sig")
            assert content.splitlines()[0] == "Time,answers,p50 ms,p95 ms,p99 ms"
            assert content.splitlines()[1].endswith(",2,410.0,810.0,810.0")
            await page.get_by_role("button", name="30 days").click()
            await page.wait_for_url("**/analytics?period=30d")
            await expect(page.get_by_text("Calls at once and capacity")).to_have_count(0)
            await page.goto(f"{console.url}/analytics?period=custom&first=x")
            await expect(page.get_by_role("alert").first).to_contain_text("2026-11-20")


async def _made(page: Page, console: ConsoleProcess, url: str) -> str:
    await page.goto(f"{console.url}/webhooks")
    await page.get_by_role("button", name="New webhook").click()
    await page.get_by_label("Name", exact=True).fill(EVIL)
    await page.get_by_label("URL", exact=True).fill("http://10.0.0.1/")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("private address")).to_be_visible()  # and the dialog stays
    await page.get_by_label("URL", exact=True).fill(url)
    await page.get_by_role("button", name="Save").click()
    secret = await page.locator(".secret").inner_text()
    await page.get_by_role("button", name="I have it").click()
    return secret


async def test_a_webhook_made_tested_and_sent_again(
    engine: AsyncEngine, console: ConsoleProcess
) -> None:
    receiver = Receiver()
    runner = await receiver.start()
    async with chromium() as browser:
        who, token = await _as(browser, engine, console, Role.ADMIN)
        async with page_of(browser, console.url, token) as page:
            page.set_default_timeout(WAIT_MS)
            receiver.secret = await _made(page, console, receiver.url)
            assert receiver.secret.startswith("whsec_")
            await page.goto(f"{console.url}/webhooks")
            await expect(page.locator(".webhook-name")).to_have_text(EVIL)
            await page.get_by_role("button", name="Send a test").click()
            await expect(page.get_by_text("Delivered: status 200")).to_be_visible()
            assert receiver.got[0]["data"]["sent_by"] == who.login and not receiver.wrong
            receiver.answers = [500]
            await page.get_by_role("button", name="Send a test").click()
            await expect(page.get_by_text("Status 500.").first).to_be_visible()
            await page.get_by_role("button", name="given up", exact=True).click()
            await expect(page.get_by_role("button", name="Look at it")).to_have_count(1)
            look = page.get_by_role("button", name="Look at it")
            await expect(look).to_have_count(1)  # the first test was delivered
            await look.click()
            await expect(page.locator(".payload").first).to_contain_text("webhook.test")
            await page.locator(".dialog").get_by_role("button", name="Close").click()
            await page.get_by_role("button", name="Send again").click()
            await expect(page.get_by_text("It is sent again")).to_be_visible()
            await expect(page.get_by_text("Nothing was given up.")).to_be_visible()
    await runner.cleanup()


async def test_a_viewer_sees_no_webhooks(engine: AsyncEngine, console: ConsoleProcess) -> None:
    async with chromium() as browser:
        _, token = await _as(browser, engine, console, Role.VIEWER)
        async with page_of(browser, console.url, token) as page:
            await page.goto(f"{console.url}/webhooks")
            await expect(page.get_by_text("does not allow this")).to_be_visible(timeout=WAIT_MS)
            await expect(page.get_by_role("button", name="New webhook")).to_have_count(0)
