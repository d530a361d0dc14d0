"""Answers made in advance: of which questions, which of them are used, and when again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from knowledge_servers import EmbedProcess
from review_kit import FAQ, from_prompt, helpline, language_model, load_text, log_call, settings_of
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Agent, Passage
from appliance.review.asking import Asked
from appliance.review.common import Made, is_fit, make_answers, stands_alone
from appliance.safety.findings import Finding
from appliance.store.agents import load_agent, publish_agent
from appliance.store.cached_answers import list_answers, load_answers, withdraw

AGENT = Agent("asha", 1, "Asha", transfer_to="queue:help", slots={"name": "", "plan": ""})
FEE = Passage("1", "faq.md", "Fee", "The late fee is one hundred rupees.", 0.8, cited=True)
GOOD = Asked(
    "q", "The late fee is one hundred rupees.", "…", "llm", (FEE,), (), False, 1, 1, 9.0
)  # fmt: skip


@pytest.mark.parametrize(
    "said",
    ["what is the late fee", "when are you open on sundays", "how do I pay my bill"],
)
def test_whole_questions(said: str) -> None:
    assert stands_alone(said, AGENT)


@pytest.mark.parametrize(
    "said",
    [
        "yes", "no thank you", "hello", "okay goodbye", "and how much is it", "what about sundays",
        "the second one", "price", "can I speak to a person please", "what is my name",
        "which plan do I have", "my number is 98765 43210", "my card is [card]", "how much is that one",
    ],
)  # fmt: skip
def test_what_is_no_question_of_just_anybody(said: str) -> None:
    assert not stands_alone(said, AGENT)


def test_hindi_has_whole_questions_and_others_too() -> None:
    agent = replace(AGENT, language="hi")
    assert stands_alone("विलंब शुल्क कितना है", agent)
    assert not stands_alone("और उसका दाम कितना है", agent)
    assert not stands_alone("मेरा नाम क्या है", replace(agent, slots={"नाम": ""}))


def test_only_an_answer_that_anybody_may_hear_is_fit() -> None:
    assert is_fit(GOOD, AGENT)
    finding = Finding("grounding.fact", "grounding", "medium", "flag", "450")
    for unfit in (
        replace(GOOD, findings=(finding,)),
        replace(GOOD, stopped=True),
        replace(GOOD, wants_person=True),
        replace(GOOD, failure="the language model was late"),
        replace(GOOD, answer=""),
        replace(GOOD, answer="long " * 200),
        replace(GOOD, answer=AGENT.unknown_answer),
        replace(GOOD, passages=(replace(FEE, cited=False),)),
        replace(GOOD, passages=(replace(FEE, score=0.3),)),
        replace(GOOD, passages=()),
    ):
        assert not is_fit(unfit, AGENT)


@pytest.mark.server
async def test_common_questions_are_answered_in_advance_for_each_version(
    engine: AsyncEngine, database_url: str, embed_process: EmbedProcess, tmp_path: Path
) -> None:
    async with language_model(from_prompt) as model:
        settings = settings_of(tmp_path, database_url, embed_process.url, model.url)
        agent = await helpline(engine, tmp_path, embed_process.url)
        asked = ["What is the late fee?", "and on sundays", "who won the cricket match", "yes"]
        for number in range(3):
            talk = [(question, "…") for question in asked]
            await log_call(engine, agent, talk, call_id=f"call-{number}")
        assert await make_answers(engine, settings) == Made(asked=2, kept=1)
        (fee,) = await load_answers(engine, agent)
        assert fee.wording == "what is the late fee" and "one hundred" in fee.answer
        assert fee.passages[0].cited and fee.source == "llm"

        times = len(model.asked)
        assert await make_answers(engine, settings) == Made()
        assert len(model.asked) == times, "nothing is new: nobody is asked"
        await withdraw(engine, "asha", [fee.wording])
        assert await make_answers(engine, settings) == Made()
        assert await load_answers(engine, agent) == []

        await load_text(
            engine, tmp_path, embed_process.url, FAQ.replace("one hundred", "two hundred")
        )
        now = await load_agent(engine, "asha")
        assert now is not None and await load_answers(engine, now) == []
        assert await make_answers(engine, settings) == Made(asked=2, kept=1, dropped=2)
        assert "two hundred" in (await load_answers(engine, now))[0].answer

        again = await publish_agent(engine, replace(now, prompt="Be brief."))
        assert await make_answers(engine, settings, "asha") == Made(asked=2, kept=1, dropped=2)
        assert len(await load_answers(engine, again)) == 1
        await publish_agent(engine, replace(again, common_answers=False))
        assert await make_answers(engine, settings) == Made(dropped=2)
        assert await list_answers(engine) == []


@pytest.mark.server
async def test_with_a_server_away_nothing_is_kept_and_it_is_asked_again_later(
    engine: AsyncEngine, database_url: str, embed_process: EmbedProcess, tmp_path: Path
) -> None:
    async with language_model(from_prompt) as model:
        settings = settings_of(tmp_path, database_url, embed_process.url, model.url)
        agent = await helpline(engine, tmp_path, embed_process.url)
        for number in range(2):
            talk = [("what is the late fee", "…")]
            await log_call(engine, agent, talk, call_id=f"call-{number}")
        await model.stop()
        assert await make_answers(engine, settings) == Made()
        assert await list_answers(engine) == []
        await model.start_again()
        assert (await make_answers(engine, settings)).kept == 1
