"""The editor of an agent in a real browser: typed, saved by itself, contested, published, undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.events import Agent
from appliance.store.agents import load_agent, publish_agent
from appliance.store.drafts import load_draft
from tests.console_kit import ConsoleProcess, Person, chromium, cookie, page_of, person
from tests.knowledge_servers import KEY
from tests.serving import serving

pytestmark = pytest.mark.server

HOSTILE = '<img src=x onerror="window.hurt=1"> {{ 7*7 }} "\'</script><script>window.hurt=2</script>'
HELP = Agent(
    id="help", version=0, name="Help <b>desk</b>", greeting="Good morning.", prompt=HOSTILE,
    recording_notice="This call is recorded.",
)  # fmt: skip


class Desk:
    """The console with one agent, and people who look at it."""

    def __init__(self, engine: AsyncEngine, console: ConsoleProcess, browser: Browser) -> None:
        self.engine, self.console, self.browser = engine, console, browser

    async def token(self, who: Person) -> str:
        return await cookie(self.engine, who, self.console.settings)


@pytest.fixture
async def desk(engine: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    await publish_agent(engine, HELP)
    async with serving(tmp_path, "tts", "--engine", "flite") as tts, chromium() as browser:
        urls = {"IVR_ENGINES__TTS__URLS": f'["{tts.url}"]', "IVR_ENGINES__KEY": KEY}
        console = ConsoleProcess(tmp_path, {"IVR_DATABASE__URL": database_url} | urls)
        await asyncio.to_thread(console.open)
        try:
            yield Desk(engine, console, browser)
        finally:
            await asyncio.to_thread(console.close)


async def open_agent(page: Page, desk: Desk, tab: str = "") -> None:
    await page.goto(f"{desk.console.url}/agents/help?tab={tab}")
    await expect(page.get_by_role("tab", name="What it says")).to_be_visible()
    await expect(page.get_by_role("button", name="warning").or_(
        page.get_by_role("button", name="No problem"))).to_be_visible()  # fmt: skip


async def test_typed_saved_contested_published_rolled_back(desk: Desk) -> None:
    asha = await person(desk.engine, Role.ADMIN, login="asha")
    bela = await person(desk.engine, Role.ADMIN, login="bela")
    viewer = await person(desk.engine, Role.VIEWER)
    url = desk.console.url
    async with (
        page_of(desk.browser, url, await desk.token(asha)) as page,
        page_of(desk.browser, url, await desk.token(bela)) as other,
    ):
        await page.goto(f"{url}/agents")
        await page.get_by_role("link", name="Help <b>desk</b>").click()
        await open_agent(other, desk)
        greeting = page.get_by_label("Greeting", exact=True)
        await greeting.fill("Good evening.")
        await expect(page.get_by_text("saved", exact=True)).to_be_visible()
        draft = await load_draft(desk.engine, "help")
        assert draft is not None and draft.greeting == "Good evening."

        # the second editor had opened what was there before
        await other.get_by_label("Goodbye", exact=True).fill("Bye!")
        told = other.get_by_role("alert").filter(has_text="asha changed this draft")
        await expect(told).to_be_visible()
        draft = await load_draft(desk.engine, "help")
        assert draft is not None and draft.goodbye == HELP.goodbye
        assert await other.get_by_label("Goodbye", exact=True).input_value() == "Bye!"
        await other.get_by_role("button", name="Load theirs").click()
        await expect(other.get_by_label("Greeting", exact=True)).to_have_value("Good evening.")

        # a voice is heard as on the telephone
        async with page.expect_response("**/sample?**") as heard:
            await page.get_by_role("button", name="Listen, as on the telephone").first.click()
        assert (await heard.value).status in (200, 206)

        await page.get_by_role("button", name="Publish…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("morning", exact=True)).to_have_class("diff-gone")
        await expect(dialog.get_by_text("evening", exact=True)).to_have_class("diff-new")
        await dialog.get_by_label("What did you change, and why?").fill("It is late.")
        await dialog.get_by_role("button", name="Publish", exact=True).click()
        await expect(page.get_by_text("version 2 answers", exact=True)).to_be_visible()
        now = await load_agent(desk.engine, "help")
        assert now is not None and (now.version, now.greeting) == (2, "Good evening.")

        await open_agent(page, desk, "versions")
        await expect(page.get_by_text("It is late.")).to_be_visible()
        await page.get_by_role("button", name="Roll back to this").click()
        await page.get_by_role("button", name="Roll back", exact=True).click()
        await expect(page.get_by_text("version 3 answers", exact=True)).to_be_visible()
        now = await load_agent(desk.engine, "help")
        assert now is not None and (now.version, now.greeting) == (3, "Good morning.")
        assert await page.evaluate("window.hurt") is None

    async with page_of(desk.browser, url, await desk.token(viewer)) as page:
        await open_agent(page, desk)
        await expect(page.get_by_label("Greeting", exact=True)).to_be_disabled()
        await expect(page.get_by_role("button", name="Publish…")).to_have_count(0)
        assert await page.get_by_label("Instructions").input_value() == HOSTILE
        assert await page.evaluate("window.hurt") is None
