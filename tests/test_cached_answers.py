"""Answers made in advance, on a real database: one version's own, withdrawn ones never."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Agent, Passage
from appliance.safety.flags import flag_id
from appliance.store.agents import publish_agent
from appliance.store.cached_answers import (
    CachedAnswer,
    drop_other_versions,
    forget_answers,
    keep_answer,
    list_answers,
    load_answers,
    withdraw,
    withdraw_text,
    wording_of,
)

FEE = Passage("7", "faq.md", "Fees", "Ninety rupees.", 0.8, page=2, cited=True)


def answer(question: str, text: str) -> CachedAnswer:
    return CachedAnswer(wording_of(question), question, text, "extractive", (FEE,))


async def published(engine: AsyncEngine) -> Agent:
    return await publish_agent(engine, Agent("asha", 1, "Asha"))


async def test_an_answer_comes_back_whole_those_asked_most_first(engine: AsyncEngine) -> None:
    agent = await published(engine)
    fee, hours = answer("What is the fee?", "Ninety."), answer("uh when are you open", "At nine.")
    assert hours.wording == "when are you open"
    assert await keep_answer(engine, agent, hours, 3, fit=True)
    assert await keep_answer(engine, agent, fee, 5, fit=True)
    assert await load_answers(engine, agent) == [fee, hours]


async def test_other_versions_and_other_agents_have_none_of_it(engine: AsyncEngine) -> None:
    agent = await published(engine)
    await keep_answer(engine, agent, answer("a fee", "Ninety."), 2, fit=True)
    for other in (
        replace(agent, version=agent.version + 1),
        replace(agent, knowledge_version=agent.knowledge_version + 1),
        replace(agent, id="ravi"),
    ):
        assert await load_answers(engine, other) == []
    assert await drop_other_versions(engine, agent) == 0
    assert await drop_other_versions(engine, replace(agent, knowledge_version=9)) == 1
    assert await load_answers(engine, agent) == []


async def test_a_wording_is_answered_once_and_an_unfit_one_stays_unused(
    engine: AsyncEngine,
) -> None:
    agent = await published(engine)
    assert await keep_answer(engine, agent, answer("the fee", "Ninety."), 2, fit=False)
    assert not await keep_answer(engine, agent, answer("The fee!", "Eighty."), 2, fit=True)
    assert await load_answers(engine, agent) == []
    (kept,) = await list_answers(engine, "asha")
    assert kept.withdrawn and kept.cached.answer == "Ninety."
    assert await forget_answers(engine, "asha") == 1


async def test_withdrawn_by_wording_or_by_what_it_says(engine: AsyncEngine) -> None:
    agent = await published(engine)
    for question, text in (
        ("one", "It is free."),
        ("two", "Pay ninety rupees now."),
        ("three", "Ok."),
    ):
        await keep_answer(engine, agent, answer(question, text), 2, fit=True)
    assert await withdraw_text(engine, "asha", "NINETY rupees", "something else") == 1
    assert await withdraw_text(engine, "asha", "", "it is free") == 1
    assert [one.question for one in await load_answers(engine, agent)] == ["three"]
    assert await withdraw_text(engine, "asha", "", "") == 0
    assert await withdraw(engine, "asha", ["three"]) == 1
    assert await withdraw(engine, "asha", ["three"]) == 0
    assert await load_answers(engine, agent) == []


def test_a_finding_has_one_name() -> None:
    assert flag_id("c", 1, "agent", "r", "You IDIOT!") == flag_id("c", 1, "agent", "r", "you idiot")
    names = {
        flag_id("c", 1, "agent", "r", "x"),
        flag_id("c", 1, "caller", "r", "x"),
        flag_id("c", 2, "agent", "r", "x"),
        flag_id("c", 1, "agent", "s", "x"),
        flag_id("c", 1, "agent", "r", "y"),
        flag_id("c", 1, "agent", "r", "!"),
        flag_id("d", 1, "agent", "r", "x"),
    }
    assert len(names) == 7
