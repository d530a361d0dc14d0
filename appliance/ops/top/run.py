"""``ivr top``: looks once a second, and draws."""

from __future__ import annotations

import asyncio
import shutil

import aiohttp
from rich.console import Console
from rich.live import Live

from appliance.ops.top.gather import Gatherer
from appliance.ops.top.keys import pressed, typing
from appliance.ops.top.state import Snapshot
from appliance.ops.top.view import Asked, draw
from appliance.settings import Settings
from appliance.store.database import database_url, open_engine

EVERY_S = 1.0
FIRST_S = 0.5
"""Until the workers have named their calls, and the CPU was looked at twice."""
NARROWEST, LOWEST = 80, 24


def run(settings: Settings, *, once: bool, as_json: bool) -> None:
    """Show the box until q or Ctrl-C; ``once``: one picture. ``as_json``: objects, one a line."""
    try:
        asyncio.run(_run(settings, once=once, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _run(settings: Settings, *, once: bool, as_json: bool) -> None:
    timeout_s = settings.database.connect_timeout_s
    engine = open_engine(database_url(settings), connect_timeout_s=timeout_s, pool_size=1)
    async with aiohttp.ClientSession() as http:
        gatherer = Gatherer(settings, http, engine)
        following = asyncio.create_task(gatherer.follow())
        try:
            await gatherer.look()
            await asyncio.sleep(FIRST_S)
            if once or as_json:
                await _print(gatherer, once=once, as_json=as_json)
            else:
                await _show(gatherer)
        finally:
            following.cancel()
            await asyncio.wait({following})
            await engine.dispose()


async def _print(gatherer: Gatherer, *, once: bool, as_json: bool) -> None:
    while True:
        seen = await gatherer.look()
        if as_json:
            print(seen.json(), flush=True)
        else:
            size = shutil.get_terminal_size((NARROWEST, LOWEST))
            console = Console(width=max(NARROWEST, size.columns))
            console.print(draw(seen, Asked(), console.width, max(LOWEST, len(seen.calls) + LOWEST)))
        if once:
            return
        await asyncio.sleep(EVERY_S)


async def _show(gatherer: Gatherer) -> None:
    """The live view: drawn anew each second, and at each key."""
    asked, leave, changed = Asked(), asyncio.Event(), asyncio.Event()
    seen = Snapshot()

    def hear(key: str) -> None:
        nonlocal asked
        wanted = pressed(key, asked)
        if wanted is None:
            leave.set()
        else:
            asked = wanted
        changed.set()

    console = Console()
    loop = asyncio.get_running_loop()
    with Live(console=console, screen=True, auto_refresh=False) as live, typing(hear):
        while not leave.is_set():
            seen = await gatherer.look()
            next_s = loop.time() + EVERY_S
            while not leave.is_set():
                width, height = console.size
                live.update(draw(seen, asked, width, height), refresh=True)
                changed.clear()
                try:
                    async with asyncio.timeout_at(next_s):
                        await changed.wait()
                except TimeoutError:
                    break
