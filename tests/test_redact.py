"""appliance/safety/redact.py: nothing personal is left, and nothing else is taken."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.safety.checksums import is_aadhaar, is_card, luhn, verhoeff
from appliance.safety.digits import read_numbers
from appliance.safety.redact import KINDS, Redactor, Span, labelled
from appliance.speech.languages import LANGUAGES
from tests.redaction_cases import CASES, Case

WORDS = "zero one two three four five six seven eight nine".split()
HINDI = LANGUAGES["hi"].numbers.below_hundred
NATIVE = {"hi": 0x0966, "bn": 0x09E6, "ta": 0x0BE6, "te": 0x0C66, "gu": 0x0AE6}


def redact(text: str, language: str = "en", before: str = "", known: tuple[str, ...] = ()) -> str:
    return Redactor(KINDS, language, known).redact(text, before).text


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[1][:60]}")
def test_what_people_say(case: Case) -> None:
    language, text, kinds = case[:3]
    before = case[3] if len(case) == 4 else ""
    found = Redactor(KINDS, language).redact(text, before)
    assert [span.kind for span in found.spans] == kinds.split(), found.text


def test_the_cases_are_many_in_several_languages() -> None:
    languages = Counter(case[0] for case in CASES)
    assert len(CASES) >= 150
    assert {"en", "hi", "ta", "te", "bn"} <= languages.keys()


# --- every card, however it is said ---------------------------------------------------------------


def _with_check_digit(body: str, valid) -> str:  # type: ignore[no-untyped-def]
    return next(body + d for d in "0123456789" if valid(body + d))


@st.composite
def cards(draw: st.DrawFn) -> str:
    start, length = draw(
        st.sampled_from(
            [("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16),
             ("34", 15), ("37", 15), ("36", 14), ("60", 16), ("65", 16), ("81", 16), ("508", 16),
             ("3528", 16), ("62", 17), ("6304", 18)]
        )
    )  # fmt: skip
    rest = length - len(start) - 1
    return _with_check_digit(
        start + draw(st.text("0123456789", min_size=rest, max_size=rest)), luhn
    )


@st.composite
def aadhaars(draw: st.DrawFn) -> str:
    first = draw(st.sampled_from("23456789"))
    rest = draw(st.text("0123456789", min_size=10, max_size=10))
    return _with_check_digit(first + rest, verhoeff)


SEPARATORS = st.sampled_from(
    ["", " ", "-", ". ", "  ", ", ", "/", " uh ", " - ", "\u00a0", "\n", "\u200b "]
)
FILLERS = st.sampled_from([" ", ", ", " uh ", " um, ", " and ", " then ", " okay ", " - ", ". "])


@st.composite
def written(draw: st.DrawFn, digits: str) -> str:
    """Groups of digits with anything between them, in the digits of any script."""
    zero = draw(st.sampled_from([ord("0"), *NATIVE.values()]))
    said, at = "", 0
    while at < len(digits):
        size = draw(st.integers(1, 6))
        said += "".join(chr(zero + int(d)) for d in digits[at : at + size])
        at += size
        if at < len(digits):
            said += draw(SEPARATORS)
    return said


@st.composite
def spoken(draw: st.DrawFn, digits: str) -> str:
    """Digit by digit, in pairs, double and triple, with fillers between."""
    names = draw(st.sampled_from([tuple(WORDS), HINDI[:10]]))
    pairs = LANGUAGES["hi"].numbers.below_hundred if names == HINDI[:10] else None
    words, at = [], 0
    while at < len(digits):
        run = 1
        while at + run < len(digits) and digits[at + run] == digits[at] and run < 3:
            run += 1
        how = draw(st.sampled_from(["one", "repeat", "pair"]))
        pair = digits[at : at + 2]
        if how == "repeat" and run > 1:
            words.append(f"{'double' if run == 2 else 'triple'} {names[int(digits[at])]}")
            at += run
        elif how == "pair" and len(pair) == 2 and pair[0] not in "01" and pair[1] != "0" and pairs:
            words.append(pairs[int(pair)])
            at += 2
        else:
            words.append(names[int(digits[at])])
            at += 1
    said = words[0]
    for word in words[1:]:
        said += draw(FILLERS) + word
    return said


@st.composite
def said(draw: st.DrawFn, numbers: st.SearchStrategy[str]) -> tuple[str, str]:
    digits = draw(numbers)
    return digits, draw(st.one_of(written(digits), spoken(digits)))


@settings(max_examples=250, deadline=None)
@given(said(cards()))
@example(("4111111111111111", "4-1-1-1-1111-1111-1111"))
@example(("4111111111111111", "41-11-1111 11111111"))
def test_every_card_is_found_in_any_wording(number: tuple[str, str]) -> None:
    digits, wording = number
    assert is_card(digits)
    kept = redact(f"well it is {wording} thank you", "hi")
    assert kept == "well it is [card] thank you"
    assert not any(run.digits for run in read_numbers(kept, "hi").runs)


@settings(max_examples=150, deadline=None)
@given(said(aadhaars()))
def test_every_aadhaar_is_found_in_any_wording(number: tuple[str, str]) -> None:
    digits, wording = number
    assert is_aadhaar(digits)
    kept = redact(f"my aadhaar number is {wording}", "hi")
    assert not any(len(run.digits) > 3 for run in read_numbers(kept, "hi").runs), kept


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_comes_back_with_its_places(text: str) -> None:
    found = Redactor(KINDS, "hi").redact(text)
    assert labelled(text, found.spans) == found
    at = 0
    for span in found.spans:
        assert at <= span.begin < span.end <= len(text)
        at = span.end
    if not found.spans:
        assert found.text == text


@settings(max_examples=100, deadline=None)
@given(st.text("0123456789 -,abc पिन", min_size=200, max_size=2000))
def test_a_long_row_of_digits_is_no_trouble(text: str) -> None:
    Redactor(KINDS, "hi").redact(text)


# --- policy ---------------------------------------------------------------------------------------


def test_only_the_kinds_that_the_agent_names() -> None:
    text = "card 4111 1111 1111 1111, otp 4567"
    assert Redactor(("otp",)).redact(text).text == "card 4111 1111 1111 1111, otp [otp]"
    assert Redactor(()).redact(text).text == text


def test_the_agents_own_helpline_stays() -> None:
    known = ("Our branch: 080 2345 6789. Write to us, or call +91 98765 43210.",)
    assert redact("call 09876543210", known=known) == "call 09876543210"
    assert redact("call 9123456780", known=known) == "call [phone]"
    assert redact(
        "zero eight zero two three four five six seven eight nine", known=known
    ).startswith("zero")


def test_a_known_text_hides_no_card() -> None:
    assert redact("4111 1111 1111 1111", known=("4111 1111 1111 1111",)) == "[card]"


def test_what_was_found_is_found_again_when_it_is_repeated() -> None:
    kept = redact("my otp is 4567, did you get it, four five six seven")
    assert kept == "my otp is [otp], did you get it, [otp]"


def test_an_echo_is_found_in_part_but_the_last_four_stay() -> None:
    redactor, echoes = Redactor(KINDS), {"4111111111111111": "card"}
    assert redactor.find("you said 4111 1111, go on", echoes=echoes)
    assert not redactor.find("the card ending in 1111", echoes=echoes)


def test_digits_that_are_still_said_are_covered_while_they_grow() -> None:
    redactor = Redactor(KINDS)
    assert redactor.redact("it is four one one one one", growing=True).text == "it is [number]"
    assert redactor.redact("i have 1500 rupees", growing=True).text == "i have 1500 rupees"
    assert redactor.redact("it is four one one one one").text == "it is four one one one one"


def test_overlapping_places_become_one_of_the_kind_that_goes_first() -> None:
    spans = [Span("phone", 0, 6), Span("card", 4, 10)]
    assert labelled("0123456789 rest", spans).text == "[card] rest"


def test_a_virtual_id() -> None:
    number = _with_check_digit("912341234123412", verhoeff)
    assert redact(f"my virtual id is {number}") == "my virtual id is [aadhaar]"
    assert redact(number) == "[aadhaar]"


# --- figures for docs/privacy.md ------------------------------------------------------------------


def figures() -> dict[str, tuple[int, int, int]]:
    """Language -> (found rightly, missed, found wrongly) over the cases."""
    counts: dict[str, tuple[int, int, int]] = {}
    for case in CASES:
        before = case[3] if len(case) == 4 else ""
        got = Counter(span.kind for span in Redactor(KINDS, case[0]).redact(case[1], before).spans)
        want = Counter(case[2].split())
        right = sum((got & want).values())
        a, b, c = counts.get(case[0], (0, 0, 0))
        missed, wrong = sum((want - got).values()), sum((got - want).values())
        counts[case[0]] = a + right, b + missed, c + wrong
    return counts


if __name__ == "__main__":
    for language, (right, missed, wrong) in sorted(figures().items()):
        print(f"{language}: {right} found, {missed} missed, {wrong} wrong")
