"""The live page in a real browser: a call placed, watched, listened to, told something, ended."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.admin.gate import COOKIE
from appliance.settings import Settings
from tests.console_kit import ConsoleProcess, chromium, cookie, page_of, person
from tests.live_kit import LiveWorker, live_settings, until
from tests.review_console_kit import ACME, ZEN, add_tenants, agent_in, audited

pytestmark = pytest.mark.server

PICTURES = os.environ.get("IVR_TEST_PICTURES", "")
"""A folder for screenshots, for somebody who wants to look."""
HOSTILE = "<img src=x onerror=document.title='broken'>"


@pytest.fixture
async def worker(
    tmp_path: Path, database_url: str, engine: AsyncEngine
) -> AsyncIterator[tuple[LiveWorker, Settings]]:
    await add_tenants(engine)
    mine = await agent_in(engine, ACME, "sunrise", greeting="Welcome to Sunrise.")
    other = await agent_in(engine, ZEN, "zenith", greeting="Namaste.", language="hi")
    settings = live_settings(tmp_path / "var", url=database_url)
    worker = LiveWorker(settings, settings.worker.port, (mine, other))
    await worker.start()
    yield worker, settings
    await worker.stop()


@pytest.fixture
async def console(
    worker: tuple[LiveWorker, Settings], tmp_path: Path, database_url: str
) -> AsyncIterator[ConsoleProcess]:
    _, settings = worker
    environment = {
        "IVR_DATABASE__URL": database_url,
        "IVR_WORKER__PORT": str(settings.worker.port),
        "IVR_SWITCH__API_PORT": str(settings.switch.api_port),
        "IVR_ADMIN__REQUESTS_A_MINUTE": "6000",
    }
    process = ConsoleProcess(tmp_path, environment)
    try:
        await asyncio.to_thread(process.open)
        yield process
    finally:
        await asyncio.to_thread(process.close)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium("--autoplay-policy=no-user-gesture-required") as found:
        yield found


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.wait_for_timeout(400)
        await page.screenshot(path=f"{PICTURES}/{name}.png")


async def test_a_call_is_watched_listened_to_told_something_and_ended(
    worker: tuple[LiveWorker, Settings],
    console: ConsoleProcess,
    browser: Browser,
    engine: AsyncEngine,
) -> None:
    place, _ = worker
    admin = await person(engine, Role.ADMIN, ACME)
    token = await cookie(engine, admin, console.settings)
    async with page_of(browser, console.url, token) as page:
        await page.goto(f"{console.url}/live")
        await expect(page.get_by_text("No call in progress.")).to_be_visible()
        await picture(page, "live-empty")
        call, other = await place.ring("sunrise"), await place.ring("zenith")
        row = page.locator(f'[data-call="{call.call_id}"]')
        await expect(row).to_contain_text("listening")
        await expect(row).to_contain_text("Welcome to Sunrise.")
        await row.focus()
        await page.keyboard.press("Enter")
        talk = page.get_by_role("log")
        await expect(talk).to_contain_text("Welcome to Sunrise.")
        saying = asyncio.create_task(call.say("when are you open on Sunday please"))
        await expect(talk).to_contain_text(re.compile("when are .*…"))  # while it is being said
        await saying
        await expect(talk).to_contain_text("We are open.")
        await expect(talk).to_contain_text(" ms")
        await expect(page.locator('[data-action="transfer"]')).to_be_disabled()
        await page.locator('[data-action="listen"]').click()
        await expect(page.get_by_text("You hear this call; nobody hears you.")).to_be_visible()
        await picture(page, "live-call")
        await page.locator('[data-action="say"]').click()
        await page.get_by_role("dialog").get_by_label("Tell the agent").fill(HOSTILE)
        await page.keyboard.press("Enter")
        await expect(talk).to_contain_text(HOSTILE)
        assert await page.title() == "Live · IVR"
        await page.locator('[data-action="hang_up"]').click()
        await page.get_by_role("dialog").get_by_role("button", name="Hang up").click()
        await until(lambda: call.stream.cause == "NORMAL_CLEARING")
        await expect(page.locator(".live-head")).to_contain_text("ended")
        assert await page.locator(f'[data-call="{other.call_id}"]').count() == 0
    actions = [action for _, action, *_ in await audited(engine) if action.startswith("live.")]
    assert actions == ["live.listen", "live.say", "live.hangup"]


async def test_the_operator_sees_all_calls_and_the_box(
    worker: tuple[LiveWorker, Settings],
    console: ConsoleProcess,
    browser: Browser,
    engine: AsyncEngine,
) -> None:
    place, _ = worker
    operator = await person(engine)
    token = await cookie(engine, operator, console.settings)
    calls = [await place.ring(agent) for agent in ("sunrise", "zenith", "sunrise")]
    async with page_of(browser, console.url, token, dark=True) as page:
        await page.goto(f"{console.url}/live?call={calls[0].call_id}")
        await expect(page.locator("[data-call]")).to_have_count(3)
        await expect(page.locator('[data-stat="live"]')).to_have_text("3 / 100")
        await expect(page.get_by_role("log")).to_contain_text("Welcome to Sunrise.")
        await calls[0].say("where are you")
        await picture(page, "live-dark")
        await page.get_by_label("Search").fill("zenith")
        await expect(page.locator("[data-call]")).to_have_count(1)
        await page.goto(f"{console.url}/system")
        await expect(page.locator('[data-alarm="stage-away"]').first).to_be_visible()
        await expect(page.get_by_text("3 / 100 calls")).to_be_visible()
        await picture(page, "system-dark")
    async with page_of(browser, console.url, token, language="hi-IN") as page:
        await page.goto(f"{console.url}/system")
        await expect(page.locator("[data-stage]").first).to_be_visible()
        await picture(page, "system")


async def test_events_and_sound_for_programs(
    worker: tuple[LiveWorker, Settings], console: ConsoleProcess, engine: AsyncEngine
) -> None:
    place, _ = worker
    admin, other = await person(engine, Role.ADMIN, ACME), await person(engine, Role.ADMIN, ZEN)
    token = await cookie(engine, admin, console.settings)
    call = await place.ring("sunrise")
    headers = {"Cookie": f"{COOKIE}={token}", "Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(verify=False, base_url=console.url, timeout=20) as http:
        async with http.stream("GET", "/api/v1/live/events", headers=headers) as stream:
            lines = stream.aiter_lines()
            told = await anext(line async for line in lines if line.startswith("data: "))
            seen = orjson.loads(told.removeprefix("data: "))
            if not seen["calls"]:
                told = await anext(line async for line in lines if line.startswith("data: "))
                seen = orjson.loads(told.removeprefix("data: "))
            assert [one["call_id"] for one in seen["calls"]] == [call.call_id]
        theirs = {"Cookie": f"{COOKIE}={await cookie(engine, other, console.settings)}"}
        theirs["Sec-Fetch-Site"] = "same-origin"
        assert (await http.get("/api/v1/live/calls", headers=theirs)).json()["calls"] == []
    import aiohttp

    path = f"{console.url}/api/v1/live/calls/{call.call_id}/sound"
    origin = {"Origin": console.url}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(path, headers=headers | origin, ssl=False) as sound:
            assert len(await sound.receive_bytes(timeout=10)) == 3201
        async with session.ws_connect(path, headers=theirs | origin, ssl=False) as sound:
            assert (await sound.receive(timeout=10)).data == 1008
        for wrong in ({}, headers | {"Origin": "https://evil.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(path, headers=wrong, ssl=False)
