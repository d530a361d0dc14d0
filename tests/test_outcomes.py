"""What became of a call: the function and the SQL say the same of every row there can be."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.call.life import PERSON_HAS_IT
from appliance.events import CallRecord
from appliance.store.models import CallRow
from appliance.store.outcomes import TRANSFER_CAUSES, Outcome, outcome_column, outcome_of

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def a_call(**fields: object) -> CallRecord:
    call = CallRecord("c", "1001", "+919876543210", "help", 1, "en", START)
    return dataclasses.replace(call, **fields)  # type: ignore[arg-type]


def over(**fields: object) -> CallRecord:
    defaults = {"ended_at": START + timedelta(seconds=30), "ended_by": "caller", "turns": 5}
    return a_call(**(defaults | fields))


def test_each_outcome() -> None:
    assert outcome_of(a_call()) is Outcome.LIVE
    assert outcome_of(over()) is Outcome.CALLER
    assert outcome_of(over(turns=1)) is Outcome.EARLY
    assert outcome_of(over(ended_by="agent")) is Outcome.AGENT
    assert outcome_of(over(ended_by="agent", turns=0)) is Outcome.AGENT
    assert outcome_of(over(ended_by="system", cause="NETWORK_OUT_OF_ORDER")) is Outcome.CUT_OFF
    assert outcome_of(over(ended_by="")) is Outcome.CUT_OFF
    taken = over(ended_by="agent", cause="ATTENDED_TRANSFER", transferred_to="queue:sales")
    assert outcome_of(taken) is Outcome.TRANSFERRED
    assert outcome_of(over(transferred_to="queue:sales")) is Outcome.NOBODY_CAME
    assert outcome_of(over(answered_by="machine:beep")) is Outcome.MACHINE


def test_a_person_has_the_call_by_the_same_causes_as_in_the_call_itself() -> None:
    assert set(TRANSFER_CAUSES) == PERSON_HAS_IT


async def test_sql_and_function_agree_on_every_combination(engine: AsyncEngine) -> None:
    calls = [
        a_call(
            call_id=f"c{number}", ended_at=ended, cause=cause, ended_by=by, turns=turns,
            answered_by=answered, transferred_to=to,
        )
        for number, (ended, cause, by, turns, answered, to) in enumerate(
            itertools.product(
                (None, START + timedelta(seconds=9)),
                ("", "NORMAL_CLEARING", *TRANSFER_CAUSES),
                ("", "caller", "agent", "system"),
                (0, 1, 2),
                ("", "human:short greeting", "machine:beep"),
                ("", "queue:sales"),
            )
        )
    ]  # fmt: skip
    async with engine.begin() as connection:
        await connection.execute(insert(CallRow), [dataclasses.asdict(call) for call in calls])
        query = select(CallRow.call_id, outcome_column())
        by_sql = {call_id: outcome for call_id, outcome in await connection.execute(query)}
    assert by_sql == {call.call_id: outcome_of(call).value for call in calls}
    assert set(by_sql.values()) == {outcome.value for outcome in Outcome}
