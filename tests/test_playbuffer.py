"""The jitter buffer on virtual time: one pop is 20 ms."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.telephony.playbuffer import LONGEST_WINDOW_FRAMES, MAX_FRAMES, PlayBuffer

SIZE = 320
SILENCE = bytes(SIZE)


def loud(number: int) -> bytes:
    return np.full(SIZE // 2, 1000 + number, "<i2").tobytes()


def test_plays_in_order_after_two_frames() -> None:
    buffer = PlayBuffer(SIZE)
    buffer.push(loud(0))
    assert buffer.pop() == SILENCE
    buffer.push(loud(1))
    assert [buffer.pop(), buffer.pop()] == [loud(0), loud(1)]
    assert buffer.underruns == 0


def test_nothing_before_the_first_frame_is_late() -> None:
    buffer = PlayBuffer(SIZE)
    assert {buffer.pop() for _ in range(100)} == {SILENCE}
    assert buffer.underruns == 0


def test_an_underrun_is_silence_and_counted() -> None:
    buffer = PlayBuffer(SIZE)
    buffer.push(loud(0))
    buffer.push(loud(1))
    frames = [buffer.pop() for _ in range(4)]
    assert frames == [loud(0), loud(1), SILENCE, SILENCE]
    assert buffer.underruns == 2


def test_wrong_size_is_dropped() -> None:
    buffer = PlayBuffer(SIZE)
    for size in (0, 319, 321, 640):
        buffer.push(bytes(size))
    assert (buffer.waiting, buffer.wrong_size) == (0, 4)


def test_after_a_hiccup_silence_is_dropped_before_speech() -> None:
    buffer = PlayBuffer(SIZE)
    for number in range(4):
        buffer.push(SILENCE)
        buffer.push(loud(number))
    frames = [buffer.pop() for _ in range(MAX_FRAMES)]
    assert [f for f in frames if f != SILENCE] == [loud(n) for n in range(4)]
    assert buffer.dropped == 3


def test_a_flood_of_speech_keeps_the_newest() -> None:
    buffer = PlayBuffer(SIZE)
    for number in range(20):
        buffer.push(loud(number))
    assert buffer.pop() == loud(20 - MAX_FRAMES)
    assert buffer.waiting == MAX_FRAMES - 1


def test_needless_delay_is_given_back_in_silence_only() -> None:
    buffer = PlayBuffer(SIZE)
    for _ in range(4):
        buffer.push(loud(0))
    for number in range(200):  # speech: nothing may be left out
        buffer.push(loud(number))
        buffer.pop()
    assert (buffer.waiting, buffer.dropped) == (4, 0)
    for _ in range(300):
        buffer.push(SILENCE)
        buffer.pop()
    assert buffer.waiting == 0
    assert buffer.underruns == 0


def test_after_an_underrun_it_is_slower_to_cut_the_last_spare_frame() -> None:
    def pops_until_cut(underruns: int) -> int:
        buffer = PlayBuffer(SIZE)
        for _ in range(underruns):
            for _ in range(2):
                buffer.push(SILENCE)
            for _ in range(3):
                buffer.pop()
        for count in range(LONGEST_WINDOW_FRAMES * 2):
            for _ in range(2 if count == 0 else 1):
                buffer.push(SILENCE)
            buffer.pop()
            if buffer.dropped:
                return count
        return -1

    assert 0 < pops_until_cut(0) < pops_until_cut(1) < pops_until_cut(3)
    assert pops_until_cut(20) > 0


@given(st.lists(st.integers(0, 12), max_size=200))
def test_any_arrival_keeps_order_and_bounds(arrivals: list[int]) -> None:
    buffer = PlayBuffer(SIZE)
    number, heard = 0, []
    for count in arrivals:
        for _ in range(count):
            buffer.push(loud(number))
            number += 1
        frame = buffer.pop()
        assert len(frame) == SIZE
        assert buffer.waiting <= MAX_FRAMES
        if frame != SILENCE:
            heard.append(int(np.frombuffer(frame, "<i2")[0]))
    assert heard == sorted(set(heard))
    assert number == len(heard) + buffer.dropped + buffer.waiting
