"""Pages that are left while something runs for them: that ends quietly; real errors are still told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Role
from appliance.admin.app import AWAY_S
from appliance.admin.ui.leaving import Leaving, be_quiet_about_those_who_left, is_left
from tests.console_kit import ConsoleProcess, chromium, cookie, page_of, person

GONE_S = AWAY_S + 3
"""By then a page is deleted whose browser has left."""


@asynccontextmanager
async def held(url: str, *tables: str) -> AsyncIterator[None]:
    """Nobody reads these tables meanwhile: whoever asks waits."""
    connection = await psycopg.AsyncConnection.connect(url)
    try:
        await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        await connection.rollback()
        await connection.close()


LEFT = {"/system": ("users", "calls"), "/calls": ("calls",), "/audit": ("audit_log",)}
"""Pages, and the tables that they wait for: one draws itself by and by, one is a search, one is drawn
before it is sent."""


@pytest.mark.server
@pytest.mark.long
async def test_a_page_that_is_left_leaves_no_trace_in_the_log(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    console = ConsoleProcess(tmp_path, {"IVR_DATABASE__URL": database_url})
    who = await person(engine, Role.OPERATOR, login="asha")
    await asyncio.to_thread(console.open)
    try:
        async with chromium() as browser:
            token = await cookie(engine, who, console.settings)
            async with page_of(browser, console.url, token) as page:
                for path, tables in LEFT.items():
                    if path == "/system":
                        await page.goto(console.url + path)
                        await page.wait_for_timeout(1000)
                    async with held(database_url, *tables):
                        if path == "/system":
                            await page.get_by_role("button", name="Check again").click()
                        else:
                            with suppress(TimeoutError):
                                await asyncio.wait_for(page.goto(console.url + path), 1.0)
                        await page.wait_for_timeout(300)
                        await page.goto("about:blank")
                        await asyncio.sleep(GONE_S)
                    await asyncio.sleep(1)
        log = console.log()
        assert "Traceback" not in log and "deleted" not in log and "JavaScript" not in log, log
    finally:
        await asyncio.to_thread(console.close)


def told(error: Exception, *, client: Any = None) -> bool:
    return not is_left(error, client)


def test_only_leaving_is_kept_out_of_the_log() -> None:
    open_page, left = SimpleNamespace(is_deleted=False), SimpleNamespace(is_deleted=True)
    gone = RuntimeError("The client this element belongs to has been deleted.")
    slot = RuntimeError("The parent slot of Row(id=4) has been deleted.")
    assert not told(gone, client=left) and not told(slot, client=left)
    assert told(slot, client=open_page), "an element that is missing on an open page is an error"
    assert not told(TimeoutError("JavaScript did not respond within 1.0 s"))
    for error in (TimeoutError(), TimeoutError("the database"), RuntimeError("x"), KeyError("y")):
        assert told(error) and told(error, client=left)


def test_errors_of_ours_are_told_with_their_traceback(caplog: pytest.LogCaptureFixture) -> None:
    be_quiet_about_those_who_left()
    be_quiet_about_those_who_left()
    log = logging.getLogger("nicegui")
    assert sum(isinstance(one, Leaving) for one in log.filters) == 1
    for error in (KeyError("real"), RuntimeError("The parent slot of Row(id=4) has been deleted.")):
        try:
            raise error
        except (KeyError, RuntimeError) as e:
            log.exception(e)
    log.warning("Client has been deleted but is still being used. This is most likely a bug.")
    log.warning("binding propagation took long")
    assert [record.getMessage() for record in caplog.records] == [
        "'real'", "binding propagation took long",
    ]  # fmt: skip
    assert caplog.records[0].exc_info is not None
