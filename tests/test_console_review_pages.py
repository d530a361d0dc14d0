"""Knowledge, flags and rules as somebody uses them, in a real browser."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from knowledge_servers import KEY, EmbedProcess
from playwright.async_api import Page, expect
from review_kit import helpline, log_call
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.admin.services import flags
from appliance.events import Flag
from appliance.jobs.documents import read
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.store.base_views import list_bases_of
from appliance.store.database import open_engine
from appliance.store.document_views import list_documents
from appliance.store.flags import Wanted, add_flags
from tests.conftest import TEMPLATE, drop_database, make_database
from tests.console_kit import ConsoleProcess, chromium, console_on, cookie, page_of, person
from tests.review_console_kit import OPERATOR

pytestmark = pytest.mark.server

FEE = "what is the late fee"
RIGHT = "The late fee is ninety rupees from the eleventh on."
HOSTILE = "<img src=x onerror=window.hurt=1>.md"
FLAG = Flag(
    "ab" * 32, datetime.now(UTC), "call-1", 2, "asha", 1, "helpline", 1, "guard", "agent",
    "grounding.fact", "grounding", "high", "flagged", "two hundred", FEE,
    "The late fee is two hundred rupees.",
)  # fmt: skip


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """One for all tests here, as is the console."""
    name = f"t{uuid.uuid4().hex[:12]}"
    make_database(postgres, name, TEMPLATE)
    yield postgres.url.rpartition("/")[0] + f"/{name}"
    drop_database(postgres, name)


@pytest.fixture(scope="module")
def console(
    tmp_path_factory: pytest.TempPathFactory, database: str, embed_process: EmbedProcess
) -> Iterator[ConsoleProcess]:
    """``ivr admin``, whose Redis is away."""
    environment = {
        "IVR_DATABASE__URL": database,
        "IVR_REDIS__URL": "redis://127.0.0.1:1/0",
        "IVR_ENGINES__EMBED__URLS": orjson.dumps([embed_process.url]).decode(),
        "IVR_ENGINES__KEY": KEY,
    }
    process = ConsoleProcess(tmp_path_factory.mktemp("console"), environment)
    try:
        process.open()
        yield process
    finally:
        process.close()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """On the database that all tests here share."""
    engine = open_engine(database)
    yield engine
    await engine.dispose()


@asynccontextmanager
async def window(engine: AsyncEngine, console: ConsoleProcess, role: Role) -> AsyncIterator[Page]:
    """A browser window of somebody of that role."""
    who = await person(engine, role)
    token = await cookie(engine, who, console.settings)
    async with chromium() as browser, page_of(browser, console.url, token) as page:
        yield page


async def test_a_document_is_dropped_read_and_found(
    engine: AsyncEngine, console: ConsoleProcess, embed_process: EmbedProcess, tmp_path: Path
) -> None:
    await helpline(engine, tmp_path, embed_process.url)
    url = console.url
    async with window(engine, console, Role.ADMIN) as page:
        (before,) = await list_bases_of(engine, None)
        await page.goto(f"{url}/knowledge")
        await page.get_by_role("link", name="helpline").click()
        await expect(page.get_by_role("link", name="faq.md")).to_be_visible()
        sentence = b"# Gold\n\n### Do you sell gold?\nNo, we sell broadband only.\n"
        await page.locator("input[type=file]").set_input_files(
            [
                {"name": HOSTILE, "mimeType": "text/html", "buffer": sentence},
                {"name": "empty.md", "mimeType": "text/markdown", "buffer": b""},
            ]
        )
        await expect(page.get_by_text("This document is empty.")).to_be_visible()
        row = page.get_by_role("row").filter(has_text=HOSTILE)
        await expect(row.get_by_text("waiting")).to_be_visible()
        found = await list_documents(engine, "helpline", [HOSTILE])
        await read(console.settings, found[0].id)
        await expect(row.get_by_text("in force")).to_be_visible()  # by itself
        head = page.get_by_text(f"version {before.version + 1}", exact=True)
        await expect(head).to_be_visible()
        assert await page.evaluate("window.hurt") is None

        await page.get_by_role("tab", name="Try a question").click()
        await page.get_by_label("A caller's question").fill("do you sell gold")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("sure enough to answer")).to_be_visible()
        await expect(page.get_by_text("No, we sell broadband only.").first).to_be_visible()
        await expect(page.get_by_text("meaning: place 1").first).to_be_visible()

        await page.get_by_role("tab", name="Documents").click()
        await row.get_by_role("button", name="Remove").click()
        await expect(page.get_by_text("It is what Asha answers from.")).to_be_visible()
        await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await expect(row).to_have_count(0)
    (after,) = await list_bases_of(engine, None)
    assert (after.version, after.passages) == (before.version + 2, before.passages)


async def test_a_flag_is_looked_at_mended_and_closed_by_keys(
    engine: AsyncEngine, console: ConsoleProcess, embed_process: EmbedProcess, tmp_path: Path
) -> None:
    agent = await helpline(engine, tmp_path, embed_process.url)
    await log_call(engine, agent, [("hello", "Hi."), (FEE, FLAG.answer)])
    low = replace(FLAG, id="cd" * 32, severity="low", phrase="<b>rude</b>", answer="<b>rude</b> x")
    async with engine.begin() as connection:
        await add_flags(connection, [FLAG, low])
    url = console.url
    async with window(engine, console, Role.REVIEWER) as page:
        await page.goto(f"{url}/flags")
        await expect(page.locator("mark")).to_have_text("two hundred")
        await page.keyboard.press("j")
        await expect(page.locator("mark")).to_have_text("<b>rude</b>")
        async with console_on(engine, console.settings) as given:  # somebody else is quicker
            await flags.decide(given, OPERATOR, low.id, "confirmed")
        await page.keyboard.press("d")
        await expect(page.get_by_text("was quicker")).to_be_visible()
        await page.keyboard.press("k")
        await expect(page.locator("mark")).to_have_text("two hundred")
        await page.keyboard.press("e")
        await page.keyboard.type(RIGHT)  # at once: no letter of it is a command
        await expect(page.get_by_label("The right answer")).to_have_value(RIGHT)
        await page.get_by_role("button", name="Put it into the knowledge").click()
        await expect(page.locator(".review-side").nth(1).get_by_text(RIGHT)).to_be_visible()
        await page.get_by_label("Note").fill("mended")
        await page.get_by_role("button", name="It was wrong").click()
        await expect(page.get_by_text("1 flags")).to_be_visible()
        async with console_on(engine, console.settings) as given:
            closed = (await flags.queue(given, OPERATOR, Wanted(state="confirmed"))).flags
    notes = {one.flag.id: (one.decided_by.partition("-")[0], one.note) for one in closed}
    assert notes == {FLAG.id: ("reviewer", "mended"), low.id: ("operator", "")}


async def test_a_rule_is_tried_and_kept_and_one_of_everybody_is_only_read(
    engine: AsyncEngine, console: ConsoleProcess, embed_process: EmbedProcess, tmp_path: Path
) -> None:
    await helpline(engine, tmp_path, embed_process.url)
    url = console.url
    async with window(engine, console, Role.ADMIN) as page:
        await page.goto(f"{url}/rules")
        await page.get_by_role("button", name="New rule").click()
        await page.get_by_role("dialog").get_by_label("Words or pattern").fill("free gold")
        await page.get_by_label("Try it on a sentence").fill("there is FREE  gold for all")
        await page.keyboard.press("Enter")
        await expect(page.locator("mark")).to_have_text("FREE gold")
        await page.get_by_role("button", name="Keep it").click()
        row = page.get_by_role("row").filter(has_text="free gold")
        await expect(row.get_by_text("Asha")).to_be_visible()
        await row.get_by_label("In force").click()
        await expect(row.get_by_role("switch")).to_have_attribute("aria-checked", "false")
