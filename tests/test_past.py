"""A call read back from a real Postgres: what the worker that takes it over knows of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from test_journal import START, a_call, a_turn

from appliance.call import past as module
from appliance.call.past import INDEX_GAP, LIMIT_S, Past, PastCalls
from appliance.events import Offer
from appliance.store.database import open_engine
from appliance.store.journal import Journal
from tests.conftest import free_port
from tests.pace_kit import Late, on_time

pytestmark = pytest.mark.server

HALF_A_SECOND_MS = 500
"""STORE_TIMEOUT_S and READ_TIMEOUT_S: what a call waits for its past at most."""
REAL = (module.STORE_TIMEOUT_S, module.READ_TIMEOUT_S)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who judges what is read lets a busy machine read it."""
    for name in ("STORE_TIMEOUT_S", "READ_TIMEOUT_S"):
        monkeypatch.setattr(module, name, 20.0)


@pytest.fixture
def impatient(_patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a call is."""
    for name, timeout_s in zip(("STORE_TIMEOUT_S", "READ_TIMEOUT_S"), REAL, strict=True):
        monkeypatch.setattr(module, name, timeout_s)


def offer(part: int = 2) -> Offer:
    return Offer("c1", "1001", "+91", 8000, ("127.0.0.1", 9), part=part, resumed="worker")


@asynccontextmanager
async def reader(engine: AsyncEngine, folder: Path) -> AsyncIterator[PastCalls]:
    async with Journal(engine, folder) as journal:
        past = PastCalls(engine, journal)
        yield past
        await past.close()


async def test_a_new_call_has_no_past_and_asks_nobody(tmp_path: Path) -> None:
    nowhere = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    past = PastCalls(nowhere, Journal(nowhere, tmp_path))
    assert await past.of(offer(part=1)) == Past()
    await nowhere.dispose()


async def test_what_a_dead_worker_left_in_its_spool_is_part_of_the_past(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    nowhere = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    dead = Journal(nowhere, tmp_path)
    await dead.start()
    dead.call(a_call())
    for index in (1, 2, 3):
        dead.turn(a_turn(index=index))
    await dead.close(0.2)
    await nowhere.dispose()
    async with Journal(engine, tmp_path) as journal:
        past = PastCalls(engine, journal)
        found = await past.of(offer())
        await past.close()
    assert [t.index for t in found.turns] == [1, 2, 3] and found.last_index == 3
    assert found.started_at == START
    assert found.call is not None and found.call.agent_version == 2


async def test_rows_of_our_own_that_are_on_their_way_are_waited_for(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    async with Journal(engine, tmp_path) as journal:
        past = PastCalls(engine, journal)
        journal.call(a_call())
        journal.turn(a_turn(index=1))
        journal.call(a_call(ended_at=START, ended_by="system", turns=1))
        found = await past.of(offer())
        await past.close()
    assert len(found.turns) == 1 and found.last_index == 1


async def test_where_rows_may_still_come_their_places_are_left_free(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    other, here = tmp_path / "other machine", tmp_path / "here"
    async with Journal(engine, other) as journal, reader(engine, here) as past:
        journal.call(a_call())
        journal.turn(a_turn(index=1))
        await journal.flush()
        found = await past.of(offer())
        assert len(found.turns) == 1 and found.last_index == INDEX_GAP
        journal.call(a_call(ended_at=START))
        await journal.flush()
        assert (await past.of(offer(part=3))).last_index == 2 * INDEX_GAP  # part 2 has no row yet


async def test_with_postgres_away_the_call_goes_on_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, impatient: None
) -> None:
    nowhere = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    journal = Journal(nowhere, tmp_path)
    await journal.start()
    past = PastCalls(nowhere, journal)

    async def late() -> Late:
        began = time.monotonic()
        assert await past.of(offer()) == Past(last_index=INDEX_GAP)
        return {"past": (time.monotonic() - began) * 1000 - HALF_A_SECOND_MS}

    await on_time(late, late_ms=HALF_A_SECOND_MS)
    assert "without its history" in caplog.text
    await past.close()
    await journal.close(0.1)
    await nowhere.dispose()


async def test_a_call_that_postgres_does_not_know_goes_on(
    engine: AsyncEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reader(engine, tmp_path) as past:
        assert await past.of(offer(part=3)) == Past(last_index=2 * INDEX_GAP)
    assert "no row of it" in caplog.text


async def test_a_postgres_that_hangs_costs_half_a_second(
    engine: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    impatient: None,
) -> None:
    async with reader(engine, tmp_path) as past:
        await past.of(offer())  # opens its connections
        with psycopg.connect(database_url) as connection:
            pids = [
                row[0]
                for row in connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid()"
                ).fetchall()
            ]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(LIMIT_S / 2):  # who waits for the server itself waits longer
                assert (await past.of(offer())).turns == ()
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.05)
    assert "within 300 ms" in caplog.text


async def test_turns_of_the_next_part_stand_behind_those_of_the_first(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    """The rows of a whole call that two workers carried: nothing overwritten, one beginning."""
    async with Journal(engine, tmp_path) as first:
        first.call(a_call())
        first.turn(a_turn(index=1))
        first.call(a_call(ended_at=START, ended_by="system", cause="X", turns=1))
    async with Journal(engine, tmp_path) as second:
        past = PastCalls(engine, second)
        found = await past.of(offer())
        assert found.call is not None
        second.call(a_call(part=2, turns=1, started_at=found.started_at))
        second.turn(a_turn(index=found.last_index + 1, said="and on sunday"))
        end = a_call(part=2, turns=2, ended_at=START, ended_by="caller", cause="Y")
        second.call(end)
        await past.close()
    with psycopg.connect(database_url) as connection:
        turns = connection.execute('SELECT "index", said FROM turns ORDER BY 1').fetchall()
        calls = connection.execute("SELECT part, turns, ended_by, started_at FROM calls").fetchall()
    assert [index for index, _ in turns] == [1, 2] and turns[1][1] == "and on sunday"
    assert calls == [(2, 2, "caller", START)]
