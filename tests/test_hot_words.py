"""Which words of an agent's knowledge a recogniser is told of."""

from __future__ import annotations

from pathlib import Path

from appliance.models.hot_words import MOST_WORDS, hot_words

KNOWLEDGE = (Path(__file__).parent.parent / "appliance/samples/sunrise-broadband.md").read_text()


def test_names_of_the_sample_are_found_and_ordinary_words_are_not() -> None:
    found = hot_words([KNOWLEDGE])
    assert {"Pune", "Nashik", "Broadband"} <= set(found)
    assert not {"The", "You", "Our", "How", "open", "plan", "Plan"} & set(found)
    assert len(found) <= MOST_WORDS


def test_a_capital_at_the_start_of_a_sentence_is_no_name() -> None:
    assert hot_words(["Routers blink. Lights help.\n- Restart it, says Asha."]) == ("Asha",)


def test_a_word_that_also_stands_in_small_letters_is_no_name() -> None:
    assert hot_words(["Ask for Home or Fibernet. Your home is covered."]) == ("Fibernet",)


def test_marks_within_a_word_make_a_name_anywhere() -> None:
    assert hot_words(["FTTH is fast. WiFi's range is short."]) == ("FTTH", "WiFi")


def test_the_most_frequent_come_first_and_there_are_few() -> None:
    names = [chr(0x41 + i // 26) + chr(0x61 + i % 26) + "x" for i in range(60)]
    text = "see " + " ".join(names) + " and Zyx and Zyx"
    found = hot_words([text])
    assert (found[0], len(found)) == ("Zyx", MOST_WORDS)


def test_hindi_words_stay_whole_and_brands_are_found() -> None:
    text = "ब्रॉडबैंड का Fibernet प्लान लें। ब्रॉडबैंड के लिए हेल्पलाइन पर फ़ोन करें। हेल्पलाइन खुली है, के के के।"
    assert hot_words([text]) == ("ब्रॉडबैंड", "हेल्पलाइन", "Fibernet")


def test_no_words_from_no_text() -> None:
    assert hot_words([]) == hot_words(["", " \n# \n- 1234 ?"]) == ()
