"""Names and numbers in what callers say, by rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.call.facts import LONGEST_FACT_LETTERS, find_facts, has_figure

SLOTS = {
    "name": "the caller's own name",
    "order_number": "the number of the order",
    "phone": "a number to call them back",
    "city": "where they live",
}


@pytest.mark.parametrize(
    ("language", "said", "name"),
    [
        ("en", "hello my name is asha rao and i want a refund", "asha rao"),
        ("en", "My name is Asha.", "Asha"),
        ("en", "this is ravi kumar calling about my bill", "ravi kumar"),
        ("en", "my name is usha no sorry my name is asha", "asha"),
        ("en-IN", "my name is asha what is my bill", "asha"),
        ("hi", "मेरा नाम आशा शर्मा है", "आशा शर्मा"),
        ("hi", "मैं रवि बोल रहा हूँ", "रवि"),
        ("hi", "mera naam ravi hai", "ravi"),
        ("hi", "my name is ravi", "ravi"),
        ("mr", "माझे नाव रवी आहे", "रवी"),
        ("bn", "আমার নাম রবি", "রবি"),
        ("gu", "મારું નામ રવિ છે", "રવિ"),
        ("pa", "ਮੇਰਾ ਨਾਮ ਰਵੀ ਹੈ", "ਰਵੀ"),
        ("ta", "என் பெயர் குமார்", "குமார்"),
        ("te", "నా పేరు రవి అండి", "రవి"),
        ("kn", "ನನ್ನ ಹೆಸರು ರವಿ", "ರವಿ"),
        ("ml", "എന്റെ പേര് രവി എന്നാണ്", "രവി"),
    ],
)
def test_a_caller_who_says_their_name(language: str, said: str, name: str) -> None:
    assert find_facts(said, SLOTS, language) == {"name": name}


@pytest.mark.parametrize(
    "said",
    [
        "this is urgent i am calling from delhi",
        "my name is not on the bill",
        "i am having trouble calling",
        "my name is",
        "this is the third time i am calling",
        "मेरा नाम है",
        "",
    ],
)
def test_a_caller_who_does_not(said: str) -> None:
    assert find_facts(said, SLOTS, "hi") == {}


@pytest.mark.parametrize(
    ("said", "facts"),
    [
        ("my order number is four five six double seven", {"order_number": "45677"}),
        ("the order number is A-1234 thanks", {"order_number": "A-1234"}),
        ("4567 is my order number", {"order_number": "4567"}),
        ("my order number is four five six sorry four five seven", {"order_number": "457"}),
        ("मेरा phone number नौ आठ सात छह पांच है", {"phone": "98765"}),
        ("my phone is 98765 and my order is 1234", {"phone": "98765", "order_number": "1234"}),
        ("it is order 12", {}),
        ("the phone rang and then four hundred people came", {}),
        ("my city is 560001", {}),
    ],
)
def test_a_number_belongs_to_the_label_beside_it(said: str, facts: dict[str, str]) -> None:
    assert find_facts(said, SLOTS, "hi") == facts


def test_only_the_agents_slots_are_filled() -> None:
    said = "my name is asha and my order number is 4711"
    assert find_facts(said, {}, "en") == {}
    assert find_facts(said, {"order": "the order number"}, "en") == {"order": "4711"}


def test_a_figure_is_one_in_words_too() -> None:
    assert has_figure("it was seven eight nine") and has_figure("in 2024")
    assert not has_figure("one of those days") and has_figure("नौ आठ सात", "hi")


WORDS = "my name is this calling order number phone asha one two double 12 . , मेरा नाम है".split()


@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join) | st.text(max_size=3000))
def test_whatever_is_said_a_fact_is_short_and_of_a_slot(said: str) -> None:
    for slot, value in find_facts(said, SLOTS, "hi").items():
        assert (
            slot in SLOTS and value and len(value) <= LONGEST_FACT_LETTERS and value.isprintable()
        )
