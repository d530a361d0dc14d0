"""Numbers in words: every language's tables are complete, and as those who know them have them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.speech.cardinals import cardinal, decimal, digits, ordinal, western, year
from appliance.speech.languages import LANGUAGES

CODES = sorted(LANGUAGES)
EN, HI = LANGUAGES["en"].numbers, LANGUAGES["hi"].numbers


@pytest.mark.parametrize("code", CODES)
def test_tables_are_complete_and_no_two_numbers_sound_the_same(code: str) -> None:
    numbers = LANGUAGES[code].numbers
    assert len(numbers.below_hundred) == 100
    assert len(numbers.hundreds) == 10
    said = [cardinal(n, numbers) for n in range(12_000)]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("code", CODES)
def test_words_are_of_one_script(code: str) -> None:
    language = LANGUAGES[code]
    start = language.script.value
    for n in (*range(1000), 10**5, 10**7, 123456789):
        for letter in cardinal(n, language.numbers).replace(" ", "").replace("-", ""):
            assert letter.isascii() if code == "en" else start <= ord(letter) < start + 0x80


@given(st.integers(0, 10**14 - 1), st.sampled_from(CODES))
def test_any_number_has_words(number: int, code: str) -> None:
    assert cardinal(number, LANGUAGES[code].numbers).strip()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"), (11, "eleven"), (21, "twenty-one"), (100, "one hundred"),
        (101, "one hundred and one"), (1001, "one thousand and one"),
        (250_000, "two lakh fifty thousand"), (12_34_567,
        "twelve lakh thirty-four thousand five hundred and sixty-seven"),
        (10**7, "one crore"), (-5, "minus five"), (10**12, "one lakh crore"),
    ],
)  # fmt: skip
def test_english(number: int, words: str) -> None:
    assert cardinal(number, EN) == words


def test_hundreds_and_thousands_join() -> None:
    cases = {
        ("hi", 1_250): "एक हज़ार दो सौ पचास",
        ("ta", 25_000): "இருபத்து ஐந்தாயிரம்",
        ("ta", 999): "தொள்ளாயிரத்து தொண்ணூற்று ஒன்பது",
        ("te", 1_250): "వెయ్యి రెండు వందల యాభై",
        ("kn", 83): "ಎಂಬತ್ತಮೂರು",
        ("ml", 55_000): "അമ്പത്തിയയ്യായിരം",
        ("mr", 100): "शंभर",
        ("mr", 101): "एकशे एक",
        ("gu", 200): "બસો",
        ("bn", 250): "দুশো পঞ্চাশ",
        ("pa", 75): "ਪਚੱਤਰ",
    }
    for (code, number), words in cases.items():
        assert cardinal(number, LANGUAGES[code].numbers) == words


def test_the_form_before_a_noun() -> None:
    assert cardinal(500, LANGUAGES["te"].numbers, noun=True) == "ఐదు వందల"
    assert cardinal(100, LANGUAGES["te"].numbers, noun=True) == "వంద"
    assert cardinal(21, LANGUAGES["ta"].numbers, noun=True) == "இருபத்து ஒரு"


def test_other_ways_to_count() -> None:
    assert western(1_234_567, EN).startswith("one million two hundred and thirty-four thousand")
    assert decimal("12", "05", EN) == "twelve point zero five"
    assert digits("9080", HI) == "नौ शून्य आठ शून्य"
    assert [ordinal(n, EN) for n in (1, 12, 20, 23, 100)] == [
        "first", "twelfth", "twentieth", "twenty-third", "one hundredth",
    ]  # fmt: skip
    assert ordinal(5, HI, "वीं") == "पाँचवीं"


@pytest.mark.parametrize(
    ("number", "words"),
    [(1998, "nineteen ninety-eight"), (2000, "two thousand"), (2005, "two thousand and five"),
     (2026, "twenty twenty-six"), (1900, "nineteen hundred"), (1907, "nineteen oh seven")],
)  # fmt: skip
def test_years(number: int, words: str) -> None:
    assert year(number, LANGUAGES["en"]) == words


# Where we are of another opinion than AI4Bharat's package: its slip, or the other common spelling.
_OTHERWISE = {
    "hi": {6, 44, 66, 67}, "te": set(), "ta": {81, 89, 91, 92, 95, 96, 97, 98, 99},
    "bn": {14, 16, 19, 20, 29, 30, 39, 49, 59, 69, 79, 89}, "mr": {74, 76},
    "gu": {42, 59, 60, 62, 66, 72, 73, 74, 77, 78, 82, 83, 85, 86},
}  # fmt: skip


def normal(word: str) -> str:
    return unicodedata.normalize("NFC", word).replace("\u200c", "")


@pytest.mark.parametrize("code", sorted(_OTHERWISE))
def test_against_indic_numtowords(code: str) -> None:
    theirs = pytest.importorskip("indic_numtowords", reason="not installed: another's tables")
    ours = LANGUAGES[code].numbers.below_hundred
    different = {n for n in range(100) if normal(theirs.num2words(n, lang=code)) != ours[n]}
    assert different == _OTHERWISE[code]
