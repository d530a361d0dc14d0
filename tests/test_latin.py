"""English words and letters in the scripts of Indian voices."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.speech.languages import LANGUAGES
from appliance.speech.latin import letters, spelt
from appliance.speech.lexicon import LEXICON
from appliance.speech.scripts import written_in

INDIC = sorted(set(LANGUAGES) - {"en"})


@pytest.mark.parametrize(
    ("word", "spellings"),
    [
        ("plan", "hi प्लान mr प्लॅन gu પ્લાન bn প্ল্যান pa ਪਲਾਨ ta பிளான் te ప్లాన్ kn ಪ್ಲಾನ್ ml പ്ലാൻ"),
        ("number", "hi नंबर gu નંબર bn নম্বর pa ਨੰਬਰ ta நம்பர் te నంబర్ kn ನಂಬರ್ ml നമ്പർ"),
        ("internet", "hi इंटरनेट bn ইন্টারনেট ta இன்டர்நெட் te ఇంటర్నెట్ kn ಇಂಟರ್ನೆಟ್ ml ഇന്റർനെറ്റ്"),
        ("connection", "hi कनेक्शन pa ਕਨੈਕਸ਼ਨ ta கனெக்ஷன் kn ಕನೆಕ್ಶನ್"),
        ("statement", "hi स्टेटमेंट bn স্টেটমেন্ট ta ஸ்டேட்மெண்ட் te స్టేట్మెంట్"),
        ("balance", "hi बैलेंस mr बॅलेंस te బ్యాలెన్స్ ml ബാലെൻസ്"),
    ],
)
def test_known_words(word: str, spellings: str) -> None:
    pairs = spellings.split()
    for code, spelling in zip(pairs[::2], pairs[1::2], strict=True):
        assert spelt(word, LANGUAGES[code]) == spelling


def test_letters_have_names() -> None:
    names = {code: letters("OTP", LANGUAGES[code]) for code in INDIC}
    assert names == {
        "hi": "ओ टी पी", "mr": "ओ टी पी", "gu": "ઓ ટી પી", "bn": "ও টি পি", "pa": "ਓ ਟੀ ਪੀ",
        "ta": "ஓ டி பி", "te": "ఓ టి పి", "kn": "ಓ ಟಿ ಪಿ", "ml": "ഓ ടി പി",
    }  # fmt: skip


@pytest.mark.parametrize("code", INDIC)
def test_every_word_of_the_lexicon_is_of_the_script(code: str) -> None:
    language = LANGUAGES[code]
    start = language.script.value
    for word in LEXICON:
        for letter in spelt(word, language):
            assert start <= ord(letter) < start + 0x80 or letter in " \u200c", (word, letter)


@settings(max_examples=200, deadline=None)
@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=60), st.sampled_from(INDIC))
def test_any_other_word_is_too(word: str, code: str) -> None:
    language = LANGUAGES[code]
    start = language.script.value
    spelling = spelt(word, language)
    assert spelling
    assert all(start <= ord(c) < start + 0x80 for c in spelling), spelling


def test_a_guess_is_near_enough() -> None:
    guesses = {"kukatpally": "कुकट्पाली", "fibernet": "फ़िबर्नेट", "samsung": "सम्सुंग", "nokia": "नोकिया"}
    for word, guess in guesses.items():
        assert spelt(word, LANGUAGES["hi"]) == guess


def test_silent_vowels_are_marked_where_the_script_would_say_them() -> None:
    language = LANGUAGES["te"]
    assert written_in("डाउनलोड", language.script, "te") == "డౌన్లోడ్"
