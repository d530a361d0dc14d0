"""appliance/call/redacting.py: one call's rows, live events and spans, over several turns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.call.recorded import EDGE_EARLY_MS, CallRecording
from appliance.call.redacting import UNKNOWN_PLACE_MS, File, Redacting
from appliance.call.reply import Reply
from appliance.events import (
    Agent,
    CallRecord,
    Flag,
    Offer,
    Passage,
    Redaction,
    Stages,
    Transcript,
    Turn,
)

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
RATE_HZ = 8000
FIRST_HALF, SECOND_HALF = "four one one one one one one one", "one one one one one one one one"


class Rows:
    """A journal that keeps the rows it was given."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.spans: list[Redaction] = []

    def turn(self, turn: Turn) -> None:
        self.turns.append(turn)

    def redaction(self, span: Redaction) -> None:
        self.spans.append(span)

    def last(self, index: int) -> Turn:
        return [turn for turn in self.turns if turn.index == index][-1]


class Talk:
    """A call as :class:`Redacting` sees it."""

    def __init__(self, agent: Agent | None = None, file: File | None = None) -> None:
        self.rows = Rows()
        agent = agent or Agent("help", 1, "Help")
        self.redacting = Redacting("c1", agent, self.rows)
        self.redacting.attach(file or File("2026/11/20/c1.wav"))
        self.index = 0

    def turn(self, said: str, heard: str = "", passages: tuple[Passage, ...] = ()) -> Turn:
        """One turn; returns its row as it is kept first."""
        self.index += 1
        if said:
            self.hear(said)
        reply = Reply("llm", said, RATE_HZ, lambda: 0)
        reply.begin_phrase(heard)
        reply.sound(bytes(2 * RATE_HZ * 4))
        reply.end_phrase()
        for frame in range(200):
            reply.utterance.read()
            self.redacting.played(reply, 20_000 * self.index + 20 * (frame + 1))
        turn = Turn("c1", self.index, AT, said, heard, heard, "llm", Stages(), None, passages)
        kept = self.redacting.turn(turn, reply)
        self.rows.turn(kept)
        return kept

    def hear(self, said: str) -> None:
        """Word by word, half a second each, from 10 s into the turn."""
        words = said.split()
        for count in range(1, len(words) + 1):
            text = " ".join(words[:count])
            final = count == len(words)
            transcript = Transcript(self.index, text, final, 500 * count)
            self.redacting.heard(transcript, 10_000 * self.index)


def test_a_card_is_out_of_the_row_and_out_of_the_recording() -> None:
    talk = Talk()
    kept = talk.turn(f"my card is {FIRST_HALF} {SECOND_HALF} thanks a lot for it", "thank you")
    assert kept.said == "my card is [card] thanks a lot for it"
    (span,) = talk.rows.spans
    assert (span.side, span.kind, span.recording) == ("caller", "card", "2026/11/20/c1.wav")
    assert span.begin_ms == 10_000 + 3 * 500 - 500
    assert span.end_ms == 10_000 + 19 * 500 + 300


