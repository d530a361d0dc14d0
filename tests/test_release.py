"""What a caller hears of a phrase that the guard stops, in every mode: a real call on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from telephone import FakeWriter, Telephone, agent_with, composer_of
from virtualtime import run

from appliance.errors import EngineError
from appliance.events import Agent
from appliance.safety.findings import Context, Finding
from appliance.safety.rules import SiteRule

GOOD = "We are open every day from nine until six."
BAD = "The moon is made of green cheese and that is for sure."
ANSWER = f"{GOOD} {BAD}"
SAFE = "I cannot talk about that."
FORBIDDEN = SiteRule(7, "words", "green cheese")
MODEL = Finding("S1", "model", "high", "stop", "cheese")


@dataclass
class SlowJudge:
    """Finds ``cheese``, each time so much later."""

    late_s: float
    error: str = ""
    asked: list[str] = field(default_factory=list)

    async def judge(self, context: Context, phrase: str) -> Finding | None:
        self.asked.append(phrase)
        await asyncio.sleep(self.late_s)
        if self.error:
            raise EngineError("guard", self.error)
        return MODEL if "cheese" in phrase else None


def telephone(judge: SlowJudge | None = None, *rules: SiteRule, **fields: object) -> Telephone:
    agent = agent_with(safe_phrase=SAFE, grounding="off", **fields)
    return Telephone(agent, FakeWriter(answer=ANSWER), judge=judge, rules=rules)


async def _one_question(phone: Telephone, after_ms: int = 0) -> None:
    async with phone.call():
        await phone.quiet()
        await phone.say("what are your opening hours")
        await phone.until(lambda: phone.sounding)
        await phone.quiet()
        await phone.wait(after_ms)


def test_what_a_rule_stops_is_never_heard_and_the_history_holds_what_was() -> None:
    phone = telephone(None, FORBIDDEN)
    run(_one_question(phone))
    turn = phone.turns[1]
    assert "cheese" in turn.reply and "cheese" not in turn.heard
    assert turn.heard == f"{GOOD} {SAFE}" and "the guard stopped a phrase" in turn.failure
    (flag,) = phone.journal.flags
    assert (flag.action, flag.found_by, flag.side) == ("stopped", "guard", "agent")
    assert (
        "green cheese" in flag.phrase and flag.question == turn.said and flag.answer == turn.reply
    )
    # the place in the recording is where the safe phrase stands
    assert flag.begin_ms is not None and flag.end_ms is not None
    assert turn.stages.first_frame is not None
    assert flag.begin_ms == turn.stages.first_frame + len(GOOD.split()) * 300
    assert phone.writer.closed == 1  # nobody would hear the rest
    assert [name for name, _ in phone.events].count("flag") == 1


def test_the_rules_cost_no_time() -> None:
    with_rules, without = telephone(None, FORBIDDEN), telephone()
    run(_one_question(with_rules))
    run(_one_question(without))
    guarded, free = with_rules.turns[1], without.turns[1]
    assert guarded.gap_ms == free.gap_ms and guarded.stages.held == free.stages.held == 0


@pytest.mark.parametrize("mode", ["hold", "strict", "release"])
def test_a_model_quicker_than_the_voice_costs_no_time_and_stops_in_every_mode(mode: str) -> None:
    phone = telephone(SlowJudge(0.05), guard_mode=mode)
    run(_one_question(phone))
    assert phone.turns[1].stages.held == 0
    actions = {flag.action for flag in phone.journal.flags}
    if mode == "release":  # it waits for nothing, but does not play what is known to be bad
        assert actions <= {"stopped", "late"}
    else:
        assert actions == {"stopped"} and "cheese" not in phone.turns[1].heard


def test_held_audio_waits_for_a_slow_model() -> None:
    phone = telephone(SlowJudge(0.3), guard_mode="hold", guard_deadline_ms=400)
    run(_one_question(phone))
    turn = phone.turns[1]
    assert 190 <= turn.stages.held <= 210  # 300 ms, of which the voice took the first 100
    assert "cheese" not in turn.heard and turn.heard.endswith(SAFE)


def test_after_the_deadline_it_is_heard_and_cut_as_soon_as_the_verdict_is_in() -> None:
    phone = telephone(SlowJudge(3.0), guard_mode="hold", guard_deadline_ms=200)
    run(_one_question(phone))
    turn = phone.turns[1]
    assert 90 <= turn.stages.held <= 110
    (flag,) = phone.journal.flags
    assert flag.action == "late" and "cheese" in flag.phrase
    assert turn.heard.endswith(
        SAFE
    )  # it had not come to the phrase yet, or was in the middle of it
    assert len(turn.heard) < len(ANSWER)


def test_a_verdict_after_the_turn_is_still_a_flag() -> None:
    phone = telephone(SlowJudge(12.0), guard_mode="release")
    run(_one_question(phone, after_ms=10_000))
    assert phone.turns[1].heard == ANSWER
    (flag,) = phone.journal.flags
    assert (flag.action, flag.turn) == ("late", 2)
    assert flag.begin_ms is not None


def test_a_strict_agent_says_nothing_without_a_verdict() -> None:
    phone = telephone(SlowJudge(0.1, error="no answer in time"), guard_mode="strict")
    run(_one_question(phone))
    turn = phone.turns[1]
    assert turn.heard == SAFE and "no verdict" in turn.failure
    assert phone.journal.flags[0].rule == "no verdict"


def test_the_others_go_on_without_the_model() -> None:
    phone = telephone(SlowJudge(0.1, error="no answer in time"), guard_mode="hold")
    run(_one_question(phone))
    assert phone.turns[1].heard == ANSWER and not phone.journal.flags


def test_fixed_phrases_are_the_agents_own_and_not_judged() -> None:
    judge = SlowJudge(0.05)
    phone = telephone(judge, SiteRule(8, "words", "welcome"))
    run(_one_question(phone))
    assert phone.turns[0].heard == "Welcome to Sunrise."
    assert not [phrase for phrase in judge.asked if "Welcome" in phrase]


def test_a_guard_that_breaks_stops_strict_agents_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def check_phrase(self, *_: object) -> tuple[Finding, ...]:
            raise ZeroDivisionError

        check_caller = check_phrase

    heard = {}
    for mode in ("hold", "strict"):
        phone = telephone(guard_mode=mode)
        phone.guarding.guard = Broken()  # type: ignore[assignment]
        run(_one_question(phone))
        heard[mode] = phone.turns[1].heard
    assert heard == {"hold": ANSWER, "strict": SAFE}
    assert "the guard broke" in caplog.text


def test_a_barge_in_over_a_held_phrase_leaves_nothing_behind() -> None:
    async def talk(phone: Telephone) -> None:
        async with phone.call():
            await phone.quiet()
            await phone.say("what are your opening hours")
            await phone.wait(700)  # the phrase is held: nothing has been heard
            await phone.say("no wait what is the late fee")
            await phone.until(lambda: phone.sounding)
            await phone.quiet()

    phone = telephone(SlowJudge(1.5), guard_mode="strict")
    run(talk(phone))
    assert phone.turns[-1].said.endswith("late fee")


def test_a_kept_safe_phrase_is_there_for_every_rate() -> None:
    async def look() -> tuple[bool, bool]:
        phone = telephone()
        composer = composer_of(phone.voice, None, phone.search)
        agent: Agent = phone.agent
        await composer.warm(agent)
        return SAFE in phone.voice.spoken, await composer.warm(agent)

    assert run(look()) == (True, True)
