"""appliance/safety/digits.py and numberwords.py: what is dictated, as digits with their places."""

from __future__ import annotations

import pytest

from appliance.safety.digits import read_numbers
from appliance.safety.numberwords import Kind, number_words
from appliance.safety.tokens import fold
from appliance.speech.languages import LANGUAGES


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("four one double one", "4111"),
        ("nine eight triple zero", "98000"),
        ("forty one eleven", "4111"),
        ("nine hundred and eleven", "911"),
        ("four thousand five hundred sixty seven", "4567"),
        ("one eight hundred four two five", "1800425"),
        ("four oh one", "401"),
        ("four five to six seven", "45267"),
        ("double 4 5", "445"),
        ("4111-1111 then the next four digits are one one", "4111111111"[:8] + "11"),
        ("चार एक डबल एक", "4111"),
        ("एक लाख बीस हज़ार", "120000"),
        ("फोर वन ज़ीरो", "410"),
        ("நான்கு ஒன்று டபுள் ஒன்று", "4111"),
        ("இருபத்து ஒன்று ரெண்டு", "212"),
        ("ఇరవై ఒకటి రెండు", "212"),
        ("চার এক শূন্য", "410"),
        ("९८७६५ ४३२१०", "9876543210"),
        ("௯௮௭", "987"),
        ("ek do teen char paanch", "12345"),
        ("nau saat", "97"),
    ],
)
def test_one_run(text: str, digits: str) -> None:
    runs = read_numbers(text, "hi").runs
    assert [run.digits for run in runs] == [digits]
    assert text[runs[0].begin : runs[0].end].split()[0] == text.split()[0]


@pytest.mark.parametrize(
    "text", ["what do you want to do", "so at the char", "for to too ate", "double room", "a tree"]
)
def test_english_words_are_no_digits(text: str) -> None:
    assert read_numbers(text, "en").runs == ()


def test_other_words_part_two_runs() -> None:
    found = read_numbers("499 rupees and otp 4567", "en")
    assert [run.digits for run in found.runs] == ["499", "4567"]


def test_a_correction_is_marked_where_it_stands() -> None:
    (run,) = read_numbers("four one one no sorry one two", "en").runs
    assert (run.digits, run.corrections) == ("41112", (3,))


def test_a_place_is_that_of_the_words() -> None:
    text = "say double four and five six"
    (run,) = read_numbers(text, "en").runs
    begin, end = run.place(2, 3)
    assert text[begin:end] == "five"


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_number_to_99_of_every_language(code: str) -> None:
    known = number_words(code)
    for value, said in enumerate(LANGUAGES[code].numbers.below_hundred):
        runs = read_numbers(said, code).runs
        assert [run.digits for run in runs] == [str(value)], said
        if " " not in said and "-" not in said:
            assert known[fold(said)].kind is Kind.SMALL


@pytest.mark.parametrize(("one", "other"), [("पाँच", "पांच"), ("ज़ीरो", "जीरो"), ("পাঁচ", "পাচ")])
def test_spellings_of_one_word_are_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)
