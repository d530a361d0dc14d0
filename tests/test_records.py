"""Legs and ends of calls reach Postgres, sooner or later, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gevent
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from appliance.store.database import open_sync_engine
from appliance.store.legs import Leg, legs_of
from appliance.telephony.records import Records

pytestmark = pytest.mark.server
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Engine]:
    engine = open_sync_engine(database_url)
    yield engine
    engine.dispose()


@contextmanager
def writing(engine: Engine, folder: Path) -> Iterator[Records]:
    records = Records(engine, folder)
    job = gevent.spawn(records.run)
    gevent.sleep(0.05)
    yield records
    job.kill()
    records.close()


def stored(engine: Engine, call_id: str, count: int) -> list[Leg]:
    def found() -> list[Leg]:
        with engine.connect() as connection:
            return legs_of(connection, call_id)

    with gevent.Timeout(10):
        while len(legs := found()) < count:
            gevent.sleep(0.05)
    return legs


def leg(call_id: str, **more: object) -> Leg:
    return Leg(leg_id=f"leg-{call_id}", call_id=call_id, kind="caller", started_at=NOW, **more)  # type: ignore[arg-type]


def test_a_leg_begins_and_ends(store: Engine, tmp_path: Path) -> None:
    with writing(store, tmp_path) as records:
        records.leg(leg("call-1", caller="+919800012345"))
        stored(store, "call-1", 1)
        end = NOW + timedelta(seconds=9)
        records.leg(leg("call-1", ended_at=end, cause="NORMAL_CLEARING", cause_code=16))
        with gevent.Timeout(10):
            while not (row := stored(store, "call-1", 1)[0]).ended_at:
                gevent.sleep(0.05)
        assert (row.caller, row.cause, row.ended_at) == ("+919800012345", "NORMAL_CLEARING", end)
    assert not list(tmp_path.glob("*.jsonl"))  # nothing is left behind


def test_what_a_dead_switch_left_is_stored_by_the_next(store: Engine, tmp_path: Path) -> None:
    nowhere = open_sync_engine("postgresql://nobody@127.0.0.1:9/none")
    with writing(nowhere, tmp_path) as records:
        for n in range(50):
            records.leg(leg(f"lost-{n}"))
        records.complete("lost-0", cause="NORMAL_CLEARING", ended_at=NOW)
        with gevent.Timeout(10):
            while not any(path.stat().st_size for path in tmp_path.glob("*.jsonl")):
                gevent.sleep(0.05)
        gevent.sleep(0.2)
    nowhere.dispose()
    assert list(tmp_path.glob("*.jsonl"))
    with writing(store, tmp_path):
        assert all(len(stored(store, f"lost-{n}", 1)) == 1 for n in range(50))
        with gevent.Timeout(5):
            while len(list(tmp_path.glob("*.jsonl"))) > 1:
                gevent.sleep(0.05)


def test_what_a_dead_switch_left_outlasts_a_postgres_that_is_away(
    store: Engine, tmp_path: Path
) -> None:
    """The next switch starts before Postgres does."""
    nowhere = open_sync_engine("postgresql://nobody@127.0.0.1:9/none")
    with writing(nowhere, tmp_path) as records:
        records.leg(leg("patient"))
        gevent.sleep(0.3)
    nowhere.dispose()
    away = True
    event.listen(store, "do_connect", lambda *_: _refuse() if away else None)
    store.dispose()
    with writing(store, tmp_path) as records:
        for n in range(3):  # tries, each of which finds the dead one's file
            records.leg(leg(f"later-{n}"))
            gevent.sleep(0.1)
        assert not records.caught_up.is_set()
        away = False
        records.leg(leg("at-last"))
        assert len(stored(store, "patient", 1)) == len(stored(store, "at-last", 1)) == 1
        with gevent.Timeout(5):  # the dead one's file goes after its rows are committed
            while len(list(tmp_path.glob("*.jsonl"))) > 1:
                gevent.sleep(0.05)
    assert not list(tmp_path.glob("*.jsonl"))


def _refuse() -> None:
    raise OperationalError("connect", {}, Exception("away"))


def test_a_row_that_can_never_be_stored_holds_up_no_other(store: Engine, tmp_path: Path) -> None:
    with writing(store, tmp_path) as records:
        records.leg(leg("bad", caller="nul\0byte"))
        records.complete("bad", of_another_version=1)
        records.leg(leg("good"))
        stored(store, "good", 1)
    with store.connect() as connection:
        bad = connection.execute(text("select count(*) from legs where call_id = 'bad'"))
        assert bad.scalar_one() == 0
