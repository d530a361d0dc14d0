"""Endpointing on virtual audio time: what is told, after how much audio."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.turn.endpoint import Activity, Endpointer, Sound, Thresholds

CHUNK_MS = 32
VOICE, QUIET = 0.9, 0.05


class Line:
    """A caller's audio as speech scores; keeps what was told and when."""

    def __init__(self, **thresholds: float) -> None:
        self.endpointer = Endpointer(Thresholds(**thresholds))  # type: ignore[arg-type]
        self.told: list[tuple[int, Sound]] = []

    def hear(self, probability: float, ms: int) -> list[Sound]:
        begin = len(self.told)
        for _ in range(ms // CHUNK_MS):
            for sound in self.endpointer.chunk(probability, CHUNK_MS):
                self.told.append((self.endpointer.now_ms, sound))
        return [sound for _, sound in self.told[begin:]]

    def when(self, sound: Sound) -> int:
        """ms of audio at which it was last told."""
        return next(at for at, s in reversed(self.told) if s is sound)


def spoken(**thresholds: float) -> Line:
    """A line on which 640 ms were spoken after 320 ms of silence."""
    line = Line(**thresholds)
    line.hear(QUIET, 320)
    line.hear(VOICE, 640)
    return line


def test_speech_starts_after_64_ms_and_is_placed_at_its_first_sound() -> None:
    line = spoken()
    assert line.told == [(320 + 64, Sound.STARTED)]
    assert line.endpointer.speech_start_ms == 320
    assert line.endpointer.activity is Activity.SPEAKING


def test_a_click_is_no_speech() -> None:
    line = Line()
    for _ in range(20):
        assert not line.hear(VOICE, 32)
        assert not line.hear(QUIET, 32)


def test_a_pause_is_told_after_32_ms_and_judged_after_96() -> None:
    line = spoken()
    assert line.hear(QUIET, 96) == [Sound.PAUSED, Sound.JUDGE]
    assert line.when(Sound.PAUSED) == 960 + 32
    assert line.when(Sound.JUDGE) == 960 + 96
    assert line.endpointer.speech_end_ms == 960


@pytest.mark.parametrize(("told_ms", "ends_ms"), [(240, 240), (1400, 1400), (None, 500)])
def test_silence_ends_the_turn_after_what_was_told(told_ms: int | None, ends_ms: int) -> None:
    line = spoken()
    line.hear(QUIET, 96)
    if told_ms is not None:
        line.endpointer.end_after(told_ms)
    line.hear(QUIET, 1500)
    whole_chunks_ms = -(-ends_ms // CHUNK_MS) * CHUNK_MS
    assert line.when(Sound.ENDED) == 960 + whole_chunks_ms
    settled_ms = max(-(-(ends_ms - 120) // CHUNK_MS) * CHUNK_MS, 96 + CHUNK_MS)
    assert line.when(Sound.SETTLED) == 960 + settled_ms
    assert line.endpointer.activity is Activity.QUIET


def test_a_long_pause_is_judged_again() -> None:
    line = spoken()
    line.hear(QUIET, 96)
    line.endpointer.end_after(1400)
    line.hear(QUIET, 960)
    assert [at - 960 for at, s in line.told if s is Sound.JUDGE] == [96, 288, 608]


def test_a_wait_that_has_passed_already_ends_the_turn_with_the_next_chunk() -> None:
    line = spoken()
    line.hear(QUIET, 320)
    line.endpointer.end_after(160)
    assert line.hear(QUIET, 32) == [Sound.SETTLED, Sound.ENDED]


def test_a_wait_made_longer_after_all_keeps_the_turn_open() -> None:
    line = spoken()
    line.hear(QUIET, 384)
    assert line.when(Sound.SETTLED) == 960 + 384
    line.endpointer.end_after(1400)  # the verdict came late
    line.hear(QUIET, 900)
    assert line.endpointer.activity is Activity.PAUSED
    assert line.hear(VOICE, 64) == [Sound.RESUMED]


def test_going_on_resumes_and_a_new_pause_is_judged_anew() -> None:
    line = spoken()
    line.hear(QUIET, 96)
    line.endpointer.end_after(1400)
    line.hear(QUIET, 640)
    assert line.hear(VOICE, 320) == [Sound.RESUMED]
    assert line.endpointer.speech_start_ms == 320  # the same turn
    assert line.hear(QUIET, 96) == [Sound.PAUSED, Sound.JUDGE]
    line.hear(QUIET, 640)  # what was told in the first pause does not count any more
    end = line.endpointer.speech_end_ms
    assert line.when(Sound.ENDED) == end + 512


def test_one_noisy_chunk_does_not_reopen_a_settled_turn() -> None:
    line = spoken()
    line.hear(QUIET, 96)
    line.endpointer.end_after(240)
    assert line.hear(QUIET, 32) == [Sound.SETTLED]
    assert line.hear(VOICE, 32) == []
    assert Sound.ENDED in line.hear(QUIET, 96)


def test_two_chunks_of_speech_reopen_a_settled_turn() -> None:
    line = spoken()
    line.hear(QUIET, 96)
    line.endpointer.end_after(240)
    line.hear(QUIET, 32)
    assert line.hear(VOICE, 64) == [Sound.RESUMED]
    assert Sound.SETTLED in line.hear(QUIET, 600)  # told again for what was added


def test_a_weak_syllable_does_not_pause_speech() -> None:
    line = spoken()
    assert line.hear(0.4, 640) == []  # under the start's threshold, over the stop's
    assert line.hear(0.3, 32) == [Sound.PAUSED]
    assert line.hear(0.4, 64) != [Sound.RESUMED]  # and too weak to go on


def test_a_noisy_line_cannot_hold_the_floor() -> None:
    line = Line(longest_ms=2000)
    line.hear(VOICE, 3200)
    sounds = [sound for _, sound in line.told]
    assert sounds[:4] == [Sound.STARTED, Sound.PAUSED, Sound.SETTLED, Sound.ENDED]
    assert 2000 <= next(at for at, s in line.told if s is Sound.ENDED) <= 2000 + 2 * CHUNK_MS


def test_reset_forgets_the_turn() -> None:
    line = spoken()
    line.endpointer.reset()
    assert line.endpointer.activity is Activity.QUIET
    assert line.hear(QUIET, 2000) == []
    assert line.hear(VOICE, 64) == [Sound.STARTED]


chunks = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([None, None, None, 160, 240, 700, 1400])),
    max_size=300,
)


@given(chunks)
def test_any_scores_give_a_well_formed_story(scores: list[tuple[float, int | None]]) -> None:
    endpointer = Endpointer(Thresholds(longest_ms=3000))
    open_turn = paused = settled = False
    for probability, wait_ms in scores:
        before_ms = endpointer.now_ms
        for sound in endpointer.chunk(probability, CHUNK_MS):
            match sound:
                case Sound.STARTED:
                    assert not open_turn
                    open_turn, settled = True, False
                case Sound.PAUSED:
                    assert open_turn and not paused
                    paused = True
                case Sound.JUDGE:
                    assert paused
                case Sound.SETTLED:
                    assert paused and not settled
                    settled = True  # the final words are asked for once
                case Sound.RESUMED:
                    assert paused
                    paused = settled = False
                case Sound.ENDED:
                    assert paused and settled
                    open_turn = paused = False
        assert endpointer.now_ms == before_ms + CHUNK_MS
        assert (endpointer.activity is Activity.QUIET) == (not open_turn)
        assert (endpointer.activity is Activity.PAUSED) == paused
        if open_turn:
            assert 0 <= endpointer.speech_start_ms < endpointer.now_ms
        if paused:
            assert endpointer.speech_start_ms <= endpointer.speech_end_ms <= endpointer.now_ms
        if wait_ms is not None:
            endpointer.end_after(wait_ms)


@given(chunks)
def test_silence_ends_every_turn(scores: list[tuple[float, int | None]]) -> None:
    endpointer = Endpointer(Thresholds())
    for probability, wait_ms in scores:
        endpointer.chunk(probability, CHUNK_MS)
        if wait_ms is not None:
            endpointer.end_after(wait_ms)
    for _ in range(1500 // CHUNK_MS):
        endpointer.chunk(0.0, CHUNK_MS)
    assert endpointer.activity is Activity.QUIET
