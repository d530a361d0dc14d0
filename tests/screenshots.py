"""Pictures of the console's pages over a believable month, light and dark, English and Hindi.

    python -m tests.screenshots docs/console           # every page
    python -m tests.screenshots /tmp/shots calls call  # some of them

Needs Debian's Chromium and flite. Live and Try it are pictured by tests/test_browser_journey.py.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import aiohttp
from PIL import Image
from playwright.async_api import Browser, Page
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.engines.embedder import HttpEmbedder
from appliance.engines.pool import Pool
from appliance.knowledge.ingest import load
from appliance.ops.seed import sample_agent
from appliance.store.database import open_engine
from bench.large import postgres
from tests.console_kit import ConsoleProcess, Person, chromium, cookie, page_of, person
from tests.knowledge_servers import KEY
from tests.month_kit import BASE, fill
from tests.serving import serving

LARGEST_BYTES = 120_000
SETTLE_MS = 1200
COLOURS = (256, 128, 64, 32)
"""Fewer until the picture is small enough."""
DARK = ("calls", "call", "analytics", "flags", "agent", "system")
HINDI = ("calls", "analytics", "agent")


@dataclass(frozen=True, slots=True)
class Shot:
    """A page, and what is done on it before it is pictured."""

    name: str
    path: str
    before: Callable[[Page], Awaitable[object]] | None = None
    settle_ms: int = SETTLE_MS


async def _search(page: Page) -> None:
    await page.get_by_role("tab", name="Try a question").click()
    await page.locator("input[type=text], textarea").last.fill("What is the late fee?")
    await page.keyboard.press("Enter")


async def _new_number(page: Page) -> None:
    await page.get_by_role("button", name="New number").click()


async def shots_of(engine: AsyncEngine) -> list[Shot]:
    """Every page that needs no worker."""
    async with engine.connect() as connection:

        async def one(query: str) -> str:
            return str((await connection.execute(text(query))).scalar_one())

        call = await one(
            "SELECT call_id FROM calls WHERE recording <> '' ORDER BY started_at DESC LIMIT 1"
        )
        base = await one(f"SELECT id FROM knowledge_bases WHERE name = '{BASE}'")
        document = await one(
            "SELECT id FROM documents WHERE state = 'published' ORDER BY id LIMIT 1"
        )
        campaign = await one("SELECT id FROM campaigns ORDER BY id LIMIT 1")
        hook = await one("SELECT id FROM webhooks ORDER BY id LIMIT 1")
    return [
        Shot("login", "/login"),
        Shot("live-quiet", "/live"),
        Shot("calls", "/calls?period=30d"),
        Shot("call", f"/calls/{call}"),
        Shot("flags", "/flags"),
        Shot("agents", "/agents"),
        Shot("agent", "/agents/sunrise", settle_ms=2500),
        Shot("agent-versions", "/agents/sunrise?tab=versions", settle_ms=2500),
        Shot("knowledge", "/knowledge"),
        Shot("knowledge-base", f"/knowledge/{base}"),
        Shot("knowledge-search", f"/knowledge/{base}", _search),
        Shot("document", f"/knowledge/{base}/documents/{document}"),
        Shot("golden", "/golden?agent=sunrise"),
        Shot("answers", "/answers?agent=sunrise"),
        Shot("rules", "/rules"),
        Shot("numbers", "/numbers"),
        Shot("numbers-new", "/numbers", _new_number),
        Shot("trunks", "/trunks"),
        Shot("campaigns", "/campaigns"),
        Shot("campaign", f"/campaigns/{campaign}"),
        Shot("do-not-call", "/do-not-call"),
        Shot("webhooks", "/webhooks"),
        Shot("webhook", f"/webhooks/{hook}"),
        Shot("analytics", "/analytics?period=30d", settle_ms=9000),
        Shot("system", "/system", settle_ms=4000),
        Shot("users", "/users"),
        Shot("account", "/account"),
        Shot("keys", "/keys"),
        Shot("tenants", "/tenants"),
        Shot("audit", "/audit"),
        Shot("reference", "/reference"),
        Shot("nothing", "/calls/none-of-these"),
    ]  # fmt: skip


async def take(
    browser: Browser, url: str, token: str, shot: Shot, file: Path, *, dark: bool = False
) -> None:
    """One picture, quantised until it is small."""
    async with page_of(browser, url, "" if shot.name == "login" else token, dark=dark) as page:
        await page.goto(url + shot.path)
        await page.wait_for_timeout(shot.settle_ms)
        if shot.before:
            await shot.before(page)
            await page.wait_for_timeout(SETTLE_MS)
        data = await page.screenshot()
    await asyncio.to_thread(keep, data, file)


def keep(data: bytes, file: Path) -> None:
    """Write a PNG of at most ``LARGEST_BYTES``."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    for colours in COLOURS:
        small = picture.quantize(colours, dither=Image.Dither.NONE)
        small.save(file, "PNG", optimize=True)
        if file.stat().st_size <= LARGEST_BYTES:
            return
    raise ValueError(f"{file} has {file.stat().st_size} bytes")


async def main(folder: Path, wanted: list[str]) -> None:
    """Seed, start, picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with postgres() as (url, place), resources.as_file(resources.files("appliance")) as package:
        engine = open_engine(url)
        async with serving(place, "embed", "--engine", "minilm") as embed:
            environment = {
                "IVR_DATABASE__URL": url,
                "IVR_ENGINES__EMBED__URLS": f'["{embed.url}"]',
                "IVR_ENGINES__KEY": KEY,
                "IVR_ADMIN__REQUESTS_A_MINUTE": "100000",
            }
            console = ConsoleProcess(place, environment)
            try:
                async with aiohttp.ClientSession() as http:
                    pool = Pool("embed", (embed.url,), http, lambda url: KEY)
                    await pool.check()
                    embedder = HttpEmbedder(pool, http, 10_000)
                    await load(engine, embedder, BASE, [package / "samples" / f"{BASE}.md"])
                who = await person(engine, Role.OPERATOR, login="asha")
                sample = sample_agent(package / "samples")
                await fill(engine, console.settings.recordings_dir, sample, who.actor)
                await asyncio.to_thread(console.open)
                await _pictures(engine, console, who, folder, wanted)
            finally:
                await asyncio.to_thread(console.close)
                await engine.dispose()


async def _pictures(
    engine: AsyncEngine, console: ConsoleProcess, who: Person, folder: Path, wanted: list[str]
) -> None:
    token = await cookie(engine, who, console.settings)
    shots = [s for s in await shots_of(engine) if not wanted or s.name in wanted]
    async with chromium() as browser:
        for shot in shots:
            await take(browser, console.url, token, shot, folder / f"{shot.name}.png")
            if shot.name in DARK:
                dark = folder / f"{shot.name}-dark.png"
                await take(browser, console.url, token, shot, dark, dark=True)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE users SET language = 'hi' WHERE login = 'asha'"))
        for shot in shots:
            if shot.name in HINDI:
                await take(browser, console.url, token, shot, folder / f"{shot.name}-hi.png")


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _read()
    asyncio.run(main(asked.folder, asked.pages))
