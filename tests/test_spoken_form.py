"""What is written -> what is spoken. The tables of tests/spoken_forms are for native speakers to
correct: a line there is changed first, and then the language's file, until they agree."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import appliance.speech
from appliance.speech.languages import LANGUAGES
from appliance.speech.patterns import month_numbers
from appliance.speech.spoken_form import LONGEST_LETTERS, spoken_form

FOLDER = Path(__file__).parent / "spoken_forms"
LEAST_CASES = {"en": 25, "hi": 25}


def cases(code: str) -> list[tuple[str, str]]:
    lines = (FOLDER / f"{code}.txt").read_text("utf-8").splitlines()
    pairs = (line.split(" => ") for line in lines if not line.startswith("#"))
    return [(written.replace("\\n", "\n"), spoken) for written, spoken in pairs]


EVERY = [(code, *case) for code in sorted(LANGUAGES) for case in cases(code)]


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_language_has_its_table(code: str) -> None:
    assert len(cases(code)) >= LEAST_CASES.get(code, 8)


@pytest.mark.parametrize(("code", "written", "spoken"), EVERY)
def test_what_is_written_is_spoken(code: str, written: str, spoken: str) -> None:
    assert spoken_form(written, code) == spoken


@pytest.mark.parametrize(("code", "written", "spoken"), EVERY)
def test_what_is_spoken_is_spoken_the_same(code: str, written: str, spoken: str) -> None:
    assert spoken_form(spoken, code) == spoken


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_month_is_known_by_its_own_name(code: str) -> None:
    language = LANGUAGES[code]
    for number, name in enumerate(language.months, start=1):
        assert month_numbers(language)[name] == number
        assert name in spoken_form(f"12/{number:02}/2026", code)
        assert name in spoken_form(f"12 {name} 2026", code)


def test_tables_are_written_with_the_letters_that_cleaned_text_has() -> None:
    """Bengali য় and Devanagari ज़ have two codes each; only one would ever be found."""
    root = Path(appliance.speech.__file__).parent
    for path in [*root.rglob("*.py"), *FOLDER.glob("*.txt")]:
        assert unicodedata.is_normalized("NFC", path.read_text("utf-8")), path


@pytest.mark.parametrize("code", ["en-IN", "en_IN", "EN"])
def test_the_region_is_not_looked_at(code: str) -> None:
    assert spoken_form("₹5", code) == "five rupees"


def test_a_language_without_tables_keeps_its_words() -> None:
    assert spoken_form("**Bonjour** 😀 5 fois", "fr") == "Bonjour 5 fois"


@pytest.mark.parametrize("text", ["", "  ", "😀", "***", "... — !", "\ud800", "।"])
@pytest.mark.parametrize("code", ["en", "hi", "fr"])
def test_nothing_to_say_is_nothing(code: str, text: str) -> None:
    assert spoken_form(text, code) == ""


class TestPronunciations:
    """The operator's dictionary."""

    def test_whole_words_in_any_case(self) -> None:
        said = spoken_form("Jio, JIO and Jiofi", "en", {"jio": "jee-o"})
        assert said == "jee-o, jee-o and Jiofi"

    def test_the_longest_goes_first(self) -> None:
        words = {"BSNL": "B. S. N. L.", "BSNL Fibre": "Bharat fibre"}
        assert spoken_form("BSNL fibre by BSNL", "en", words) == "Bharat fibre by B. S. N. L."

    def test_it_goes_before_every_rule_and_is_not_touched_again(self) -> None:
        assert spoken_form("24x7 at ₹5", "en", {"24x7": "OTP 5 @ all hours"}) == (
            "OTP 5 @ all hours at five rupees"
        )
        assert spoken_form("www.bsnl.co.in", "en", {"bsnl": "bee-es"}).count("bee-es") == 1

    def test_indic_words_are_whole_words_too(self) -> None:
        words = {"राम": "राऽम"}
        assert spoken_form("राम और रामा", "hi", words) == "राऽम और रामा"

    def test_latin_in_an_indic_voice(self) -> None:
        assert spoken_form("Sify का plan", "hi", {"Sify": "सिफ़ी"}) == "सिफ़ी का प्लान"

    def test_signs(self) -> None:
        assert spoken_form("Grade A+ now", "en", {"A+": "a plus"}) == "Grade a plus now"

    def test_in_a_language_without_tables(self) -> None:
        assert spoken_form("Jio 5", "fr", {"Jio": "Djio"}) == "Djio 5"


fragments = st.sampled_from(
    (
        "₹ Rs. 1,250.50 12/11/2026 10:30 am - – to 5 GB % OTP is 4821 +91 98765 43210 1800 @ www. "
        ".co.in a@b.c # * ** _ ( ) / . , : ' x A4 km/h °C /month lakh cr ½ 1st 5वीं रुपये बजे ৫টা 24x7 12 "
        "Nov 2026 3/4 2:1 007 \n 😀 é अ ् ா \u200d \ud800 १२ 99999999999999999999 XXXX Dr. etc. "
        "U.S.A. no. press 0.0"
    ).split(" ")
)
texts = st.one_of(
    st.text(st.characters()),
    st.lists(fragments, max_size=30).map(" ".join),
    st.lists(st.one_of(fragments, st.text(max_size=3)), max_size=30).map("".join),
)
codes = st.sampled_from([*sorted(LANGUAGES), "fr", ""])


@settings(max_examples=300, deadline=None)
@given(texts, codes, st.dictionaries(st.text(max_size=6), st.text(max_size=10), max_size=3))
def test_any_text_and_any_dictionary_give_a_text(
    text: str, code: str, words: dict[str, str]
) -> None:
    said = spoken_form(text, code, words)
    orjson.dumps(said)  # can be sent
    assert len(said) <= LONGEST_LETTERS
    assert said == said.strip()


@settings(max_examples=300, deadline=None)
@given(texts, st.sampled_from(sorted(LANGUAGES)))
def test_no_digit_and_no_foreign_letter_is_left(text: str, code: str) -> None:
    said = spoken_form(text, code)
    assert not any(unicodedata.category(c) in ("Nd", "So", "Cs", "Cc") for c in said)
    if code != "en":
        assert not any(c.isascii() and c.isalpha() for c in said)


@pytest.mark.parametrize(
    "piece",
    ["X", "XX ", "a.", "1-", "10 ", "www.", "[a](", "A1", "+91 ", "otp is ", "a.b@", "*", "12:30-"],
)
def test_nothing_runs_away(piece: str) -> None:
    """Ends at all: a pattern that tries every way to cut this would take years."""
    for code in ("en", "hi"):
        assert len(spoken_form(piece * 2000, code)) <= LONGEST_LETTERS
