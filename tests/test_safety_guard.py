"""The guard as a whole: the written cases, the sample's own answers, any text at all."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.events import Agent, Passage
from appliance.knowledge.answers import extract
from appliance.safety.findings import Finding
from appliance.safety.grounding import cited
from appliance.safety.guard import Context, Guard
from appliance.safety.rules import RuleSet, SiteRule
from appliance.speech.phrases import Phrases
from appliance.speech.sentences import sentences
from tests.guard_scoring import counts, judge_all, sample_agent, sample_passages, wrong
from tests.sunrise_questions import CALIBRATION, HELD_OUT

GUARD = Guard(RuleSet())
AGENT = sample_agent()
PASSAGES = sample_passages()
ANY_TEXT = st.text(max_size=120) | st.text(
    alphabet="0123456789 ,.-:@$₹%aeshitfuckone twothree चार सौ रुपये\u200d\u0ccd\u0bcd", max_size=120
)


def neighbours(number: int) -> tuple[Passage, ...]:
    """What a search might return: the passage first, and three others."""
    return tuple(PASSAGES[(number + at * 7) % len(PASSAGES)] for at in range(4))


def said_in_phrases(text: str, context: Context, *, hurry: bool) -> list[Finding]:
    """What is found in a reply that is spoken phrase by phrase, as it is written."""
    splitter, phrases = Phrases(hurry=hurry), []
    for word in text.split(" "):
        phrases += splitter.feed(word + " ")
    found: list[Finding] = []
    for phrase in [*phrases, *splitter.flush()]:
        found += GUARD.check_phrase(phrase, context)
        context = replace(context, before=f"{context.before} {phrase}".strip())
    return found


def test_the_written_cases_outside_the_held_out_ones_are_judged_as_meant_but_for_the_known() -> (
    None
):
    judged = [one for one in judge_all() if one.case.file != "held_out"]
    assert len(judged) > 200
    assert [one.case.text for one in judged if wrong(one)] == [
        "ಹೋಮ್ ಪ್ಲಾನ್ ತಿಂಗಳಿಗೆ ನಾನೂರ ತೊಂಬತ್ತೊಂಬತ್ತು ರೂಪಾಯಿ."  # 400 spelt as few do
    ]


def test_cases_that_the_checks_were_not_made_with_are_judged_nearly_as_well() -> None:
    judged = [one for one in judge_all() if one.case.file == "held_out"]
    hits = false = missed = 0
    for count in counts(judged).values():
        hits, false, missed = hits + count["hits"], false + count["false"], missed + count["missed"]
    assert hits / (hits + false) >= 0.9
    assert hits / (hits + missed) >= 0.75


def test_no_extractive_answer_of_the_sample_is_stopped_or_flagged() -> None:
    for question, heading, _ in [*CALIBRATION, *HELD_OUT]:
        number = next(n for n, passage in enumerate(PASSAGES) if passage.heading == heading)
        answer = extract(question, neighbours(number))
        assert answer is not None
        context = Context(AGENT, question, neighbours(number))
        for hurry in (True, False):
            assert said_in_phrases(answer, context, hurry=hurry) == [], answer
        assert GUARD.check_caller(question, AGENT) == ()


def test_no_passage_of_the_sample_is_stopped_whatever_part_of_it_is_said() -> None:
    for number, passage in enumerate(PASSAGES):
        context = Context(AGENT, passage.heading, neighbours(number))
        for hurry in (True, False):
            assert said_in_phrases(passage.text, context, hurry=hurry) == [], passage.text
        assert not GUARD.check_passage(f"{passage.heading}\n{passage.text}")


def test_the_answer_cites_the_passage_that_it_is_from() -> None:
    for number, passage in enumerate(PASSAGES):
        marked = cited(passage.text, neighbours(number))
        assert [p.cited for p in marked] == [True, False, False, False], passage.heading


def test_an_answer_that_knows_nothing_cites_nothing() -> None:
    assert not any(p.cited for p in cited(AGENT.unknown_answer, neighbours(0)))
    assert not any(p.cited for p in cited("", neighbours(0)))
    assert cited("We are open.", ()) == ()


def test_an_answer_from_two_passages_cites_both() -> None:
    headings = (
        "How much does the Home plan cost?",
        "What is the late fee?",
        "Where is your office?",
    )
    three = [p for heading in headings for p in PASSAGES if p.heading == heading]
    marked = cited("The Home plan is ₹499 a month. The late fee is one hundred rupees.", three)
    assert [p.cited for p in marked] == [True, True, False]


def test_what_the_operator_wrote_word_for_word_is_not_checked() -> None:
    agent = replace(AGENT, goodbye="Goodbye, and call 98230 40404 any time, you idiot.")
    assert GUARD.check_phrase(agent.goodbye, Context(agent, "bye")) == ()


def test_each_check_can_be_left_out() -> None:
    phrase = "You idiot, my system prompt says 4111 1111 1111 1111 costs ₹77."
    full = replace(AGENT, grounding="stop")
    found = {f.category for f in GUARD.check_phrase(phrase, Context(full, ""))}
    assert found == {"abuse", "injection", "personal", "grounding"}
    off = replace(AGENT, guard_checks=(), grounding="off")
    assert GUARD.check_phrase(phrase, Context(off, "")) == ()
    words = replace(AGENT, guard_checks=("words",), grounding="off")
    assert {f.category for f in GUARD.check_phrase(phrase, Context(words, ""))} == {"abuse"}


def test_the_gravest_comes_first_and_grounding_stops_only_where_the_agent_says_so() -> None:
    phrase = "The Home plan is ₹77, you idiot."
    stops = GUARD.check_phrase(phrase, Context(replace(AGENT, grounding="stop"), ""))
    assert [f.action for f in stops] == ["stop", "stop"]
    flags = GUARD.check_phrase(phrase, Context(AGENT, ""))
    assert [(f.category, f.action) for f in flags] == [("abuse", "stop"), ("grounding", "flag")]


def test_what_two_phrases_part_is_found_in_the_second() -> None:
    context = Context(AGENT, "", before="Please go to")
    assert GUARD.check_phrase("hell with your bill.", context)[0].category == "abuse"
    done = Context(AGENT, "", before="You may go to hell.")
    assert all(f.category != "abuse" for f in GUARD.check_phrase("Thank you.", done))


def test_a_number_that_goes_on_in_the_next_phrase_is_judged_as_a_whole() -> None:
    passages = tuple(p for p in PASSAGES if p.heading == "How much does the Home plan cost?")
    context = Context(AGENT, "how much", passages)
    assert GUARD.check_phrase("It costs four hundred", context) == ()
    after = replace(context, before="It costs four hundred")
    assert GUARD.check_phrase("and ninety nine rupees a month.", after) == ()
    wrong_one = GUARD.check_phrase("and fifty rupees a month.", after)
    assert [f.rule for f in wrong_one] == ["grounding.fact"]


def test_what_the_caller_or_an_earlier_turn_said_is_a_source() -> None:
    talk = (("I paid 750 rupees", "Thank you."), ("", "It is due on the 14th of March."))
    context = Context(AGENT, "and now", talk=talk, memory="Plan since 2019, pays ₹899.")
    assert GUARD.check_phrase("You paid 750 rupees, it was due on March 14.", context) == ()
    assert GUARD.check_phrase("You pay 899 rupees.", context) == ()
    assert GUARD.check_phrase("You pay 898 rupees.", context) != ()


def test_a_rule_of_the_site_is_of_one_agent_and_one_language() -> None:
    mine = SiteRule(7, "words", "lifetime free", agent_id="sunrise", language="en", action="flag")
    guard = Guard(RuleSet([mine]))
    text = "It is Lifetime FREE for you."
    found = guard.check_phrase(text, Context(replace(AGENT, grounding="off"), ""))
    assert [(f.rule, f.action, f.phrase) for f in found] == [("site.7", "flag", "Lifetime FREE")]
    for other in (replace(AGENT, id="moon"), replace(AGENT, language="hi-IN")):
        assert guard.check_phrase(text, Context(replace(other, grounding="off"), "")) == ()


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.sampled_from(["en", "hi", "ta", "ml", "ur", "xx"]))
def test_any_text_is_judged(phrase: str, before: str, said: str, language: str) -> None:
    agent = replace(AGENT, language=language, grounding="stop")
    passage = Passage("1", "d", before, said, 0.5)
    context = Context(agent, said, (passage,), before, ((said, before),), said)
    for finding in (*GUARD.check_phrase(phrase, context), *GUARD.check_caller(phrase, agent)):
        assert finding.rule and finding.category
    assert isinstance(GUARD.check_passage(phrase), bool)
    assert len(cited(phrase, (passage,))) == 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PASSAGES), st.integers(0, 3))
def test_what_stands_in_a_passage_is_grounded_whatever_goes_before(
    passage: Passage, skip: int
) -> None:
    text = " ".join(sentences(passage.text)[skip:])
    agent: Agent = replace(AGENT, grounding="stop")
    assert GUARD.check_phrase(text, Context(agent, "", (passage,))) == ()
