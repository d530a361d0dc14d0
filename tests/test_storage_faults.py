"""Disks that are really full: small file systems, filled and emptied again while calls are written.

What each trouble is allowed to cost stands in docs/architecture.md; here it happens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import numpy as np
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.audio import FRAME_MS, frame_bytes, read_wav
from appliance.media.recording import DiskWriter, Recording
from appliance.ops.alarms import Severity, of_disk
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.ports import free_port
from appliance.ops.processes import plan
from appliance.ops.sitelook import look
from appliance.settings import Database, Settings
from appliance.store.database import database_url, migrate, open_engine
from appliance.store.journal import Journal
from tests.calls_kit import a_call, a_turn, two_tenants

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts small file systems: needs root"),
]
RATE_HZ = 8000
BACK_TIMEOUT_S = 60.0


@contextmanager
def small_disk(folder: Path, size: str, mode: str = "0755") -> Iterator[Path]:
    """A file system of that size."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode={mode}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Until not a byte more fits; the file that holds it all."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))
    with open(path, "ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x")
    return path


class Speech:
    """A call of which both sides are recorded, second by second."""

    def __init__(self, path: Path, disk: DiskWriter) -> None:
        self._recording = Recording(path, RATE_HZ, disk)
        self._now_ms = 0
        self._frame = np.full(frame_bytes(RATE_HZ) // 2, 1000, "<i2").tobytes()

    def goes_on(self, seconds: int) -> float:
        """How long the slowest frame took, in ms: the event loop's time."""
        worst = 0.0
        for _ in range(seconds * 1000 // FRAME_MS):
            began = time.perf_counter()
            self._now_ms += FRAME_MS
            self._recording.caller(self._frame, self._now_ms)
            self._recording.agent(self._frame, self._now_ms)
            worst = max(worst, time.perf_counter() - began)
        return worst * 1000

    def ends(self) -> None:
        self._recording.close()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BACK_TIMEOUT_S
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.05)


def rows(url: str, table: str) -> int:
    """How many; -1: it does not answer."""
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    except psycopg.Error:
        return -1
    return int(found[0]) if found else 0


async def test_data_dir_full_ends_recordings_and_nothing_else(
    engine: AsyncEngine, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows go to Postgres without the spool; one line a recording; with room again all is as before."""
    await two_tenants(engine)
    with small_disk(tmp_path / "data", "4m") as data:
        settings = Settings(data_dir=data, database=Database(url=database_url))
        disk = DiskWriter()
        first = data / "recordings/first.wav"
        before = Speech(first, disk)
        async with Journal(engine, settings.spool_dir) as journal:
            call = a_call("during")
            journal.call(call)
            assert await journal.flush()
            before.goes_on(3)
            await until(lambda: first.exists() and first.stat().st_size > 60_000)
            filler = await asyncio.to_thread(fill, data)

            with caplog.at_level(logging.ERROR):
                assert before.goes_on(20) < 1000, "nobody who talks waits for the disk"
                before.ends()
                for number in range(1, 41):
                    journal.turn(a_turn(call, number))
                assert await journal.flush(), "rows reach Postgres all the same"
                await until(lambda: "No space left" in caplog.text)
            said = [r for r in caplog.records if "stops: " in r.getMessage()]
            assert len(said) == 1
            assert journal.rows_lost == 0 and rows(database_url, "turns") == 40
            channels, _ = await asyncio.to_thread(read_wav, first)
            assert len(channels[0]) >= 2 * RATE_HZ, "what was written before is whole"
            await _alarm(settings, engine, Severity.CRITICAL)

            filler.unlink()
            after = Speech(data / "recordings/second.wav", disk)
            after.goes_on(3)
            after.ends()
            second = data / "recordings/second.wav"
            await until(lambda: second.exists() and second.stat().st_size > 90_000)
            journal.turn(a_turn(call, 41))
            assert await journal.flush() and rows(database_url, "turns") == 41
            await _alarm(settings, engine, None)
        disk.close()


async def _alarm(settings: Settings, engine: AsyncEngine, severity: Severity | None) -> None:
    """Exactly one of the disk, of that severity; or none."""
    async with aiohttp.ClientSession() as http:
        site = await look(settings, http, engine)
    assert [alarm.severity for alarm in of_disk(site)] == ([severity] if severity else [])


@asynccontextmanager
async def kept_postgres(settings: Settings) -> AsyncIterator[str]:
    """The embedded server, started again by its keeper whenever it dies, as under `ivr up`."""
    program = plan(settings).database[0]
    keeper = Keeper(program, lambda line: None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keeper.keep())
        try:
            await keeper.healthy()
            yield database_url(settings)
        finally:
            await keeper.stop(asyncio.Event())


async def test_postgres_without_room_makes_rows_wait_and_takes_them_when_there_is_some(
    tmp_path: Path, open_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(open_tmp / "own-disk", "600m") as own:
        database = Database(embedded_port=free_port(), embedded_dir=own)
        settings = Settings(data_dir=tmp_path / "data", database=database)
        async with kept_postgres(settings) as url:
            await asyncio.to_thread(migrate, url)
            engine = open_engine(url)
            await two_tenants(engine)
            async with Journal(engine, settings.spool_dir) as journal:
                call = a_call("during")
                journal.call(call)
                assert await journal.flush()
                filler = await asyncio.to_thread(fill, own)
                taken = 0

                async def refused() -> bool:
                    """Another hundred turns: at some point there is no page and no WAL left."""
                    nonlocal taken
                    for _ in range(100):
                        taken += 1
                        journal.turn(a_turn(call, taken, said="x" * 4000))
                    return not await journal.flush(1)

                while not await refused():
                    assert taken < 60_000, "Postgres found room that there is not"
                await until(lambda: "No space left on device" in caplog.text)
                began = time.perf_counter()
                for _ in range(50):
                    taken += 1
                    journal.turn(a_turn(call, taken))
                assert time.perf_counter() - began < 1, "nobody who talks waits for Postgres"
                assert journal.rows_behind > 0 and journal.rows_lost == 0
                await until(lambda: journal.rows_in_memory == 0)  # they are on the other disk

                filler.unlink()
                await until(lambda: rows(url, "turns") == taken)
                assert await journal.flush() and journal.rows_lost == 0
            await engine.dispose()
