"""The journal against a real Postgres that is slow, gone or picky, and writers that are killed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import CallRecord, Passage, Stages, Turn
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.store import journal as module
from appliance.store.database import migrate, open_engine
from appliance.store.journal import Journal
from appliance.store.rows import BadRowError, decode, encode
from appliance.store.shipper import QUARANTINE
from tests.conftest import embedded_settings, free_port

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def a_call(call_id: str = "c1", **changes: Any) -> CallRecord:
    record = CallRecord(call_id, "1001", "+911234", "help", 2, "en", START)
    return dataclasses.replace(record, **changes)


def a_turn(call_id: str = "c1", index: int = 0, **changes: Any) -> Turn:
    turn = Turn(
        call_id=call_id,
        index=index,
        at=START + timedelta(seconds=5 * index),
        said="what are your timings",
        reply="We open at nine. We close at six.",
        heard="We open at nine.",
        source="extractive",
        stages=Stages(speech_end=2000, final=2040, first_frame=2400),
        gap_ms=400,
        passages=(Passage("7", "help.md", "Timings", "We open at nine.", 0.5),),
    )
    return dataclasses.replace(turn, **changes)


def rows(url: str, table: str) -> list[dict[str, Any]]:
    order = {"calls": "call_id", "turns": "call_id, index"}[table]
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server that a test may stop and kill, with a migrated database."""
    import shutil

    folder = Path(tempfile.mkdtemp(prefix="ivr-test-", dir="/tmp"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(embedded_settings(folder))
    server.start()
    migrate(server.url)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_row_survives_its_line() -> None:
    for record in (a_call(), a_call(ended_at=START, ended_by="caller"), a_turn()):
        assert decode(encode(record)) == record


def test_what_postgres_has_no_place_for_is_replaced() -> None:
    turn = decode(encode(a_turn(said="nul \0 and \ud800 surrogate")))
    assert isinstance(turn, Turn)
    assert turn.said == "nul \ufffd and ? surrogate"


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"call":{}}', b'{"fax":{}}', b'{"call":1,"turn":2}', b"\xff"]
)
def test_what_is_no_row_is_a_typed_error(line: bytes) -> None:
    with pytest.raises(BadRowError):
        decode(line)


