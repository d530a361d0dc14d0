"""Numbers, trunks and campaigns in a real browser: what is typed there is kept, and what is hostile is
words. ``SCREENSHOTS=FOLDER`` keeps pictures of the pages."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.events import Agent
from appliance.store import campaigns as store
from appliance.store.agents import publish_agent
from appliance.store.campaigns import CampaignState, ContactState, NewContact
from appliance.store.models import LegRow, NumberRow
from appliance.store.outbound import add_do_not_call
from appliance.store.phonebook import Extension, Queue, Trunk
from appliance.store.trunks import save_extension, save_queue, save_trunk
from tests.console_kit import ConsoleProcess, chromium, cookie, page_of, person

pytestmark = pytest.mark.server
EVIL = "<img src=x onerror=alert(1)>"
LIST = f"Mobile,Name,City\n9811100001,{EVIL},Pune\n9811100002,Brij,Delhi\n12,Short,Agra\n"


@pytest_asyncio.fixture
async def console(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> AsyncIterator[ConsoleProcess]:
    environment = {
        "IVR_DATABASE__URL": database_url, "IVR_SWITCH__CALLING_HOURS": "mon-sun 00:00-24:00",
    }  # fmt: skip
    process = ConsoleProcess(tmp_path, environment)
    await seed(engine)
    process.open()
    try:
        yield process
    finally:
        process.close()


async def seed(engine: AsyncEngine) -> None:
    for name in ("Sunrise", "Billing"):
        await publish_agent(engine, Agent(name.lower(), 1, name))
    now = datetime.now(UTC)
    numbers = [
        {"did": "+918022223333", "agent_id": "sunrise", "hours": "mon-sun 00:00-24:00",
         "closed_text": EVIL, "closed_to": "1001", "overflow_to": "queue:support"},
        {"did": "*", "agent_id": "billing", "hours": "", "closed_text": "", "closed_to": "",
         "overflow_to": ""},
    ]  # fmt: skip
    async with engine.begin() as connection:
        await connection.execute(insert(NumberRow), numbers)
        await connection.run_sync(
            save_trunk,
            Trunk("airtel-a", "127.0.0.1:9", carrier="Airtel", username="911140001234",
                  password="geheim", register=True, caller_id="+911140001234", max_calls=30),
        )  # fmt: skip
        await connection.run_sync(save_extension, Extension("1001", "0" * 32, "Reception"))
        await connection.run_sync(save_queue, Queue("support", ("1001", "+919800011111")))
        leg = {
            "leg_id": "l1", "call_id": "c1", "kind": "callee", "trunk": "airtel-a",
            "callee": "+919811100009", "started_at": now - timedelta(hours=1), "ended_at": now,
            "cause": "NORMAL_TEMPORARY_FAILURE", "cause_code": 41, "sip_status": 503,
        }  # fmt: skip
        await connection.execute(insert(LegRow), [leg])
        await connection.run_sync(add_do_not_call, ["+919811100002"], "asked us", "IN")
        await _campaign(connection, now)


async def _campaign(connection: object, now: datetime) -> None:
    fields = {
        "name": "Dues of May", "agent_id": "billing", "state": CampaignState.RUNNING,
        "created_by": "asha", "running_since": now - timedelta(hours=1), "started_at": now,
        "hours": "mon-sun 00:00-24:00",
    }  # fmt: skip
    id_ = await store.create_campaign(connection, fields)  # type: ignore[arg-type]
    states = [ContactState.REACHED] * 40 + [ContactState.FAILED] * 14 + [ContactState.WAITING] * 66
    new = [
        NewContact(
            f"+9198765{n:05d}", f"Person {n}", {},
            state, {"reached": "human:short greeting", "failed": "USER_BUSY"}.get(state, ""),
        )
        for n, state in enumerate(states)
    ]  # fmt: skip
    await store.add_contacts(connection, id_, new)  # type: ignore[arg-type]
    await connection.execute(  # type: ignore[attr-defined]
        text(
            "UPDATE campaign_contacts SET called_at = now() - interval '30 minutes', attempts = 1"
            " WHERE state IN ('reached', 'failed')"
        )
    )


async def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/{name}.png", full_page=True)


async def test_numbers_trunks_and_campaigns(engine: AsyncEngine, console: ConsoleProcess) -> None:
    token = await cookie(engine, await person(engine, Role.OPERATOR), console.settings)
    async with chromium() as browser:
        async with page_of(browser, console.url, token) as page:
            await _numbers(page, console.url)
            await _trunks(page, console.url)
            await _campaigns(page, console.url)
            await _do_not_call(page, console.url)
        if os.environ.get("SCREENSHOTS"):
            async with page_of(browser, console.url, token, dark=True) as page:
                for path in ("numbers", "trunks", "campaigns", "campaigns/1", "do-not-call"):
                    await page.goto(f"{console.url}/{path}")
                    await page.wait_for_timeout(800)
                    await shoot(page, f"dark-{path.replace('/', '-')}")
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT action, detail::text FROM audit_log"))
        log = [tuple(row) for row in rows]
        password = await connection.scalar(text("SELECT password FROM trunks"))
    actions = {action for action, _ in log}
    assert {
        "number.change", "trunk.diagnose", "trunk.change", "extension.save", "campaign.create",
        "campaign.contacts_add", "campaign.start", "campaign.pause", "do_not_call.remove",
    } <= actions  # fmt: skip
    assert password == "geheim" and "geheim" not in str(log)


async def test_a_tenants_people_see_no_trunks_and_only_their_own(
    engine: AsyncEngine, console: ConsoleProcess
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('acme', 'Acme')"))
    who = await person(engine, Role.ADMIN, "acme")
    async with chromium() as browser:
        token = await cookie(engine, who, console.settings)
        async with page_of(browser, console.url, token) as page:
            await page.goto(f"{console.url}/trunks")
            await expect(page.get_by_text("does not allow this")).to_be_visible()
            await page.goto(f"{console.url}/numbers")
            await expect(page.get_by_text("The operator assigns numbers")).to_be_visible()
            await expect(page.get_by_role("button", name="New number")).to_be_hidden()
            await page.goto(f"{console.url}/campaigns")
            await expect(page.get_by_text("No campaigns.")).to_be_visible()
            await page.goto(f"{console.url}/campaigns/1")
            await expect(page.get_by_text("There is no such campaign.")).to_be_visible()


async def _numbers(page: Page, url: str) -> None:
    await page.goto(f"{url}/numbers")
    row = page.get_by_role("row").filter(has_text="+918022223333")
    await expect(row).to_contain_text(EVIL)
    await page.get_by_role("button", name="What happens when +918022223333 is rung").click()
    way = page.locator(".way--taken")
    await expect(way).to_contain_text("Sunrise")
    await expect(page.locator(".way").filter(has_text="When every line is busy")).to_contain_text(
        "queue:support"
    )
    assert await page.locator("img[src='x']").count() == 0
    await shoot(page, "numbers")
    await page.get_by_role("button", name="Edit +918022223333").click()
    dialog = page.get_by_role("dialog")
    hours = dialog.get_by_label("Hours", exact=True)
    await hours.fill("sometimes")
    await expect(dialog.get_by_role("status")).to_contain_text("Opening hours")
    await hours.fill("mon-fri 09:00-18:00, sat 10:00-14:00")
    await expect(dialog.locator(".hours-span")).to_have_count(6)
    await shoot(page, "numbers-edit")
    await dialog.get_by_label("Said when closed").fill("We are closed.")
    await dialog.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("mon-fri 09:00-18:00")
    await expect(row).to_contain_text("We are closed.")


async def _trunks(page: Page, url: str) -> None:
    await page.goto(f"{url}/trunks")
    row = page.get_by_role("row").filter(has_text="airtel-a")
    await expect(row).to_contain_text("not known")
    await page.get_by_role("button", name="Diagnose").click()
    await expect(page.get_by_text("One thing is wrong.")).to_be_visible(timeout=30_000)
    await expect(page.locator(".check").filter(has_text="OPTIONS")).to_be_visible()
    await expect(page.get_by_text("SIP 503")).to_be_visible()
    await shoot(page, "trunks")
    await page.get_by_role("button", name="Edit airtel-a").click()
    dialog = page.get_by_role("dialog")
    assert await dialog.get_by_label("Password (set; empty: as it is)").input_value() == ""
    await dialog.get_by_label("Priority (lower goes first)").fill("3")
    await shoot(page, "trunks-edit")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    assert "geheim" not in await page.content()
    await page.get_by_role("button", name="New telephone").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Extension: 2 to 6 digits").fill("1002")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("It is shown once.")).to_be_visible()
    await page.get_by_role("button", name="I have written it down").click()
    await page.get_by_label("queue:NAME, extension, number or sip:…").fill("queue:nowhere")
    await page.get_by_role("button", name="Check").click()
    await expect(page.get_by_text("There is no queue nowhere.")).to_be_visible()


async def _campaigns(page: Page, url: str) -> None:
    await page.goto(f"{url}/campaigns")
    await expect(page.get_by_text("54 of 120 called")).to_be_visible()
    await shoot(page, "campaigns")
    await page.get_by_role("link", name="Dues of May").click()
    await expect(page.get_by_text("54 / 120")).to_be_visible()
    await expect(page.locator(".cbar--tall .cbar-part")).to_have_count(3)
    await shoot(page, "campaigns-1")
    await page.goto(f"{url}/campaigns")
    await page.get_by_role("button", name="New campaign").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name", exact=True).fill("Surveys")
    await dialog.get_by_label("Agent who talks").click()
    await page.get_by_role("option", name="Sunrise").click()
    await shoot(page, "campaigns-new")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Nobody is on its list yet.")).to_be_visible()
    await page.get_by_role("button", name="Add contacts").click()
    dialog = page.get_by_role("dialog")
    file = {"name": "list.csv", "mimeType": "text/csv", "buffer": LIST.encode()}
    await dialog.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    await expect(dialog.get_by_text("2 of 3 rows can be called.")).to_be_visible()
    await expect(dialog.get_by_text("1 of them are on the do-not-call list")).to_be_visible()
    await expect(dialog.get_by_text("“12” is no telephone number")).to_be_visible()
    await expect(dialog.get_by_text(EVIL)).to_be_visible()
    assert await page.locator("img[src='x']").count() == 0
    await shoot(page, "campaigns-upload")
    await dialog.get_by_role("button", name="Add them").click()
    row = page.get_by_role("row").filter(has_text="waiting")
    await expect(row).to_contain_text(EVIL)
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("Paused by")).to_be_visible()
    href = await page.get_by_role("link", name="Export CSV").get_attribute("href")
    exported = await page.request.get(f"{url}{href}")
    assert "DO_NOT_CALL" in await exported.text()


async def _do_not_call(page: Page, url: str) -> None:
    await page.goto(f"{url}/do-not-call")
    await expect(page.get_by_role("row").filter(has_text="+919811100002")).to_be_visible()
    await page.get_by_label("Number").first.fill("98111 00002")
    await page.get_by_role("button", name="Look up").click()
    await expect(page.get_by_text("+919811100002 is on the list")).to_be_visible()
    await shoot(page, "do-not-call")
    await page.get_by_role("button", name="Remove +919811100002").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Why (goes into the audit log)").fill("they asked again")
    await dialog.get_by_role("button", name="Take it off").click()
    await expect(page.get_by_text("Nobody has asked not to be called.")).to_be_visible()
