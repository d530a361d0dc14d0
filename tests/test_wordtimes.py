"""appliance/call/wordtimes.py: where words lie, from what a recogniser wrote and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.call.wordtimes import AFTER_MS, BEFORE_MS, PlayedTimes, WordTimes, place_in_phrases
from appliance.turn.heard import Spoken


def times(*partials: tuple[str, int]) -> WordTimes:
    heard = WordTimes()
    for text, audio_ms in partials:
        heard.hear(text, audio_ms)
    return heard


def place(heard: WordTimes, word: str) -> tuple[int, int]:
    at = heard.text.index(word)
    return heard.place(at, at + len(word))


def test_a_word_lies_between_the_partial_without_it_and_the_one_with_it() -> None:
    heard = times(
        ("my pin", 1000), ("my pin is", 1600), ("my pin is four", 2200), ("my pin is four", 3000)
    )
    assert place(heard, "four") == (1600 - BEFORE_MS, 2200 + AFTER_MS)


def test_without_partials_it_lies_somewhere_in_the_utterance() -> None:
    assert place(times(("my pin is four five", 4000)), "four") == (0, 4000 + AFTER_MS)


def test_a_word_that_is_heard_anew_keeps_its_beginning() -> None:
    heard = times(
        ("my", 500), ("my four", 1000), ("my four one", 1500), ("my forty one eleven", 2000)
    )
    begin, end = place(heard, "forty one eleven")
    assert begin == 500 - BEFORE_MS and end >= 2000


def test_a_word_put_in_before_others_lies_with_its_neighbours() -> None:
    heard = times(("pin four", 1000), ("pin four five", 2000), ("pin is four five", 2500))
    begin, end = place(heard, "is")
    assert begin == 0 and end <= 1000 + AFTER_MS
    assert place(heard, "five") == (1000 - BEFORE_MS, 2000 + AFTER_MS)


@given(st.lists(st.tuples(st.text("abc ", max_size=30), st.integers(0, 9000)), max_size=12))
def test_every_word_has_a_place_in_what_was_heard(partials: list[tuple[str, int]]) -> None:
    heard = times(*partials)
    longest = max((ms for _, ms in partials), default=0)
    begin, end = heard.place(0, len(heard.text) or 1)
    assert 0 <= begin <= end <= longest + AFTER_MS


def test_a_reply_s_words_are_placed_by_their_letters() -> None:
    phrases = [Spoken("you said", 0, 1000), Spoken("four five six seven", 1000, 3000)]
    text = " ".join(phrase.text for phrase in phrases)
    at = text.index("six")
    ((begin, end),) = place_in_phrases(phrases, at, at + 3)
    true_ms = 1000 + 2000 * len("four five ") / len("four five six seven")
    assert begin <= true_ms - 250 and end >= true_ms + 300
    assert 1000 <= begin < end <= 3000


def test_what_is_held_is_played_later() -> None:
    played = PlayedTimes()
    for frame in range(50):
        played.played((frame + 1) * 20, 5020 + frame * 20)
    for frame in range(50, 100):  # the agent was silent for a second
        played.played((frame + 1) * 20, 6020 + frame * 20)
    assert played.on_clock(900, 1100) == [(5900, 6000), (7000, 7100)]
    assert played.on_clock(1900, 9000) == [(7900, 8000)]  # no more was played
