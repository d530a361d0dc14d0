"""Traffic read from a real journal: counts, calls at once, holding times, what turns cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, insert, text
from sqlalchemy.exc import DBAPIError

from appliance.store import traffic
from appliance.store.database import open_sync_engine
from appliance.store.models import AgentRow, OutboundRow
from appliance.store.traffic import Due, Measured
from tests.journalled import put_calls, put_turns

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.fixture
def journal(database_url: str) -> Iterator[Engine]:
    engine = open_sync_engine(database_url, pool_size=2)
    yield engine
    engine.dispose()


@pytest.fixture
def db(journal: Engine) -> Iterator[Connection]:
    with journal.begin() as connection:
        yield connection


def test_an_empty_journal(db: Connection) -> None:
    now = START
    traffic.read_only(db)
    assert traffic.read_arrivals(db, now - timedelta(days=42), now, 300) is None
    assert traffic.read_live(db, now) == 0
    assert traffic.read_holding(db, now - timedelta(days=42), "in") == traffic.Holding()
    assert traffic.read_turns(db, now - timedelta(days=42)) == traffic.TurnCosts()
    later = now + timedelta(days=1)
    assert traffic.read_campaigns(db, now, now, later, 300) == traffic.Campaigns()


def test_arrivals_and_calls_at_once(db: Connection) -> None:
    put_calls(
        db,
        [
            (START + minutes(1), 60),  # over in its own interval
            (START + minutes(2), 600),  # over in the third
            (START + minutes(4), None),  # lives
            (START + minutes(16), 30),  # in the interval under way: not counted
        ],
    )
    put_calls(db, [(START + minutes(6), 120)], direction="out")
    found = traffic.read_arrivals(db, START - timedelta(days=1), START + minutes(16), 300)
    assert found is not None
    assert found.first_s == START.timestamp()  # the log begins with the first call ever
    assert found.inbound == (3, 0, 0)
    assert found.outbound == (0, 1, 0)
    assert found.at_once == (2, 2, 1)
    assert traffic.read_live(db, START + minutes(16)) == 1


def test_calls_from_before_are_live_and_lost_ones_are_not(db: Connection) -> None:
    put_calls(
        db,
        [
            (START - timedelta(days=2), 60),
            (START - minutes(10), 1200),
            (START - timedelta(hours=6), None),  # its worker died
            (START + minutes(1), -5),  # the clock was set back in mid-call
        ],
    )
    found = traffic.read_arrivals(db, START, START + minutes(15), 300)
    assert found is not None
    assert found.inbound == (1, 0, 0)
    assert found.at_once == (1, 1, 0)
    assert traffic.read_live(db, START + minutes(15)) == 0


def test_no_whole_interval_yet(db: Connection) -> None:
    put_calls(db, [(START + minutes(1), 400)])
    assert traffic.read_arrivals(db, START - minutes(60), START + minutes(2), 300) is None


def test_holding_times(db: Connection) -> None:
    put_calls(db, [(START + minutes(i), 10.0 * (i + 1)) for i in range(10)], turns=4)
    put_calls(db, [(START, 500)], direction="out", turns=9)
    put_calls(db, [(START, None)])
    holding = traffic.read_holding(db, START, "in")
    assert holding.p95_s == pytest.approx(95.5)
    assert (holding.calls, holding.mean_s, holding.turns, holding.seconds) == (10, 55, 40, 550)
    assert traffic.read_holding(db, START, "out").mean_s == 500


def test_rehearsals_and_calls_from_the_console_are_no_traffic(db: Connection) -> None:
    put_calls(db, [(START - minutes(20), 400)], direction="test")  # nor the begin of the log
    put_calls(db, [(START + minutes(1), 400)])
    put_calls(db, [(START + minutes(1), 400)] * 50, direction="test", turns=30)
    put_calls(db, [(START + minutes(1), 400)] * 50, caller="rehearsal-ab12-5-7", turns=30)
    found = traffic.read_arrivals(db, START - timedelta(days=1), START + minutes(11), 300)
    assert found is not None and found.inbound == (1, 0) and found.at_once == (1, 0)
    assert traffic.read_holding(db, START, "in").calls == 1


FULL = {
    "speech_start": 1000, "speech_end": 4000, "speculation": 3800, "retrieval": 3840,
    "speculations_dropped": 1, "first_token": 4000, "last_token": 5040, "first_phrase": 4100,
    "first_audio": 4200, "last_audio": 6100,
}  # fmt: skip


def test_what_turns_cost(db: Connection) -> None:
    (call,) = put_calls(db, [(START, 60)])
    old = {key: FULL[key] for key in ("speech_start", "speech_end", "speculation", "retrieval")}
    wild = FULL | {"last_audio": 10**9, "speech_end": "soon", "last_token": None, "retrieval": -5}
    put_turns(db, call, START, [FULL, FULL | {"last_audio": 5100}, old, wild])
    (greeted,) = put_calls(db, [(START, 60)])
    put_turns(
        db, greeted, START, [{"first_phrase": 0, "last_audio": 0}], source="greeting", said=""
    )
    costs = traffic.read_turns(db, START)
    assert (costs.turns, costs.asked, costs.by_llm, costs.dropped) == (5, 4, 4, 3)
    assert costs.speech_s == Measured(3.0, 3)
    assert costs.search_s == Measured(0.04, 3)
    assert costs.llm_s == Measured(1.2, 2)
    assert costs.tts_s == Measured(1.0, 3)  # 2 s, 1 s, and the greeting that was kept: 0 s


def test_campaigns(db: Connection) -> None:
    now = START + minutes(2)
    db.execute(insert(AgentRow), [{"id": "sales", "name": "Sales"}])
    rows = [
        (START - minutes(30), "", "waiting", 0),
        (START + minutes(1), "", "waiting", 0),
        (START + minutes(7), "sat 10:00-12:00", "waiting", 1),
        (START + timedelta(days=3), "", "waiting", 0),
        (START, "", "done", 1),
        (START, "", "failed", 3),
    ]
    db.execute(
        insert(OutboundRow),
        [
            {
                "id": str(index), "number": "+919876543210", "agent_id": "sales", "next_at": at,
                "hours": hours, "state": state, "attempts": attempts,
                "ended_at": None if state == "waiting" else START,
            }
            for index, (at, hours, state, attempts) in enumerate(rows)
        ],
    )  # fmt: skip
    found = traffic.read_campaigns(
        db, START - minutes(60), now, now + timedelta(days=1), 300
    )  # fmt: skip
    first = int(START.timestamp())
    assert found.due == (Due(first, "", 2), Due(first + 300, "sat 10:00-12:00", 1))
    assert (found.attempts, found.answered) == (4, 1)


def test_it_changes_nothing_and_ends_in_time(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "STATEMENT_TIMEOUT_S", 1)
    traffic.read_only(db)
    with pytest.raises(DBAPIError, match="read-only"), db.begin_nested():
        put_calls(db, [(START, 1)])
    with pytest.raises(DBAPIError, match="statement timeout"), db.begin_nested():
        db.execute(text("SELECT pg_sleep(5)"))


def test_a_hundred_thousand_calls_are_a_few_rows(journal: Engine) -> None:
    """Postgres groups them: nothing but intervals comes here."""
    with journal.begin() as db:
        db.execute(
            text(
                "INSERT INTO calls (call_id, did, caller, agent_id, agent_version, language,"
                " started_at, ended_at, turns) SELECT n::text, '1', '2', 'a', 1, 'en', at,"
                " at + interval '90 s', 9 FROM (SELECT n, :start + n * interval '6 s' AS at"
                " FROM generate_series(0, 99999) n) calls"
            ),
            {"start": START},
        )
    with journal.begin() as db:
        traffic.read_only(db)
        now = START + timedelta(seconds=600_000)
        found = traffic.read_arrivals(db, START - timedelta(days=42), now, 300)
        holding = traffic.read_holding(db, START, "in")
    assert found is not None
    assert set(found.inbound) == {50}
    assert set(found.at_once) == {15}
    assert (holding.calls, holding.mean_s, holding.p95_s) == (traffic.MOST_CALLS, 90.0, 90.0)
