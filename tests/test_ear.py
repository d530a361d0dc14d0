"""The arbiter of gaps and barge-ins, on recordings made to measure."""

from __future__ import annotations

import pytest

from appliance.audio import bytes_of, silence
from appliance.ops.demo.ear import Exchange, exchanges, percentile

RATE_HZ = 8000


def channel(length_ms: int, *sounds: tuple[int, int]) -> bytes:
    """Silence, with a loud square wave from each start to each end (ms)."""
    pcm = bytearray(silence(length_ms, RATE_HZ))
    for start, end in sounds:
        begin, size = bytes_of(start, RATE_HZ), bytes_of(end - start, RATE_HZ)
        pcm[begin : begin + size] = b"\x00\x20\x00\xe0" * (size // 4)
    return bytes(pcm)


def test_a_gap_is_the_silence_between_question_and_answer() -> None:
    caller = channel(6000, (1000, 2000))
    agent = channel(6000, (100, 600), (2450, 4000))
    (turn,) = exchanges(caller, agent, RATE_HZ)
    assert turn == Exchange(1000, 2000, 2450, None)
    assert (turn.gap_ms, turn.barge_in_ms) == (450, None)


def test_a_pause_in_mid_sentence_is_one_turn() -> None:
    caller = channel(6000, (1000, 1500), (2100, 2600))
    (turn,) = exchanges(caller, channel(6000, (3000, 4000)), RATE_HZ)
    assert (turn.said_start_ms, turn.said_end_ms, turn.gap_ms) == (1000, 2600, 400)


def test_a_barge_in_runs_from_the_callers_first_sound_to_the_agents_last() -> None:
    caller = channel(8000, (1000, 2000), (3500, 4500))
    agent = channel(8000, (2400, 3660), (5000, 6000))
    first, second = exchanges(caller, agent, RATE_HZ)
    assert (first.gap_ms, first.barge_in_ms) == (400, None)
    assert (second.gap_ms, second.barge_in_ms) == (500, 160)


def test_an_agent_who_talks_on_was_not_interrupted_and_nobody_answered() -> None:
    caller = channel(6000, (1000, 1400))
    (turn,) = exchanges(caller, channel(6000, (500, 5000)), RATE_HZ)
    assert turn == Exchange(1000, 1400, None, None)


def test_an_answer_belongs_to_the_last_question_before_it() -> None:
    caller = channel(8000, (1000, 2000), (4000, 5000))
    first, second = exchanges(caller, channel(8000, (5300, 6000)), RATE_HZ)
    assert (first.gap_ms, second.gap_ms) == (None, 300)


def test_silence_holds_no_turns() -> None:
    assert exchanges(channel(2000), channel(2000, (0, 500)), RATE_HZ) == []


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7], 0.95, 7), ([30, 10, 20], 0.5, 20), ([10, 20], 0.5, 15)],
)
def test_percentiles(values: list[int], share: float, expected: int | None) -> None:
    assert percentile(values, share) == expected
