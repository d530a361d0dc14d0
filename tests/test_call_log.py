"""The log of calls against a real Postgres: filters, pages, figures, tenants."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import CallRecord
from appliance.store import call_log
from appliance.store.call_log import (
    CallsWanted,
    LoggedCall,
    count_calls,
    find_call,
    number_part,
    read_snapshot,
    search_calls,
)
from appliance.store.database import open_engine
from appliance.store.outcomes import Outcome, outcome_of
from appliance.store.rows import end_lost_calls
from tests.calls_kit import NOW, OTHER, a_call, a_flag, a_turn, put, two_tenants

CALLS = [
    a_call("c1", 60),
    a_call("c2", 50, caller="+911140001234", language="hi", turns=1),
    a_call("c3", 40, agent_id="theirs", ended_by="agent"),
    a_call("c4", 30, direction="out", did="+919900000001", answered_by="human:short greeting"),
    a_call("c5", 20, direction="test", caller=""),
    a_call(
        "c6", 10, ended_by="system", cause="NETWORK_OUT_OF_ORDER", recording="2026/11/21/c6.wav"
    ),
    a_call("c7", 5, ended_at=None, cause="", ended_by="", turns=0),
]


async def fill(engine: AsyncEngine) -> None:
    await two_tenants(engine)
    slow = [a_turn(CALLS[0], 1, 300), a_turn(CALLS[0], 2, 2100)]
    quick = [a_turn(CALLS[1], 1, 350), a_turn(CALLS[1], 2, None)]
    flags = [a_flag(CALLS[0]), a_flag(CALLS[2])]
    await put(engine, *slow, *quick, a_turn(CALLS[6], 1, 500), *flags, *CALLS)


def ids(found: list[LoggedCall]) -> list[str]:
    return [one.call.call_id for one in found]


async def search(engine: AsyncEngine, tenant: str | None = None, **wanted: object) -> list[str]:
    return ids(await search_calls(engine, CallsWanted(**wanted), tenant))  # type: ignore[arg-type]


async def test_filters(engine: AsyncEngine) -> None:
    await fill(engine)
    assert await search(engine) == ["c7", "c6", "c4", "c3", "c2", "c1"]
    assert await search(engine, direction="test") == ["c5"]
    assert await search(engine, direction="out") == ["c4"]
    assert await search(engine, number="0001") == ["c4", "c2"]
    assert await search(engine, number="98765 43210") == ["c7", "c6", "c4", "c3", "c1"]
    assert await search(engine, number="%") == []
    assert await search(engine, language="hi") == ["c2"]
    assert await search(engine, agent_id="theirs") == ["c3"]
    assert await search(engine, flagged="open") == ["c3", "c1"]
    assert await search(engine, slower_than_ms=1000) == ["c1"]
    assert await search(engine, recorded=True) == ["c6"]
    assert await search(engine, since=NOW - timedelta(minutes=35)) == ["c7", "c6", "c4"]
    assert await search(engine, until=NOW - timedelta(minutes=50)) == ["c1"]
    for outcome in Outcome:
        expected = [
            c.call_id for c in reversed(CALLS) if outcome_of(c) is outcome and c.direction != "test"
        ]
        assert await search(engine, outcome=outcome) == expected


async def test_a_decided_flag_is_no_open_one(engine: AsyncEngine) -> None:
    await fill(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE flags SET state = 'dismissed' WHERE call_id = 'c1'"))
    assert await search(engine, flagged="open") == ["c3"]
    assert await search(engine, flagged="any") == ["c3", "c1"]
    (first,) = await search_calls(engine, CallsWanted(slower_than_ms=1000), None)
    assert (first.flags, first.flags_open) == (1, 0)


async def test_another_tenants_calls_are_not_there(engine: AsyncEngine) -> None:
    await fill(engine)
    assert await search(engine, OTHER) == ["c3"]
    assert "c3" not in await search(engine, "main")
    assert await search(engine, OTHER, agent_id="help") == []
    assert await count_calls(engine, CallsWanted(), OTHER) == 1
    async with engine.connect() as connection:
        assert await find_call(connection, "c3", OTHER) is not None
        assert await find_call(connection, "c1", OTHER) is None
        assert await find_call(connection, "c1", None) is not None


async def test_figures_of_a_line(engine: AsyncEngine) -> None:
    await fill(engine)
    found = {one.call.call_id: one for one in await search_calls(engine, CallsWanted(), None)}
    assert (found["c1"].gap_p50_ms, found["c1"].gap_p95_ms) == (1200, 2010)
    assert (found["c2"].gap_p50_ms, found["c2"].gap_p95_ms) == (350, 350)
    assert found["c4"].gap_p95_ms is None
    assert found["c7"].gap_p95_ms is None and found["c7"].call.turns == 1
    assert found["c7"].outcome is Outcome.LIVE


async def test_the_gaps_of_a_call_that_was_lost_are_counted_when_it_is_ended(
    engine: AsyncEngine,
) -> None:
    call = a_call("c9", 5, ended_at=None, cause="", ended_by="")
    await put(engine, call, a_turn(call, 1, 700))
    (found,) = await search_calls(engine, CallsWanted(), None)
    assert found.gap_p50_ms is None
    async with engine.begin() as connection:
        assert await end_lost_calls(connection, {"c9": 1}) == 1
    (found,) = await search_calls(engine, CallsWanted(), None)
    assert found.gap_p50_ms == 700 and found.outcome is Outcome.CUT_OFF


async def test_the_count_is_bounded(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(engine)
    monkeypatch.setattr(call_log, "MOST_COUNTED", 3)
    assert await count_calls(engine, CallsWanted(), None) == 4
    assert await count_calls(engine, CallsWanted(language="hi"), None) == 1


async def test_a_search_that_takes_too_long_says_so(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(engine)
    monkeypatch.setattr(call_log, "STATEMENT_TIMEOUT_MS", 50)
    async with engine.connect() as holder:
        await holder.execute(text("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(UserError, match="Narrow it"):
            await search_calls(engine, CallsWanted(), None)


async def test_the_version_that_answered_and_the_knowledge_in_force_then(
    engine: AsyncEngine,
) -> None:
    await fill(engine)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO knowledge_bases (name, tenant) VALUES ('helpline', 'main');"
                "INSERT INTO knowledge_versions (knowledge_base_id, version, published_at)"
                " SELECT id, v, now() - v * interval '-1 day' + interval '-3 days'"
                " FROM knowledge_bases, generate_series(1, 4) v;"
                "UPDATE agent_versions SET note = 'first', config = config ||"
                " '{\"knowledge\": \"helpline\"}' WHERE agent_id = 'help'"
            )
        )
        snapshot = await read_snapshot(connection, CALLS[0])
        assert (snapshot.knowledge, snapshot.knowledge_version) == ("helpline", 2)
        assert snapshot.agent_name == "Help" and snapshot.note == "first"
        gone = await read_snapshot(connection, a_call("x", agent_id="nobody"))
        assert gone.agent_name == "" and gone.published_at is None


def test_numbers_are_looked_for_as_they_are_kept() -> None:
    assert number_part(" (98765)-432 10 ") == "9876543210"
    assert number_part("+91 98765") == "+9198765"
    assert number_part("sip:bob@pbx.example") == "sip:bob@pbx.example"


async def _pages(engine: AsyncEngine, limit: int) -> list[str]:
    found: list[str] = []
    before = None
    while page := await search_calls(engine, CallsWanted(), None, before=before, limit=limit):
        found += ids(page)
        before = (page[-1].call.started_at, page[-1].call.call_id)
    return found


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 5))
def test_pages_show_each_call_once_even_where_many_began_at_once(
    database_url: str, minutes: list[int], limit: int
) -> None:
    async def check() -> None:
        engine = open_engine(database_url)
        calls: list[CallRecord] = [a_call(f"p{i}", at) for i, at in enumerate(minutes)]
        try:
            async with engine.begin() as connection:
                await connection.execute(text("DELETE FROM calls"))
            await put(engine, *calls)
            expected = sorted(calls, key=lambda c: (c.started_at, c.call_id), reverse=True)
            assert await _pages(engine, limit) == [c.call_id for c in expected]
        finally:
            await engine.dispose()

    asyncio.run(check())
