"""What the toll rules refused, kept for good: a row of the audit log a burst, whatever is tried."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, text

from appliance.access import tolls
from appliance.store.access_models import TenantRow
from appliance.store.audit_log import LOCK_KEY
from appliance.store.database import open_sync_engine
from appliance.store.models import AgentRow
from appliance.telephony import tollrecorder
from appliance.telephony.clerk import Clerk
from appliance.telephony.tollbursts import (
    AGAIN_S,
    LONGEST_S,
    MOST_AGENTS,
    MOST_NAMED,
    QUIET_S,
    RangeStop,
    TollBurst,
    TollBursts,
)
from appliance.telephony.tollguard import Rule, TollRefusedError, shown
from appliance.telephony.tollrecorder import TollRecorder

JAMAICA = "+18765551234"
NOON = 1_790_000_000.0
NOBODY_LISTENS = "postgresql+psycopg://ivr@127.0.0.1:1/ivr?connect_timeout=1"


def refusal(rule: Rule = Rule.RANGE, number: str = JAMAICA) -> TollRefusedError:
    return TollRefusedError("may not be rung", rule, number)


def flood(bursts: TollBursts, agent: str, begin_s: float, seconds: int, each_s: int = 10) -> None:
    for n in range(seconds * each_s):
        bursts.note(refusal(), agent, f"call-{n}", begin_s + n / each_s)


def test_a_burst_is_one_row_once_it_is_over() -> None:
    bursts = TollBursts()
    flood(bursts, "a1", NOON, 30)
    bursts.note(refusal(Rule.WORKER, ""), "a1", "", NOON + 31)
    assert bursts.due(NOON + 31 + QUIET_S - 1) == []
    (one,) = bursts.due(NOON + 31 + QUIET_S)
    assert isinstance(one, TollBurst)
    assert (one.agent, one.count, one.first_s, one.last_s) == ("a1", 301, NOON, NOON + 31)
    assert one.rules == {Rule.RANGE: 300, Rule.WORKER: 1} and one.numbers == (shown(JAMAICA),)
    assert one.calls == tuple(f"call-{n}" for n in range(300 - MOST_NAMED, 300))
    assert bursts.due(NOON + 999) == [] and bursts.rest() == []


def test_a_flood_without_end_is_a_row_an_hour_and_nothing_is_uncounted() -> None:
    bursts, rows = TollBursts(), []
    for second in range(0, 3 * 3600, 5):
        flood(bursts, "a1", NOON + second, 5, each_s=1)
        rows += [(second, one) for one in bursts.due(NOON + second + 5)]
    first = LONGEST_S - 5
    assert [second for second, _ in rows] == [first, first + AGAIN_S, first + 2 * AGAIN_S]
    rest = bursts.rest()
    assert sum(one.count for _, one in rows) + rest[0].count == 3 * 3600


def test_each_agent_has_its_own_row() -> None:
    bursts = TollBursts()
    for agent in ("a1", "", "a2"):
        bursts.note(refusal(), agent, "", NOON)
    assert {one.agent for one in bursts.due(NOON + QUIET_S)} == {"a1", "", "a2"}


def test_a_stopped_range_is_told_at_once() -> None:
    bursts = TollBursts()
    stop = RangeStop("+971501", 24, "c1", "a1")
    bursts.stopped(stop)
    assert bursts.due(NOON) == [stop] and bursts.due(NOON) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2 * MOST_AGENTS), st.sampled_from(["note", "due", "fail"]),
            st.integers(0, 900),
        ),
        max_size=400,
    )
)  # fmt: skip
def test_whatever_comes_all_are_counted_and_the_memory_is_bounded(
    steps: list[tuple[int, str, int]],
) -> None:
    bursts, now, noted, written = TollBursts(), NOON, 0, 0
    for agent, what, later in steps:
        now += later
        if what == "note":
            bursts.note(refusal(number=f"+1876{agent:07}"), f"a{agent}", f"c{now}", now)
            noted += 1
            continue
        told = bursts.due(now)
        if what == "fail":
            bursts.put_back(told)
        else:
            written += sum(one.count for one in told)
    left = bursts.rest()
    assert len(left) <= MOST_AGENTS + 1
    assert all(len(one.calls) <= MOST_NAMED and len(one.numbers) <= MOST_NAMED for one in left)
    assert written + sum(one.count for one in left) == noted


# --- in the audit log ---------------------------------------------------------------------------------


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_sync_engine(database_url)
    yield engine
    engine.dispose()


def rows(engine: Engine) -> list[tuple[object, ...]]:
    """Actor, tenant, action, subject, detail, as they were written."""
    asked = "SELECT actor, tenant, action, subject, detail FROM audit_log ORDER BY id"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(asked))]


def test_the_rows(engine: Engine) -> None:
    """An agent's is its tenant's to see; nobody's, and a stopped range, the operator's. No number is
    whole in them."""
    with engine.begin() as connection:
        connection.execute(insert(TenantRow).values(id="acme", name="Acme"))
        connection.execute(insert(AgentRow).values(id="a1", name="One", tenant="acme"))
    bursts = TollBursts()
    for n in range(40):
        bursts.note(refusal(Rule.ALLOW), "a1", f"c{n % 2}", NOON + n)
    bursts.note(refusal(Rule.WORKER, ""), "", "", NOON)
    bursts.stopped(RangeStop("+971501", 24.0, "c9", "a1"))
    TollRecorder(Clerk(engine), bursts, tolls.write).record(NOON + 40 + QUIET_S)
    stop, ones, nobodys = rows(engine)
    named = {"hours": 24, "last_call": "c9", "agent": "a1"}
    assert stop == ("ivr switch", None, "toll.stop", "+971501", named)
    assert nobodys[1:4] == (None, "toll.refuse", "")
    assert ones == (
        "ivr switch", "acme", "toll.refuse", "a1",
        {
            "count": 40, "rules": {"allow": 40}, "numbers": [shown(JAMAICA)], "calls": ["c0", "c1"],
            "first": "2026-09-21T14:13:20+00:00", "last": "2026-09-21T14:13:59+00:00",
        },
    )  # fmt: skip
    assert JAMAICA not in str(rows(engine))


def test_a_postgres_that_is_away_loses_nothing(engine: Engine) -> None:
    bursts = TollBursts()
    flood(bursts, "a1", NOON, 30)
    away = open_sync_engine(NOBODY_LISTENS)
    TollRecorder(Clerk(away), bursts, tolls.write).record(NOON + 30 + QUIET_S)
    away.dispose()
    flood(bursts, "a1", NOON + 100, 10)
    TollRecorder(Clerk(engine), bursts, tolls.write).record(NOON + 110 + QUIET_S)
    ((*_, detail),) = rows(engine)
    assert detail["count"] == 400  # type: ignore[call-overload]


def test_nothing_of_a_call_waits_for_a_postgres_that_hangs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds the audit log: what is refused meanwhile is noted at once, and written once
    when it is let go, or when the process ends."""
    monkeypatch.setattr(tollrecorder, "WRITE_TIMEOUT_S", 0.3)
    bursts = TollBursts()
    recorder = TollRecorder(Clerk(engine), bursts, tolls.write)
    bursts.note(refusal(), "a1", "c1", NOON)
    with engine.begin() as holder:
        holder.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        writing = gevent.spawn(recorder.record, NOON + QUIET_S)
        gevent.sleep(0.1)
        assert not writing.ready()
        began = time.perf_counter()
        bursts.note(refusal(), "a1", "c2", NOON + 1)
        assert time.perf_counter() - began < 0.05
        writing.get(timeout=5)
    recorder.finish()
    ((*_, detail),) = rows(engine)
    assert detail["calls"] == ["c1", "c2"]  # type: ignore[call-overload]


def test_who_ends_is_not_held_up_by_a_postgres_that_hangs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tollrecorder, "LAST_TIMEOUT_S", 0.2)
    bursts = TollBursts()
    for n in range(50):
        bursts.note(refusal(), f"a{n}", "", NOON)
    with engine.begin() as holder:
        holder.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        began = time.perf_counter()
        TollRecorder(Clerk(engine), bursts, tolls.write).finish()
        assert time.perf_counter() - began < 2
    assert caplog.text.count("! toll: not in the audit log") == 50
    assert JAMAICA not in caplog.text