def test_a_card_in_two_turns_is_found_when_the_second_comes() -> None:
    talk = Talk()
    first = talk.turn(f"well it is {FIRST_HALF}", "go on please")
    assert first.said == "well it is [number]"  # never on the disk, whatever happens next
    second = talk.turn(SECOND_HALF, "thank you")
    assert second.said == "[card]"
    assert talk.rows.last(1).said == "well it is [card]"
    assert {span.kind for span in talk.rows.spans} == {"card"}
    assert {span.begin_ms // 10_000 for span in talk.rows.spans} == {1, 2}


def test_a_card_in_three_turns() -> None:
    talk = Talk()
    for part in ("4111 11", "11 1111", "1111 11"):
        talk.turn(part, "yes")
    assert [talk.rows.last(index).said for index in (1, 2, 3)] == ["[card]"] * 3


def test_digits_that_were_no_part_of_anything_are_kept_after_all() -> None:
    talk = Talk()
    assert talk.turn("the model is 1234567", "and your question").said == "the model is [number]"
    talk.turn("it does not blink", "I see")
    assert talk.rows.last(1).said == "the model is 1234567"
    assert talk.turn("it says 4321", "I see").said == "it says [number]"
    talk.redacting.close()
    assert talk.rows.last(3).said == "it says 4321"
    assert not talk.rows.spans


def test_what_was_found_once_is_not_uncovered_by_a_later_turn() -> None:
    talk = Talk()
    talk.turn("hello", "Please tell me the OTP.")
    assert talk.turn("four five six seven", "Thank you.").said == "[otp]"
    talk.turn("two", "What else?")
    talk.turn("nothing", "Bye.")
    assert talk.rows.last(2).said == "[otp]"


def test_the_agent_may_repeat_it_but_nobody_keeps_it() -> None:
    talk = Talk()
    talk.turn("hello", "Please tell me the OTP.")
    kept = talk.turn("four five six seven", "You said four five six seven, thank you.")
    assert (kept.reply, kept.heard) == ("You said [otp], thank you.",) * 2
    (agents,) = [span for span in talk.rows.spans if span.side == "agent"]
    begin, end = 20_000 * 2, 20_000 * 2 + 4000
    assert begin < agents.begin_ms < begin + 1000 and end - 2500 < agents.end_ms < end


def test_the_helpline_of_a_passage_stays_in_the_agents_words() -> None:
    talk = Talk()
    passage = Passage("1", "contact.md", "Us", "Our office: 080 2345 6789.", 1.0)
    kept = talk.turn("how do i reach you", "Call 080 2345 6789.", (passage,))
    assert kept.heard == "Call 080 2345 6789."
    assert kept.passages == (passage,)


def test_a_caller_who_hangs_up_in_mid_number_is_beeped_too() -> None:
    talk = Talk()
    talk.index = 1
    for count in range(1, 17):
        words = " ".join(f"{FIRST_HALF} {SECOND_HALF}".split()[:count])
        talk.redacting.heard(Transcript(1, words, False, 500 * count), 3000)
    assert not talk.rows.spans
    talk.redacting.close()
    assert [(span.kind, span.begin_ms) for span in talk.rows.spans] == [("card", 3000)]


def test_those_who_look_on_see_no_digits_even_while_they_are_said() -> None:
    talk = Talk()
    for count in range(1, 17):
        words = " ".join(["four", *["one"] * (count - 1)])
        text = talk.redacting.shown("partial", {"text": words})["text"]
        assert text == words if count < 4 else text in ("[number]", "[card]")
    assert talk.redacting.shown("turn", {"said": "my otp is 4567"}) == {"said": "my otp is [otp]"}
    assert talk.redacting.shown("turn", {"gap_ms": 1234567}) == {"gap_ms": 1234567}


def test_flags_summaries_and_facts() -> None:
    talk = Talk()
    record = CallRecord(
        "c1", "1001", "+911", "help", 1, "en", AT,
        summary="Caller's card is 4111 1111 1111 1111.", memory="The OTP was 4567.",
        facts={"name": "Asha", "number": "98765 43210"},
    )  # fmt: skip
    kept = talk.redacting.record(record)
    assert kept.summary == "Caller's card is [card]." and kept.memory == "The OTP was [otp]."
    assert kept.facts == {"name": "Asha", "number": "[phone]"}
    flag = Flag(
        "f", AT, "c1", 1, "help", 1, "", 0, "guard", "caller", "r", "personal", "high", "flagged",
        "4111 1111 1111 1111", "my otp is 4567", "it is 4567",
    )  # fmt: skip
    kept_flag = talk.redacting.flag(flag)
    assert (kept_flag.phrase, kept_flag.question, kept_flag.answer) == (
        "[card]", "my otp is [otp]", "it is [otp]",
    )  # fmt: skip


def test_an_agent_that_redacts_nothing() -> None:
    talk = Talk(Agent("help", 1, "Help", redact=()))
    said = "my otp is 4567 and my card 4111 1111 1111 1111"
    assert talk.turn(said, "thanks").said == said
    assert talk.redacting.shown("turn", {"text": said}) == {"text": said}
    assert not talk.rows.spans


def test_only_what_the_agent_names() -> None:
    talk = Talk(Agent("help", 1, "Help", redact=("card",)))
    kept = talk.turn("my otp is 4567 and my card 4111 1111 1111 1111 ok", "thanks")
    assert kept.said == "my otp is 4567 and my card [card] ok"


@pytest.mark.parametrize(
    ("part", "earlier", "begin_ms"),
    [(1, None, 4000 - EDGE_EARLY_MS), (2, AT.replace(hour=8, minute=59), 64_000 - EDGE_EARLY_MS)],
)
def test_an_edge_s_recording_has_a_time_of_its_own(
    part: int, earlier: datetime | None, begin_ms: int
) -> None:
    offer = Offer("c1", "1001", "+911", 8000, ("127.0.0.1", 1), recording="c1.wav", part=part)
    recording = CallRecording(offer, Agent("help", 1, "Help"), AT, None, Path("/r"))
    talk = Talk(file=recording.file(earlier))
    talk.redacting.heard(Transcript(1, "my otp is 4567", True, 2000), 4000)
    assert [span.begin_ms for span in talk.rows.spans] == [begin_ms]


def test_a_place_that_cannot_be_known_is_the_whole_side() -> None:
    talk = Talk(file=File("c1.wav", offset_ms=None))
    talk.redacting.heard(Transcript(1, "my otp is 4567", True, 2000), 4000)
    assert [(s.begin_ms, s.end_ms) for s in talk.rows.spans] == [UNKNOWN_PLACE_MS]


def test_without_a_recording_there_is_nothing_to_beep() -> None:
    talk = Talk(file=File(""))
    talk.turn("my otp is 4567 thanks", "ok")
    assert not talk.rows.spans


def test_each_span_is_told_to_whoever_writes_the_file() -> None:
    marked: list[Any] = []
    talk = Talk(file=File("c1.wav", mark=marked.append))
    talk.turn("my otp is 4567 thanks", "ok")
    assert marked == talk.rows.spans
    assert replace(marked[0], kind="otp") == marked[0]


def test_a_number_that_the_final_words_have_lost_is_beeped_all_the_same() -> None:
    talk = Talk()
    for text, audio_ms, final in (
        ("my card number is five five zero nine", 3000, False),
        ("my card number is five five zero nine eight seven six", 4000, False),
        ("my card number is five five do i need to take to buy", 6000, True),
    ):
        talk.redacting.heard(Transcript(1, text, final, audio_ms), 10_000)
    (span,) = talk.rows.spans
    assert span.kind == "card" and span.begin_ms <= 10_000 and span.end_ms == 16_300