@pytest.mark.server
async def test_rows_arrive_and_the_spool_goes(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    async with Journal(engine, tmp_path) as journal:
        journal.call(a_call())
        journal.turn(a_turn(index=0))
        journal.turn(a_turn(index=1, gap_ms=None, said="naïve \0 हिन्दी"))
        journal.call(a_call(ended_at=START + timedelta(seconds=9), ended_by="caller", turns=2))
        assert await journal.flush()
    (call,) = rows(database_url, "calls")
    assert (
        dataclasses.asdict(
            a_call(ended_at=START + timedelta(seconds=9), ended_by="caller", turns=2)
        )
        | dict.fromkeys(("moderated_at", "recording_erased_at", "transcript_erased_at"))
        | {"gap_p50_ms": 400, "gap_p95_ms": 400}
        == call
    )
    first, second = rows(database_url, "turns")
    assert first["stages"] == dataclasses.asdict(a_turn().stages)
    assert first["passages"][0]["heading"] == "Timings"
    assert first["at"] == START and first["gap_ms"] == 400
    assert second["said"] == "naïve \ufffd हिन्दी" and second["gap_ms"] is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.server
async def test_the_same_rows_again_change_nothing(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    end = a_call(ended_at=START + timedelta(seconds=9), ended_by="agent", turns=1)
    for _ in range(2):
        async with Journal(engine, tmp_path) as journal:
            journal.call(a_call())
            journal.turn(a_turn())
            await journal.flush()
            journal.call(end)
    assert rows(database_url, "calls")[0]["ended_by"] == "agent"
    assert len(rows(database_url, "turns")) == 1


@pytest.mark.server
async def test_a_begin_that_is_late_does_not_reopen_a_call(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    async with Journal(engine, tmp_path) as journal:
        journal.call(a_call(ended_at=START, ended_by="caller", turns=4))
        await journal.flush()
        journal.call(a_call())
        await journal.flush()
    assert rows(database_url, "calls")[0]["turns"] == 4


@pytest.mark.server
async def test_a_later_part_reopens_a_call_and_an_earlier_one_changes_nothing_more(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    async with Journal(engine, tmp_path) as journal:
        journal.call(a_call(ended_at=START, ended_by="system", turns=4))
        await journal.flush()
        journal.call(a_call(part=2, turns=4))
        await journal.flush()
        assert rows(database_url, "calls")[0]["ended_at"] is None
        journal.call(a_call(ended_at=START, ended_by="system", turns=3))  # the old part, late
        await journal.flush()
        (row,) = rows(database_url, "calls")
        assert (row["ended_at"], row["part"], row["turns"]) == (None, 2, 4)
        end = a_call(part=2, ended_at=START + timedelta(seconds=9), ended_by="caller", turns=6)
        for record in (end, a_call(part=2), a_call(ended_at=START)):  # in one batch, in any order
            journal.call(record)
        await journal.flush()
    (row,) = rows(database_url, "calls")
    assert (row["part"], row["turns"], row["ended_by"]) == (2, 6, "caller")


@pytest.mark.server
@pytest.mark.parametrize("part", [1, 2])
async def test_the_heir_does_not_end_a_call_that_was_taken_over(
    engine: AsyncEngine, database_url: str, tmp_path: Path, part: int
) -> None:
    dead, alive = tmp_path / "dead", tmp_path / "alive"
    async with Journal(engine, dead) as journal:
        journal.call(a_call())
        journal.turn(a_turn(index=1))
    async with Journal(engine, alive) as journal:
        journal.call(a_call(part=part))  # part 1: the same one, as if nobody had taken it over
        await journal.flush()
        async with Journal(engine, dead):
            async with asyncio.timeout(20):
                while list(dead.glob("*.jsonl"))[1:]:
                    await asyncio.sleep(0.02)
    (row,) = rows(database_url, "calls")
    assert (row["ended_at"] is None) == (part == 2)


@pytest.mark.server
async def test_what_a_dead_process_left_is_stored_at_once_when_its_call_comes_here(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    async with Journal(engine, tmp_path) as journal:
        away = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
        dead = Journal(away, tmp_path)
        await dead.start()
        dead.call(a_call())
        dead.turn(a_turn(index=1))
        await dead.close(0.2)
        await away.dispose()
        assert not rows(database_url, "turns")
        await journal.take_over()
        assert len(rows(database_url, "turns")) == 1
    assert rows(database_url, "calls")[0]["ended_by"] == "system"


@pytest.mark.server
async def test_taking_a_row_costs_the_call_nothing(engine: AsyncEngine, tmp_path: Path) -> None:
    """Most of the time; what else runs on the machine takes its own from some of them."""
    turns = [a_turn(index=i) for i in range(1000)]
    each_us = []
    async with Journal(engine, tmp_path) as journal:
        for some in (turns[at : at + 50] for at in range(0, len(turns), 50)):
            began = time.perf_counter()
            for turn in some:
                journal.turn(turn)
            each_us.append((time.perf_counter() - began) / len(some) * 1e6)
        assert await journal.flush()
    assert median(each_us) < 50


@pytest.mark.server
async def test_bad_rows_go_to_quarantine_and_hold_up_nothing(
    engine: AsyncEngine, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Journal(engine, tmp_path) as journal:
        journal.turn(a_turn(index=0))
        journal.turn(a_turn(index=1, gap_ms=2**40))  # Postgres refuses it
        journal.turn(a_turn(index=2, gap_ms=2**70))  # JSON refuses it
        journal.turn(a_turn(index=3, source="song"))  # the type refuses it
        journal.turn(a_turn(call_id="x" * 50_000, index=4, reply=os.urandom(20_000).hex()))
        journal.call(a_call(call_id=os.urandom(10_000).hex()))  # no index takes that
        journal.turn(a_turn(index=5))
        assert await journal.flush()
    assert [r["index"] for r in rows(database_url, "turns") if r["call_id"] == "c1"] == [0, 5]
    assert (tmp_path / QUARANTINE).stat().st_mode & 0o777 == 0o600  # callers' words
    bad = [json.loads(x) for x in (tmp_path / QUARANTINE).read_text().splitlines()]
    assert 4 <= len(bad) <= 5
    assert all(row["reason"] and row["row"] for row in bad)
    assert caplog.text.count("went to") == len(bad)


WRITER = """
import asyncio, sys
from pathlib import Path
from appliance.store.database import open_engine
from appliance.store.journal import Journal
from tests.test_journal import a_call, a_turn

async def main(url, folder):
    async with Journal(open_engine(url), Path(folder)) as journal:
        journal.call(a_call("dead"))
        journal.call(a_call("done"))
        for i in range(10_000):
            journal.turn(a_turn("dead", i))
            await asyncio.sleep(0.002)
            if i == 50:
                journal.call(a_call("done", ended_at=a_turn().at, ended_by="caller", turns=9))
            if i % 10 == 0:
                print(i, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.server
@pytest.mark.parametrize("away", [True, False], ids=["postgres away", "postgres there"])
async def test_kill_9_of_a_writer_loses_nothing_finished(
    engine: AsyncEngine, database_url: str, tmp_path: Path, away: bool
) -> None:
    url = f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr" if away else database_url
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert writer.stdout is not None
    finished = 0
    while finished < 100:
        finished = int(writer.stdout.readline())
    writer.kill()
    writer.wait(10)
    writer.stdout.close()

    async with Journal(engine, tmp_path) as journal:
        async with asyncio.timeout(20):
            while list(tmp_path.glob(f"{writer.pid}-*")):
                await asyncio.sleep(0.02)
        assert await journal.flush()
    turns = rows(database_url, "turns")
    # rows are on disk within a batch or two of the moment they were taken
    assert [r["index"] for r in turns] == list(range(len(turns)))
    assert len(turns) >= finished - 20
    dead, done = rows(database_url, "calls")
    assert (dead["ended_by"], dead["turns"]) == ("system", len(turns))
    assert dead["ended_at"] == turns[-1]["at"]
    assert (done["ended_by"], done["turns"]) == ("caller", 9)


@pytest.mark.server
async def test_postgres_killed_and_restarted_in_mid_call(
    own_server: EmbeddedPostgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(own_server.url)
    with caplog.at_level(logging.INFO):
        async with Journal(engine, tmp_path) as journal:
            journal.call(a_call())
            assert await journal.flush()
            own_server.signal(signal.SIGKILL)
            for i in range(20):
                journal.turn(a_turn(index=i))
                await asyncio.sleep(0.01)
            assert not await journal.flush(0.5)
            await asyncio.to_thread(own_server.start)
            assert await journal.flush(10)
    assert len(rows(own_server.url, "turns")) == 20
    assert caplog.text.count("Postgres is away") == 1
    assert caplog.text.count("Postgres is back") == 1
    await engine.dispose()


@pytest.mark.server
async def test_a_postgres_that_hangs_neither_blocks_nor_loses(
    own_server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.store.shipper.STORE_TIMEOUT_S", 0.3)
    engine = open_engine(own_server.url)
    journal = Journal(engine, tmp_path)
    await journal.start()
    journal.call(a_call())
    assert await journal.flush()
    with psycopg.connect(own_server.url) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        ).fetchall()
    pids = [row[0] for row in found]
    own_server.signal(signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    journal.turn(a_turn(index=0))
    async with asyncio.timeout(20):  # 3 s at most; for a server that hangs it would wait for ever
        await journal.close(1.0)
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    own_server.signal(signal.SIGCONT)
    async with Journal(engine, tmp_path):
        async with asyncio.timeout(20):
            while list(tmp_path.glob("*.jsonl"))[1:]:
                await asyncio.sleep(0.02)
    assert len(rows(own_server.url, "turns")) == 1
    await engine.dispose()


@pytest.mark.server
async def test_a_database_without_tables_is_waited_for(
    empty_database_url: str, tmp_path: Path
) -> None:
    engine = open_engine(empty_database_url)
    async with Journal(engine, tmp_path) as journal:
        journal.turn(a_turn())
        assert not await journal.flush(0.5)
        await asyncio.to_thread(migrate, empty_database_url)
        assert await journal.flush(10)
    assert len(rows(empty_database_url, "turns")) == 1
    await engine.dispose()


@pytest.mark.server
async def test_with_the_disk_failing_rows_go_straight_to_postgres(
    engine: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    async with Journal(engine, tmp_path) as journal:
        monkeypatch.setattr("appliance.store.spool.os.fdatasync", full)
        journal.turn(a_turn())
        assert await journal.flush()
        monkeypatch.undo()
    assert len(rows(database_url, "turns")) == 1


async def test_a_full_queue_drops_and_counts_but_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "QUEUE_ROWS", 5)
    engine = open_engine(f"postgresql://ivr:x@127.0.0.1:{free_port()}/ivr")
    journal = Journal(engine, tmp_path)
    await journal.start()
    for i in range(8):
        journal.turn(a_turn(index=i))
    assert journal.rows_lost == 3
    await journal.close(0.2)
    assert caplog.text.count("rows are lost") == 1
    (left,) = tmp_path.glob("*.jsonl")
    assert len(left.read_bytes().splitlines()) == 5
    await engine.dispose()


@pytest.mark.server
async def test_a_call_still_open_at_the_end_is_ended_by_the_heir(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    async with Journal(engine, tmp_path) as journal:
        journal.call(a_call())
        journal.turn(a_turn(index=1))
    assert rows(database_url, "calls")[0]["ended_at"] is None
    async with Journal(engine, tmp_path):
        async with asyncio.timeout(20):
            while not rows(database_url, "calls")[0]["ended_at"]:
                await asyncio.sleep(0.02)
            while list(tmp_path.glob("*.jsonl"))[
                1:
            ]:  # who is closed now leaves it to the next heir
                await asyncio.sleep(0.02)
    assert rows(database_url, "calls")[0]["ended_by"] == "system"
    assert list(tmp_path.iterdir()) == []


async def test_a_spool_that_cannot_be_written_says_the_fix(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    engine = open_engine("postgresql://ivr:x@127.0.0.1:1/ivr")
    with pytest.raises(UserError, match=r"cannot write its spool in .*data_dir"):
        await Journal(engine, tmp_path / "spool").start()
