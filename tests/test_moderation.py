"""Calls checked again after they are over, on a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from review_kit import log_call
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Agent, Flag, Passage, Stages, Turn
from appliance.review import moderation
from appliance.review.moderation import Moderated, moderate_new
from appliance.safety.guard import Guard
from appliance.settings import Settings
from appliance.store.agents import publish_agent
from appliance.store.flags import Wanted, add_flags, decide, list_flags
from appliance.store.rows import upsert

FEE = Passage("1", "faq.md", "Late fee", "The late fee is one hundred rupees.", 0.8, cited=True)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, "database": {"url": database_url}})


async def agent_of(engine: AsyncEngine, language: str = "en", **fields: object) -> Agent:
    agent = Agent(f"asha-{language}", 1, "Asha", language=language, **fields)  # type: ignore[arg-type]
    return await publish_agent(engine, agent)


async def flags_of(engine: AsyncEngine) -> list[Flag]:
    return [one.flag for one in await list_flags(engine, Wanted())]


@pytest.mark.parametrize(
    ("language", "said", "category", "severity"),
    [
        ("en", "I want to kill myself", "self-harm", "high"),
        ("hi", "मैं जीना नहीं चाहता", "self-harm", "high"),
        ("hi", "main marna chahta hun", "self-harm", "high"),
        ("en", "you are an idiot", "abuse", "medium"),
        ("hi", "तुम हरामी हो", "abuse", "high"),
        ("en", "I want to file a complaint against you", "complaint", "low"),
        ("hi", "मुझे शिकायत दर्ज करनी है", "complaint", "low"),
        ("en", "I will come there and kill you", "threat", "high"),
        ("hi", "मैं तुम्हें जान से मार दूँगा", "threat", "high"),
    ],
)
async def test_what_callers_say(
    engine: AsyncEngine, settings: Settings, language: str, said: str, category: str, severity: str
) -> None:
    agent = await agent_of(engine, language, guard_checks=("personal",))
    await log_call(engine, agent, [("hello", "Hello."), (said, "I see.")])
    done = await moderate_new(engine, settings)
    flags = [flag for flag in await flags_of(engine) if flag.side == "caller"]
    assert done.calls == 1 and done.flags >= 1
    (flag,) = [flag for flag in flags if flag.category == category]
    assert (flag.severity, flag.turn, flag.phrase) == (severity, 2, said)
    assert (flag.begin_ms, flag.end_ms) == (20_000, 22_000)
    assert (flag.found_by, flag.action, flag.agent_id) == ("moderation", "flagged", agent.id)


async def test_ordinary_calls_raise_nothing(engine: AsyncEngine, settings: Settings) -> None:
    agent = await agent_of(engine)
    talk = [
        ("what is the late fee", "The late fee is one hundred rupees."),
        ("thank you", "Goodbye."),
    ]
    await log_call(engine, agent, talk, passages=(FEE,))
    assert await moderate_new(engine, settings) == Moderated(calls=1)
    assert await flags_of(engine) == []


async def test_what_the_agent_said_is_checked_by_the_rules_of_now(
    engine: AsyncEngine, settings: Settings
) -> None:
    agent = await agent_of(engine, grounding="flag")
    await log_call(
        engine,
        agent,
        [("what is the late fee", "It is late. You are an idiot. The late fee is 450 rupees.")],
        passages=(FEE,),
    )
    await moderate_new(engine, settings)
    flags = {flag.category: flag for flag in await flags_of(engine)}
    assert set(flags) == {"abuse", "grounding"}
    rude = flags["abuse"]
    assert (rude.side, rude.phrase) == ("agent", "You are an idiot.")
    assert rude.begin_ms == 12_600 + 12 * 65 and rude.end_ms == 12_600 + 29 * 65
    assert "450" in flags["grounding"].phrase
    assert flags["grounding"].question == "what is the late fee"


async def test_the_same_call_again_gives_the_same_flags_and_no_decision_is_lost(
    engine: AsyncEngine, settings: Settings
) -> None:
    agent = await agent_of(engine)
    await log_call(engine, agent, [("you are an idiot", "I see."), ("kill you", "I see.")])
    first = await moderate_new(engine, settings)
    before = await flags_of(engine)
    assert first == Moderated(1, 2) and len(before) == 2
    await decide(engine, before[0].id, "dismissed", "zoe")
    assert await moderate_new(engine, settings) == Moderated()
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE calls SET moderated_at = NULL"))
    assert await moderate_new(engine, settings) == Moderated(calls=1)
    assert await flags_of(engine) == before
    assert len(await list_flags(engine, Wanted(state="dismissed"))) == 1


async def test_what_the_guard_flagged_in_the_call_is_one_flag_with_moderation_s(
    engine: AsyncEngine, settings: Settings
) -> None:
    agent = await agent_of(engine)
    await log_call(engine, agent, [("why", "Because. You are an idiot.")])
    await moderate_new(engine, settings)
    (again,) = [flag for flag in await flags_of(engine) if flag.category == "abuse"]
    live = replace(again, found_by="guard", action="late", begin_ms=13_000)
    async with engine.begin() as connection:  # it came late out of a worker's spool
        await upsert(connection, [live])
    assert [f for f in await flags_of(engine) if f.category == "abuse"] == [live]
    async with engine.begin() as connection:
        assert await add_flags(connection, [again]) == 0


async def test_questions_without_an_answer(engine: AsyncEngine, settings: Settings) -> None:
    agent = await agent_of(engine)
    no = agent.unknown_answer
    await log_call(engine, agent, [("do you sell tea", no), ("hi", "Hello."), ("and coffee", no)])
    await log_call(engine, agent, [("do you sell tea", no)], call_id="call-2")
    await moderate_new(engine, settings)
    (flag,) = await flags_of(engine)
    assert (flag.call_id, flag.turn, flag.category) == ("call-1", 3, "unanswered")
    assert flag.phrase == "do you sell tea / and coffee"


async def test_only_calls_that_are_over_and_whose_rows_are_there(
    engine: AsyncEngine, settings: Settings
) -> None:
    agent = await agent_of(engine)
    talk = [("I will kill you", "I see.")]
    live = await log_call(engine, agent, talk, call_id="live")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE calls SET ended_at = NULL"))
    await log_call(engine, agent, talk, call_id="just-now", ended=timedelta(seconds=5))
    await log_call(engine, agent, talk, call_id="long-ago", ended=timedelta(days=40))
    assert await moderate_new(engine, settings) == Moderated()
    # another worker took the call over after it was checked, and it went on
    ended = replace(live, ended_at=datetime.now(UTC) - timedelta(minutes=3))
    async with engine.begin() as connection:
        await upsert(connection, [ended])
    assert (await moderate_new(engine, settings)).calls == 1
    later = replace(live, part=2, ended_at=datetime.now(UTC) - timedelta(seconds=40))
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE calls SET moderated_at = now() - interval '2 minutes'")
        )
        more = Turn("live", 1001, datetime.now(UTC), "you idiot", "", "", "llm", Stages(), None)
        await upsert(connection, [later, more])
    assert await moderate_new(engine, settings) == Moderated(1, 1)


async def test_a_call_from_the_console_is_checked_by_whoever_made_it(
    engine: AsyncEngine, settings: Settings
) -> None:
    agent = await agent_of(engine)
    await log_call(engine, agent, [("I will kill you", "I see.")], call_id="test")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE calls SET direction = 'test'"))
    assert await moderate_new(engine, settings) == Moderated()
    assert await flags_of(engine) == []


async def test_two_processes_share_the_calls(engine: AsyncEngine, settings: Settings) -> None:
    agent = await agent_of(engine)
    for number in range(12):
        await log_call(engine, agent, [("you are an idiot", "I see.")], call_id=f"call-{number}")
    both = await asyncio.gather(moderate_new(engine, settings), moderate_new(engine, settings))
    assert sum(one.calls for one in both) == 12 and sum(one.flags for one in both) == 12


async def test_a_call_that_cannot_be_checked_keeps_no_other_waiting(
    engine: AsyncEngine,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = await agent_of(engine)
    await log_call(engine, agent, [("the word that breaks", "I see.")], call_id="bad")
    await log_call(engine, agent, [("you are an idiot", "I see.")], call_id="good")

    class Breaking(Guard):
        def check_caller(self, said: str, agent: Agent) -> tuple:  # type: ignore[type-arg]
            if "breaks" in said:
                raise ZeroDivisionError
            return super().check_caller(said, agent)

    monkeypatch.setattr(moderation, "Guard", Breaking)
    assert await moderate_new(engine, settings) == Moderated(1, 1, 1)
    assert "call bad was not checked" in caplog.text
    monkeypatch.undo()
    assert await moderate_new(engine, settings) == Moderated(calls=1)


async def test_calls_of_an_agent_that_is_gone_are_checked_all_the_same(
    engine: AsyncEngine, settings: Settings
) -> None:
    await log_call(engine, Agent("gone", 4, "Gone"), [("you are an idiot", "I see.")])
    assert await moderate_new(engine, settings) == Moderated(1, 1)
