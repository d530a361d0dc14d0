"""Long turns and utterances: redaction reads so much of them at once, and misses nothing for that.

It runs on the event loop that all calls of a worker share.
"""

from __future__ import annotations

import random

import pytest
from test_redacting import FIRST_HALF, SECOND_HALF, Talk

from appliance.call.redacting import LETTERS_BESIDE, LETTERS_NOW
from appliance.events import Transcript
from appliance.safety import redact
from appliance.safety.digits import Numbers, read_numbers

STORY = "well I have been your customer for many years and the internet is slow in the evening "
LONG = STORY * 12


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Letters of each text that numbers are looked for in."""
    letters: list[int] = []

    def counted(text: str, language: str = "en") -> Numbers:
        letters.append(len(text))
        return read_numbers(text, language)

    monkeypatch.setattr(redact, "read_numbers", counted)
    return letters


@pytest.mark.parametrize("before", ["", LONG])
@pytest.mark.parametrize("behind", ["", LONG])
def test_a_card_said_in_two_long_turns(before: str, behind: str) -> None:
    talk = Talk()
    first = talk.turn(f"{before}it is {FIRST_HALF}")
    assert FIRST_HALF not in first.said and first.said.endswith("[number]")
    talk.turn(f"{SECOND_HALF} {behind}".strip())
    assert SECOND_HALF not in talk.rows.last(2).said
    assert FIRST_HALF not in talk.rows.last(1).said and "[card]" in talk.rows.last(1).said


@pytest.mark.parametrize("place", range(0, len(LONG), 97))
def test_a_card_anywhere_in_a_long_turn(place: int) -> None:
    at = LONG.rfind(" ", 0, place) + 1
    kept = Talk().turn(f"{LONG[:at]}{FIRST_HALF} {SECOND_HALF} {LONG[at:]}")
    assert "[card]" in kept.said and FIRST_HALF not in kept.said


@pytest.mark.parametrize("place", [0, 200, 600, 900])
def test_a_card_anywhere_in_a_long_utterance_is_beeped(place: int) -> None:
    talk = Talk()
    at = LONG.rfind(" ", 0, place) + 1
    words = f"{LONG[:at]}{FIRST_HALF} {SECOND_HALF} {LONG[at:]}".split()
    for count in range(5, len(words), 5):
        talk.redacting.heard(Transcript(1, " ".join(words[:count]), False, count * 300), 0)
    talk.redacting.heard(Transcript(1, " ".join(words), True, len(words) * 300), 0)
    begin, end = len(LONG[:at].split()) * 300, (len(LONG[:at].split()) + 16) * 300
    assert any(span.begin_ms <= begin and span.end_ms >= end for span in talk.rows.spans)
    assert all(span.end_ms - span.begin_ms < 12_000 for span in talk.rows.spans)


def test_a_partial_transcript_has_only_its_end_read(read: list[int]) -> None:
    talk, words = Talk(), LONG.split()
    for number in range(6):
        for count in range(10, len(words), 10):
            text = " ".join(words[:count])
            talk.redacting.heard(Transcript(number, text, False, count * 300), 0)
    assert max(read) <= LETTERS_NOW + 5 * (LETTERS_BESIDE + 1)


def test_a_turn_has_its_own_words_read_and_not_those_of_turns_before(read: list[int]) -> None:
    talk = Talk()
    for _ in range(3):
        talk.turn("how much is it", LONG)
    read.clear()
    talk.turn("and how long does it take", STORY)
    # the reply was written and heard in the same words: once; the caller's, three times
    assert sum(read) < len(STORY) + 12 * LETTERS_BESIDE and max(read) <= len(LONG)
    assert sum(length > LETTERS_BESIDE for length in read) == 0


def test_a_secret_told_later_is_taken_out_of_earlier_replies_all_the_same() -> None:
    talk = Talk()
    talk.turn("what is the number", "It ends in 41111 as I said.")
    talk.turn(f"my card is {FIRST_HALF} {SECOND_HALF}", "Thank you.")
    assert "41111" not in talk.rows.last(1).heard


def test_any_order_of_long_and_short_turns_is_read() -> None:
    random.seed(5)
    for _ in range(5):
        talk = Talk()
        for _ in range(5):
            talk.turn(random.choice(["", "yes", "four one one", LONG, "9" * 900, "नौ " * 100]))
        talk.redacting.close()
