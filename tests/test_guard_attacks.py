"""The guard under attack: verdicts out of order, models that fail, texts made to be slow."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from telephone import agent_with
from test_release import BAD, SAFE, SlowJudge, _one_question, telephone
from virtualtime import run

from appliance.call.history import History
from appliance.call.release import Guarding
from appliance.call.reply import Reply, Safe
from appliance.safety.findings import Context
from appliance.safety.guard import Guard
from appliance.safety.rules import RuleSet, SiteRule

RATE_HZ = 8000


def sound(ms: int) -> bytes:
    return bytes(2 * RATE_HZ * ms // 1000)


def spoken(*phrases: tuple[str, int]) -> Reply:
    """A reply whose phrases have so many ms of audio each."""
    reply = Reply("llm", "", RATE_HZ, lambda: 0)
    for text, ms in phrases:
        reply.begin_phrase(text)
        reply.sound(sound(ms))
        reply.end_phrase()
    reply.safe = Safe(SAFE, sound(1000))
    return reply


def play(reply: Reply, ms: int) -> None:
    for _ in range(ms // 20):
        reply.utterance.read()


def test_two_late_verdicts_say_the_safe_phrase_once() -> None:
    reply = spoken(("One.", 1000), ("Two.", 1000), ("Three.", 1000))
    play(reply, 1500)
    reply.cut_short("Two.")
    play(reply, 500)  # in the middle of the safe phrase
    reply.cut_short("One.")  # the verdict on what was heard before is later still
    play(reply, 5000)
    assert reply.utterance.played_ms == 1500 + 1000
    assert reply.heard.count(SAFE) == 1 and "Three." not in reply.heard


def test_what_was_cut_has_its_place_in_the_recording() -> None:
    reply = spoken(("One.", 1000), ("Two and a half.", 1000))
    play(reply, 1500)
    reply.cut_short("Two and a half.")
    assert reply.place_of("Two and a half.") == (1000, 1500)
    assert reply.place_of("One.") == (0, 1000) and reply.place_of("Four.") is None


def test_the_flag_of_a_late_verdict_says_where() -> None:
    phone = telephone(SlowJudge(3.0), guard_mode="hold", guard_deadline_ms=200)
    run(_one_question(phone))
    (flag,) = phone.journal.flags
    assert flag.action == "late" and flag.phrase == BAD
    assert flag.begin_ms is not None and flag.end_ms is not None and flag.begin_ms < flag.end_ms


def test_a_failure_that_nobody_waits_for_is_no_line_in_the_log() -> None:
    seen: list[dict[str, Any]] = []

    async def dropped() -> None:
        """A speculation that is dropped while the guard model fails."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(context))
        guarding = Guarding(Guard(RuleSet()), SlowJudge(0.1, "away"))
        context = Context(agent_with(), "", (), "", (), "")
        assert guarding.ask_model(context, "A phrase.") is not None
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(0)

    run(dropped())
    assert seen == []


async def test_sources_are_read_beside_the_event_loop() -> None:
    read = threading.Event()
    threads: list[int] = []

    class Slow(Guard):
        def prepare(self, context: Context) -> None:
            threads.append(threading.get_ident())
            read.set()
            raise RuntimeError("a bug")

    release = Guarding(Slow(RuleSet())).open(
        agent_with(), Reply("llm", "", RATE_HZ, int), History()
    )
    release.prepare()
    await asyncio.sleep(0.05)
    assert await asyncio.to_thread(read.wait, 5.0)
    assert threads and threads[0] != threading.get_ident()


@pytest.mark.parametrize(
    "phrase",
    [
        "It is life-time free.", "It is life*time* fr*ee.", "It is life[time] free.",
        "It is li\u2800fetime free.", "It is life\u2011time fr\u2013ee.", "It is life(time) free.",
        "It is life\u200btime free.", "It is lіfetіme frее.", "It is 𝐥𝐢𝐟𝐞𝐭𝐢𝐦𝐞 ｆｒｅｅ.",
        "It is l1fet1me fr33.", "It is lifetime\nfree.", "It is **lifetime** *free*.",
    ],
)  # fmt: skip
def test_a_word_of_a_rule_is_found_however_it_is_broken(phrase: str) -> None:
    guard = Guard(RuleSet([SiteRule(7, "words", "lifetime free")]))
    context = Context(agent_with(grounding="off"), "", (), "", (), "")
    assert [f.rule for f in guard.check_phrase(phrase, context) if f.action == "stop"] == ["site.7"]


def test_a_hyphen_between_words_is_none_inside_of_one() -> None:
    guard = Guard(RuleSet([SiteRule(7, "words", "lifetime free")]))
    context = Context(agent_with(grounding="off"), "", (), "", (), "")
    for phrase in ("It is lifetime-free.", "It is lifetime - free."):
        assert [f.rule for f in guard.check_phrase(phrase, context)] == ["site.7"]
