"""Follow-ups made whole, by rule and on the sample knowledge."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.knowledge.followup_words import small_words
from appliance.knowledge.rewriting import rewrite
from bench.followups import measure
from tests.followups import DIALOGUES, HINDI

PLAN = ("how much does the home plan cost", "It costs four hundred rupees a month.")
PLANS = ("which plans do you have", "We have three plans, called Home, Family and Office.")
LANGUAGES = ("en", "hi", "mr", "bn", "ta", "te", "gu", "kn", "ml", "pa", "ur")


@pytest.mark.parametrize(
    ("earlier", "said", "whole"),
    [
        ([PLAN], "and the family plan?", "how much does the family plan cost"),
        ([PLAN], "what about the family one", "how much does the family plan cost"),
        ([PLAN], "and how fast is it", "and how fast is it home plan cost"),
        ([PLANS], "the second one", "the second one family plans"),
        ([PLANS], "the last one please", "the last one please office plans"),
        ([("my bill", "Shall I tell you how to pay the bill?")], "yes please",
         "shall i tell you how to pay the bill"),
        # the topic of two turns ago; what was added to it last replaces what was added before
        ([("when are you open", ""), ("and on sundays?", "")], "and on holidays?",
         "and on holidays? when are you open"),
        ([("how do I return my router", ""), ("and what does it cost", "")], "how long does it take",
         "how long does it take return router"),
        ([PLAN, ("and the family plan?", "")], "and the office plan?",
         "how much does the office plan cost"),
        ([("what is my wifi password", ""), ("how do I change it", "")], "and my phone number",
         "and my phone number how do i change"),
        # no question of theirs names anything: what they have heard does
        ([("hello", "Welcome to the library.")], "what is it", "what is it welcome library"),
    ],
)  # fmt: skip
def test_a_follow_up_is_made_whole(earlier: list[tuple[str, str]], said: str, whole: str) -> None:
    assert rewrite(said, earlier, "en-IN") == whole


@pytest.mark.parametrize(
    "said",
    [
        "is it possible to change my plan",
        "how long does it take to install a router",
        "my router is broken can I replace it",
        "may I use a router that I bought myself",
        "is there an outage in my area",
        "and when is the bill due",
        "ok thank you how do I cancel my connection",
        "who are you",
        "hello",
        "yes",  # nothing was offered
        "sing me a song please",
        "",
        "?",
    ],
)
def test_what_is_no_follow_up_stays_as_it_was_said(said: str) -> None:
    earlier = [("how do I get a refund", "Within seven days.")]
    assert rewrite(said, earlier, "en") == said


def test_without_earlier_turns_or_rules_nothing_changes() -> None:
    assert rewrite("how much is it", [], "en") == "how much is it"
    assert rewrite("wie viel kostet es", [("Haben Sie Milch", "")], "de") == "wie viel kostet es"


@pytest.mark.parametrize(("earlier", "said", "has", "has_not"), HINDI)
def test_hindi(
    earlier: tuple[tuple[str, str], ...], said: str, has: tuple[str, ...], has_not: tuple[str, ...]
) -> None:
    words = rewrite(said, earlier, "hi").replace("?", "").split()
    assert set(has) <= set(words) and not set(has_not) & set(words), words


@pytest.mark.parametrize(
    ("language", "question", "follow_up", "topic"),
    [
        ("mr", "गोल्ड प्लॅन काय आहे", "आणि त्याची किंमत?", "गोल्ड"),
        ("bn", "গোল্ড প্ল্যান কী", "আর এটার দাম কত?", "গোল্ড"),
        ("ta", "கோல்ட் திட்டம் என்ன", "அதன் விலை எவ்வளவு?", "கோல்ட்"),
        ("te", "గోల్డ్ ప్లాన్ ఏమిటి", "దాని ధర ఎంత?", "గోల్డ్"),
        ("gu", "ગોલ્ડ પ્લાન શું છે", "અને તેની કિંમત?", "ગોલ્ડ"),
        ("kn", "ಗೋಲ್ಡ್ ಪ್ಲಾನ್ ಏನು", "ಅದರ ಬೆಲೆ ಎಷ್ಟು?", "ಗೋಲ್ಡ್"),
        ("ml", "ഗോൾഡ് പ്ലാൻ എന്താണ്", "അതിന്റെ വില എത്രയാണ്?", "ഗോൾഡ്"),
        ("pa", "ਗੋਲਡ ਪਲਾਨ ਕੀ ਹੈ", "ਅਤੇ ਉਸਦੀ ਕੀਮਤ?", "ਗੋਲਡ"),
        ("ur", "گولڈ پلان کیا ہے", "اور اس کی قیمت؟", "گولڈ"),
    ],
)
def test_a_pronoun_in_every_language(
    language: str, question: str, follow_up: str, topic: str
) -> None:
    assert topic in rewrite(follow_up, [(question, "")], language).split()
    assert rewrite(question, [(follow_up, "")], language) == question


@given(
    language=st.sampled_from(LANGUAGES),
    turns=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    seed=st.text(max_size=40),
)
def test_it_never_grows_and_never_fails(language: str, turns: list[int], seed: str) -> None:
    small = small_words(language)
    assert small is not None
    words = sorted(small.small | set(small.places)) + seed.split() + ["plan", "gold", "बिल"]
    earlier = [
        (" ".join(words[(n * step) % len(words)] for step in range(n % 9)), seed) for n in turns
    ]
    said = earlier[-1][0]
    whole = rewrite(said, earlier, language)
    assert len(whole.split()) <= len(said.split()) + 40


def test_a_long_chain_of_follow_ups_stays_short() -> None:
    earlier = [("how much does the gold plan cost", "Ten rupees.")]
    for number in range(5):
        said = f"and the plan{number} plan?"
        whole = rewrite(said, earlier, "en")
        assert len(whole.split()) <= 10 and f"plan{number}" in whole
        earlier.append((said, "Some rupees."))


def test_the_right_passage_is_found(tmp_path: Path) -> None:
    figures = measure(tmp_path)
    tuned, unseen, whole = figures["tuned on"], figures["unseen"], figures["stands for itself"]
    assert tuned["dialogues"] == len(DIALOGUES) >= 60
    assert tuned["with"] >= 0.88 * tuned["dialogues"] and tuned["with"] > tuned["without"] + 15
    assert unseen["with"] >= 0.75 * unseen["dialogues"] and unseen["with"] > unseen["without"]
    assert figures["offers"]["with"] == figures["offers"]["dialogues"]
    assert whole["with"] >= whole["without"] and whole["changed"] == 0
