"""Golden questions and their answers, on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent, Passage
from appliance.store.agents import publish_agent
from appliance.store.golden import (
    GoldenAnswer,
    NewQuestion,
    Verdict,
    add_questions,
    keep_golden_answer,
    list_questions,
    remove_question,
)

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def answer(days: int, verdict: Verdict, text: str = "Ninety.") -> GoldenAnswer:
    passage = Passage("1", "faq.md", "Fee", "Ninety.", 0.7, 4, True)
    return GoldenAnswer(NOW + timedelta(days=days), 1, 3, text, "llm", (passage,), verdict, 0.9)


@pytest.fixture(autouse=True)
async def agent(engine: AsyncEngine) -> Agent:
    return await publish_agent(engine, Agent("asha", 1, "Asha"))


async def test_the_last_answer_that_was_one_those_asked_longest_ago_first(
    engine: AsyncEngine,
) -> None:
    ids, added = await add_questions(
        engine, [NewQuestion("asha", f" question {n}? ", "a|b") for n in range(3)], "zoe"
    )
    assert added == 3
    async with engine.begin() as connection:
        await keep_golden_answer(connection, ids[0], answer(1, "same", "old"))
        await keep_golden_answer(connection, ids[0], answer(2, "changed", "new"))
        await keep_golden_answer(connection, ids[0], answer(3, "failed", ""))
        await keep_golden_answer(connection, ids[1], answer(0, "failed", ""))
    found = await list_questions(engine, "asha")
    assert [one.id for one in found] == [ids[2], ids[1], ids[0]]
    assert [one.last for one in found] == [None, None, answer(2, "changed", "new")]
    assert found[2].asked_at == NOW + timedelta(days=3)
    assert (found[0].question, found[0].expected, found[0].created_by) == (
        "question 2?",
        "a|b",
        "zoe",
    )
    assert (await remove_question(engine, ids[0])).question == "question 0?"
    assert len(await list_questions(engine)) == 2
    with pytest.raises(UserError, match="no golden question"):
        await remove_question(engine, ids[0])


async def test_a_question_is_there_once_however_it_is_written_and_by_however_many(
    engine: AsyncEngine,
) -> None:
    wordings = ["What is the fee?", "what is the fee", "WHAT is the fee!"]
    done = await asyncio.gather(
        *(add_questions(engine, [NewQuestion("asha", q, "90")], "x") for q in wordings)
    )
    assert sum(added for _, added in done) == 1
    (one,) = await list_questions(engine)
    assert one.expected == "90"


@pytest.mark.parametrize(
    ("question", "expected", "why"),
    [
        ("?", "", "no"),
        ("", "", "no"),
        ("q" * 501, "", "500 letters"),
        ("fee", "e" * 501, "500 letters"),
        ("fee", "90||", "no words"),
    ],
)
async def test_a_bad_question_is_refused_and_none_of_its_file_is_stored(
    engine: AsyncEngine, question: str, expected: str, why: str
) -> None:
    new = [NewQuestion("asha", "good", ""), NewQuestion("asha", question, expected)]
    with pytest.raises(UserError, match=why):
        await add_questions(engine, new, "x")
    with pytest.raises(UserError, match="no agent"):
        await add_questions(engine, [new[0], NewQuestion("nobody", "good", "")], "x")
    assert await list_questions(engine) == []
