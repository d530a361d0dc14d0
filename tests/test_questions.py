"""The common questions of the call log, on a real database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import CallRecord, Stages, Turn
from appliance.store import questions
from appliance.store.questions import Question, common_questions, patterns
from appliance.store.rows import upsert
from appliance.turn.words import normal

NOW = datetime.now(UTC)


def turn(call: CallRecord, index: int, said: str, source: str = "llm") -> Turn:
    return Turn(call.call_id, index, call.started_at, said, "r", "r", source, Stages(), None)  # type: ignore[arg-type]


async def log_of(engine: AsyncEngine, calls: Sequence[tuple[str, float, Sequence[str]]]) -> None:
    """Store calls: agent, how many days ago, what the caller said in its turns."""
    rows: list[CallRecord | Turn] = []
    for number, (agent, days, said) in enumerate(calls):
        at = NOW - timedelta(days=days)
        call = CallRecord(f"c{number}", "1001", "+91", agent, 1, "en", at, turns=len(said))
        rows += [call, *(turn(call, n, words) for n, words in enumerate(said))]
    async with engine.begin() as connection:
        await upsert(connection, rows)


async def test_what_was_asked_in_two_calls_the_commonest_first(engine: AsyncEngine) -> None:
    await log_of(
        engine,
        [
            ("asha", 0, ["", "When are you open?", "how much is the plan"]),
            ("asha", 1, ["uh when are you open", "when are you open"]),
            ("asha", 2, ["WHEN ARE YOU OPEN", "How much is the plan?"]),
            ("asha", 3, ["only once", "only once", "बिल कितना है?"]),
            ("asha", 3, ["बिल कितना है।"]),
            ("asha", 30, ["long ago"]),
            ("asha", 31, ["long ago"]),
            ("ravi", 0, ["only once", "of another agent"]),
            ("ravi", 0, ["of another agent"]),
        ],
    )
    assert await common_questions(engine, "asha") == [
        Question("when are you open", 4),
        Question("how much is the plan", 2),
        Question("बिल कितना है", 2),
    ]
    assert [q.text for q in await common_questions(engine, "asha", most=1)] == ["when are you open"]
    assert "long ago" in [q.text for q in await common_questions(engine, "asha", days=60)]
    assert await common_questions(engine, "nobody") == []


async def test_what_one_caller_asks_again_and_again_is_their_own(engine: AsyncEngine) -> None:
    mine = "has the loan of Asha Rao in Pune been approved"
    own = CallRecord("o1", "1001", "+919876543210", "asha", 1, "en", NOW)
    rows: list[CallRecord | Turn] = []
    for number, said in enumerate((mine, f"uh {mine}", mine.upper(), "when are you open")):
        call = replace(own, call_id=f"o{number}")
        rows += [call, turn(call, 1, said)]
    other = replace(own, call_id="p1", caller="+919876543211")
    async with engine.begin() as connection:
        await upsert(connection, [*rows, other, turn(other, 1, "When are you open?")])
    assert await common_questions(engine, "asha") == [Question("when are you open", 2)]


async def test_what_is_tried_from_the_console_is_asked_by_nobody(engine: AsyncEngine) -> None:
    await log_of(engine, [("asha", 0, ["when are you open"])])
    test = CallRecord("t1", "console", "console:a", "asha", 0, "en", NOW, direction="test")
    other = replace(test, call_id="t2", caller="console:b")
    async with engine.begin() as connection:
        said = [turn(one, 1, "when are you open") for one in (test, other)]
        await upsert(connection, [test, other, *said])
    assert await common_questions(engine, "asha") == []


async def test_keys_silences_and_stories_are_no_questions(engine: AsyncEngine) -> None:
    story = "and then I told them that " * 20
    await log_of(engine, [("asha", 0, [story, " ?"]), ("asha", 0, [story, "?"])])
    call = CallRecord("k1", "1001", "+91", "asha", 1, "en", NOW)
    other = replace(call, call_id="k2")
    async with engine.begin() as connection:
        said = [turn(c, 1, "goodbye", "goodbye") for c in (call, other)]
        await upsert(connection, [call, other, *said])
    assert await common_questions(engine, "asha") == []


async def test_a_long_log_is_looked_at_by_its_indexes_and_only_in_part(
    engine: AsyncEngine,
) -> None:
    calls = 3 * questions.MOST_CALLS
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO calls"
                " (call_id, did, caller, agent_id, agent_version, language, started_at)"
                " SELECT 'c' || n, '1', '+91', 'asha', 1, 'en', now() - n * interval '1 minute'"
                f" FROM generate_series(1, {calls}) n"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO turns"
                " (call_id, index, at, said, reply, heard, source, stages, passages)"
                " SELECT 'c' || n, t, now(), 'question ' || t || ' ' || (n % 100), '', '', 'llm',"
                " '{}', '[]'"
                f" FROM generate_series(1, {calls}) n, generate_series(1, 4) t"
            )
        )
    await _analyse(engine)
    found = await common_questions(engine, "asha", most=1000)
    assert len(found) == 400 and {q.calls for q in found} == {questions.MOST_CALLS // 100}


async def _analyse(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("ANALYZE calls, turns"))


@given(st.lists(st.tuples(st.text(max_size=30), st.integers(1, 9)), max_size=30), st.integers(0, 9))
def test_patterns_of_any_wordings(wordings: list[tuple[str, int]], most: int) -> None:
    found = patterns(wordings, most)
    assert len(found) <= most and len({normal(q.text) for q in found}) == len(found)
    for question in found:
        same = [calls for wording, calls in wordings if normal(wording) == normal(question.text)]
        assert question.calls == sum(same) >= 2
