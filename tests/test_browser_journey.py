"""An admin's day in a real browser, on a whole ``ivr up``: log in, publish an agent, upload a document
and find it, place a call from the page, watch it live, play its recording, review a flag."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from appliance.audio import silence, write_wav
from tests.console_kit import PASSWORD, chromium, page_of
from tests.spoken import RATE_HZ, say
from tests.upsite_kit import UpSite

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

AGENT = "sunrise"
GREETING = "Hello from the console."
PARKING = "# Parking\n\nParking behind the Pune office costs forty rupees a day.\n"
QUESTION = "What does parking cost behind the Pune office?"
PICTURES = os.environ.get("IVR_SCREENSHOTS", "")
"""Folder for a picture of each step."""
WHILE_GREETED_MS = 4000
SLOW_MS = 60_000
"""What goes through the jobs, or through a whole call."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(open_tmp: Path) -> AsyncIterator[UpSite]:
    place = UpSite(open_tmp / "console", open_tmp / "embedded-console", {})
    try:
        await asyncio.to_thread(place.open)
        await asyncio.to_thread(place.until, "admin", "= console at")
        command = ("users", "create", "asha", "--role", "operator", "--password-stdin")
        await asyncio.to_thread(place.ivr, *command, given=PASSWORD)
        yield place
    finally:
        await asyncio.to_thread(place.close)
    assert "Traceback" not in place.log("admin"), place.log("admin")
    assert PASSWORD not in place.log()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """Chromium, whose microphone hears a question after the greeting."""
    sound = tmp_path_factory.mktemp("said") / "question.wav"
    question = say("what are your opening hours")
    write_wav(
        sound, [silence(WHILE_GREETED_MS, RATE_HZ) + question + silence(60_000, RATE_HZ)], RATE_HZ
    )
    async with chromium(f"--use-file-for-fake-audio-capture={sound}%noloop") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(site: UpSite, browser: Browser) -> AsyncIterator[Page]:
    """Asha's window."""
    async with page_of(browser, url_of(site)) as window:
        yield window


def url_of(site: UpSite) -> str:
    return f"https://127.0.0.1:{site.ports['admin']}"


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.wait_for_timeout(500)
        await page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


async def test_log_in(page: Page, site: UpSite) -> None:
    await page.goto(url_of(site) + "/agents")
    await page.fill("input[name=login]", "asha")
    await page.fill("input[name=password]", "not the password")
    await page.keyboard.press("Enter")
    await expect(page.locator("body")).to_contain_text("password")
    assert "/login" in page.url
    await page.fill("input[name=login]", "asha")
    await page.fill("input[name=password]", PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/agents")
    await expect(page.get_by_role("main")).to_contain_text("Sunrise")


async def test_publish_an_agent(page: Page, site: UpSite) -> None:
    await page.goto(f"{url_of(site)}/agents/{AGENT}")
    greeting = page.get_by_label("Greeting", exact=True).first
    await greeting.fill(GREETING)
    await expect(page.get_by_text("saved", exact=True)).to_be_visible()
    await picture(page, "agent-draft")
    await page.get_by_role("button", name="Publish…").click()
    await page.get_by_label("What did you change, and why?").fill("a shorter greeting")
    await picture(page, "agent-publish")
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_role("main")).to_contain_text("version 2 answers")
    await asyncio.to_thread(site.until, "worker", "version 2 is warm")


async def test_upload_a_document_and_find_it(page: Page, site: UpSite, tmp_path: Path) -> None:
    file = tmp_path / "parking.md"
    file.write_text(PARKING)
    await page.goto(f"{url_of(site)}/knowledge")
    await page.get_by_role("link", name="sunrise-broadband").click()
    await page.locator("input[type=file]").set_input_files(file)
    row = page.get_by_role("row", name="parking.md")
    await expect(row).to_contain_text("in force", timeout=SLOW_MS)
    await picture(page, "knowledge-base")
    await page.get_by_role("tab", name="Try a question").click()
    await page.get_by_label("Question").fill(QUESTION)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("forty rupees").first).to_be_visible(timeout=SLOW_MS)
    await picture(page, "knowledge-search")


async def test_place_a_call_from_the_page_and_watch_it_live(
    page: Page, site: UpSite, browser: Browser
) -> None:
    await page.goto(f"{url_of(site)}/agents/{AGENT}/try")
    await page.get_by_role("button", name="Call the agent").click()
    await expect(page.get_by_role("main")).to_contain_text(GREETING, timeout=SLOW_MS)
    # how well the small recogniser hears is another test's matter
    await expect(page.locator(".bubble--caller").first).to_be_visible(timeout=SLOW_MS)
    cookies = await page.context.cookies()
    (token,) = [c["value"] for c in cookies if c["name"].startswith("__Host-")]
    async with page_of(browser, url_of(site), token) as other:
        await other.goto(url_of(site) + "/live")
        await expect(other.get_by_role("main")).to_contain_text("Sunrise", timeout=SLOW_MS)
        await picture(other, "live")
    await page.get_by_label("Say in writing").fill(QUESTION)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_contain_text("forty rupees", timeout=SLOW_MS)
    await picture(page, "try-it")
    await page.get_by_role("button", name="Hang up").click()
    await page.get_by_role("link", name="Open this call").click()
    await page.wait_for_url("**/calls/*")


async def test_play_the_recording(page: Page, site: UpSite) -> None:
    await expect(page.get_by_role("main")).to_contain_text(GREETING)
    play = page.get_by_role("button", name="Play").first
    async with asyncio.timeout(SLOW_MS / 1000):
        while not await play.is_enabled():  # it is written, and beeped, behind the call
            await page.wait_for_timeout(2000)
            await page.reload()
            await expect(play).to_be_visible()
    await play.click()
    await page.wait_for_function(
        "() => [...document.querySelectorAll('audio')].some(a => a.currentTime > 0.3)"
    )
    await picture(page, "call")


async def test_review_a_flag(page: Page, site: UpSite) -> None:
    await page.get_by_role("button", name="This answer was wrong").last.click()
    await page.get_by_label("What is wrong with it?").fill("is it right?")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/flags?flag=*")
    await expect(page.get_by_role("main")).to_contain_text("is it right?", timeout=SLOW_MS)
    await picture(page, "flags")
    await page.get_by_role("button", name="Nothing wrong").first.click()
    await expect(page.get_by_role("main")).to_contain_text("Nothing to look at.")
    (flag,) = (await asyncio.to_thread(site.ask, "flags", "list", "--state", "dismissed"))["flags"]
    assert flag["decided_by"] == "asha"


async def test_what_she_did_stands_in_the_audit_log(page: Page, site: UpSite) -> None:
    await page.goto(url_of(site) + "/audit")
    for action in ("agent.publish", "call.listen", "flag.dismiss"):
        await expect(page.get_by_role("main")).to_contain_text(action)
    await picture(page, "audit")
    verified = await asyncio.to_thread(site.ask, "audit-log", "verify")
    assert verified["rows"] > 5 and not verified.get("first_bad")
