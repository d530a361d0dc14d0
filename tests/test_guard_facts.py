"""Facts: the same however they are said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.safety.facts import facts, known
from appliance.safety.fused import apart
from appliance.speech.cardinals import cardinal
from appliance.speech.languages import LANGUAGES


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(LANGUAGES)), st.integers(0, 9_999_999))
def test_a_number_in_words_is_the_number_in_digits(code: str, number: int) -> None:
    said = cardinal(number, LANGUAGES[code].numbers)
    assert str(number) in known(f"{said}.", code).values, said


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("₹1,499", ("number", "1499", "money")),
        ("Rs. 1,00,000", ("number", "100000", "money")),
        ("2.5 lakh rupees", ("number", "250000", "money")),
        ("fourteen ninety nine rupees", ("number", "1499", "money")),
        ("18%", ("number", "18", "percent")),
        ("two point five percent", ("number", "2.5", "percent")),
        ("अठारह प्रतिशत", ("number", "18", "percent")),
        ("three working days", ("number", "3", "day")),
        ("8:30 pm", ("clock", "1230", "")),
        ("eight thirty in the evening", ("clock", "1230", "")),
        ("रात साढ़े आठ बजे", ("clock", "1230", "")),
        ("ten at night", ("clock", "1320", "")),
        ("two at night", ("clock", "120", "")),
        ("20:30", ("clock", "1230", "")),
        ("half past eight in the evening", ("clock", "1230", "")),
        ("quarter to nine in the morning", ("clock", "525", "")),
        ("one eight hundred, two six seven, four four two two", ("code", "18002674422", "")),
        ("help at sunrise dot example", ("address", "help@sunrise.example", "")),
        ("https://www.sunrise.example/pay", ("address", "sunrise.example/pay", "")),
        ("on Wednesday", ("weekday", "2", "")),
        ("जनवरी में", ("month", "1", "")),
    ],
)  # fmt: skip
def test_a_fact_is_read(text: str, fact: tuple[str, str, str]) -> None:
    assert fact in [(f.kind, f.value, f.unit) for f in facts(text, "hi" if text[0] > "ऀ" else "en")]


@pytest.mark.parametrize(
    "text",
    [
        "one moment",
        "two questions",
        "in 2026",
        "wait two minutes",
        "the first step",
        "at once",
        "you may march on",
    ],
)
def test_what_nobody_writes_down_is_no_fact(text: str) -> None:
    assert facts(text) == ()


@pytest.mark.parametrize(
    ("source", "said", "holds"),
    [
        ("It costs 499 rupees.", "₹499", True),
        ("Home: 499", "four hundred ninety nine rupees", True),
        ("open till ten", "ten percent", False),
        ("ten percent off", "ten days", False),
        ("from 10 to 6", "ten in the morning", True),
        ("open till ten at night", "ten in the morning", False),
        ("Monday to Saturday", "Wednesday", True),
        ("Monday to Friday", "Saturday", False),
        ("every day", "Sunday", True),
        ("call 1800 267 4422", "one eight zero zero two six seven four four two two", True),
        ("call 1800 267 4422", "1800 267 4423", False),
        ("my card is 4111 1111 1111 1234", "ending in 1234", True),
        ("write to help@sunrise.example", "help at sunrise dot example", True),
    ],
)
def test_a_source_holds_a_fact_or_not(source: str, said: str, holds: bool) -> None:
    stated = facts(said)
    assert stated
    assert all(known(source).holds(fact) for fact in stated) is holds


def test_fused_thousands_come_apart() -> None:
    assert apart("இரண்டாயிரத்து ஐநூறு") == "இரண்டு ஆயிரம் ஐநூறு"
    assert apart("two thousand") == "two thousand"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="0123456789.:,-% ₹onetwoquarter हज़ार", max_size=60))
def test_any_text_holds_its_own_facts(text: str) -> None:
    source = known(text)
    for fact in facts(text):
        assert source.holds(fact), fact
