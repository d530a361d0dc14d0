"""Answers made in advance: heard at once, for the versions that they were made for, past the guard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.exc import OperationalError
from telephone import RATE_HZ, FakeVoice, FakeWriter, Telephone, agent_with, composer_of
from virtualtime import run

from appliance.call.cached import CommonAnswers
from appliance.call.kept import KeptAudio
from appliance.events import Agent, Passage
from appliance.safety.rules import SiteRule
from appliance.store.cached_answers import CachedAnswer

QUESTION = "what are your opening hours"
HOURS = "We are open from nine to six."
KNOWN = Passage("p1", "faq.pdf", "Hours", HOURS, 0.9, page=3)
KEPT = CachedAnswer(QUESTION, "What are your opening hours?", HOURS, "llm", (KNOWN,))


class Common:
    """What a worker would load, with the calls that ask for it."""

    def __init__(self, *answers: CachedAnswer) -> None:
        self.answers: Sequence[CachedAnswer] = answers
        self.loads = 0
        self.away = False

    async def load(self, agent: Agent) -> Sequence[CachedAnswer]:
        self.loads += 1
        if self.away:
            raise OperationalError("", {}, OSError("gone"))
        return self.answers


def telephone(
    *answers: CachedAnswer, rules: Sequence[SiteRule] = (), **fields: object
) -> Telephone:
    phone = Telephone(agent_with(**fields), FakeWriter(first_s=1.0), rules=rules)
    phone.composer = composer_of(
        phone.voice, phone.writer, phone.search, guarding=phone.guarding, answers=answers
    )
    return phone


async def _ask(phone: Telephone, question: str) -> None:
    await phone.composer.refresh([phone.agent])
    async with phone.call():
        await phone.quiet()
        await phone.say(question)
        await phone.until(lambda: phone.sounding)
        await phone.quiet()


def test_a_common_question_is_answered_within_150_ms_of_the_turn() -> None:
    phone = telephone(KEPT)
    run(_ask(phone, "um what are your opening hours"))
    turn = phone.turns[1]
    assert turn.source == "cached" and turn.heard == HOURS
    assert "um what are your opening hours" not in phone.writer.questions
    assert [p.page for p in turn.passages] == [3]
    assert turn.stages.first_frame is not None and turn.stages.turn_given is not None
    assert turn.stages.first_frame - turn.stages.turn_given <= 150
    assert phone.voice.spoken.count(HOURS) == 2  # in advance, at both rates; never in the call


def test_other_words_are_asked_as_ever() -> None:
    phone = telephone(KEPT)
    run(_ask(phone, "what are your opening hours on sunday"))
    assert phone.turns[1].source == "llm" and phone.writer.prompts


def test_an_agent_that_wants_no_cache_has_none() -> None:
    phone = telephone(KEPT, common_answers=False)
    run(_ask(phone, QUESTION))
    assert phone.turns[1].source == "llm"


def test_a_supervisors_word_goes_before_the_cache() -> None:
    async def talk(phone: Telephone) -> None:
        await phone.composer.refresh([phone.agent])
        async with phone.call():
            await phone.quiet()
            phone.lobby.on_whisper("We close at four today.")
            await phone.say(QUESTION)
            await phone.until(lambda: phone.sounding)
            await phone.quiet()

    phone = telephone(KEPT)
    run(talk(phone))
    assert phone.turns[1].source == "llm"


def test_a_rule_made_since_stops_it() -> None:
    phone = telephone(
        KEPT, rules=[SiteRule(1, "words", "nine to six")], safe_phrase="I cannot say."
    )
    run(_ask(phone, QUESTION))
    assert phone.turns[1].heard == "I cannot say."
    assert [flag.action for flag in phone.journal.flags] == ["stopped"]


def test_it_is_of_one_version_and_goes_when_withdrawn() -> None:
    async def look() -> None:
        voice, common = FakeVoice(), Common(KEPT)
        kept = KeptAudio(voice)
        answers = CommonAnswers(common.load, kept)
        agent = agent_with(knowledge="k", knowledge_version=1)
        await answers.refresh([agent])
        assert answers.find(agent, QUESTION) is not None
        assert kept.get(agent, RATE_HZ, HOURS) is not None
        for other in (replace(agent, version=2), replace(agent, knowledge_version=2)):
            assert answers.find(other, QUESTION) is None
        common.away = True
        await answers.refresh([agent])
        assert answers.find(agent, QUESTION) is not None  # Postgres is away: nothing has changed
        common.away, common.answers = False, ()
        await answers.refresh([agent])
        assert answers.find(agent, QUESTION) is None
        kept.keep_only([(agent, answers.texts(agent))])
        assert kept.get(agent, RATE_HZ, HOURS) is None and kept.size_bytes == 0

    run(look())


def test_a_database_that_hangs_does_not_hold_up_what_else_is_to_be_learned() -> None:
    async def hangs(agent: Agent) -> Sequence[CachedAnswer]:
        await asyncio.sleep(3600)
        return ()

    async def look() -> float:
        answers = CommonAnswers(hangs, KeptAudio(FakeVoice()))
        await answers.refresh([agent_with(knowledge="k", knowledge_version=1)])
        return asyncio.get_running_loop().time()

    assert run(look()) < 60
