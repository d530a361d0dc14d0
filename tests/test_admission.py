"""A worker finds its own knee, and stays before it."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtualtime import run, stall

from appliance.call.admission import (
    BACK_OFF,
    LONGEST_MEMORY_S,
    REMEMBER_S,
    SETTLE_S,
    Admission,
    Sample,
)
from appliance.media.playout import Pacer, Playout


def admission(most: int = 100) -> Admission:
    return Admission(most, frame_late_ms=10, stage_late=2.0)


def good(calls: int, **stages_s: float) -> Sample:
    return Sample(calls, 0.001, stages_s)


def test_below_the_knee_nothing_is_refused() -> None:
    door = admission()
    for second in range(600):
        door.observe(second, good(80, stt=0.05, llm=0.25, tts=0.1))
    assert (door.limit, door.why, door.knee) == (100, "", None)


def test_frames_that_go_out_late_close_the_door() -> None:
    door = admission()
    for second in range(3):
        door.observe(second, Sample(50, 0.014, {}))
    assert door.limit == 45 and door.knee == 50
    assert "14 ms late" in door.why


def test_one_late_second_is_no_knee() -> None:
    door = admission()
    for second in range(60):
        late_s = 0.3 if second % 5 == 0 else 0.001
        door.observe(second, Sample(50, late_s, {}))
    assert door.limit == 100


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_stage_that_takes_longer_than_when_idle_closes_the_door(stage: str) -> None:
    door = admission()
    for second in range(20):
        door.observe(second, good(10, **{stage: 0.2}))
    for second in range(20, 24):
        door.observe(second, good(60, **{stage: 0.9}))
    assert door.limit == 54 and stage in door.why and "900 ms" in door.why


def test_a_stage_that_is_quick_enough_for_any_ear_is_no_trouble() -> None:
    door = admission()
    door.observe(0, good(5, stt=0.01))
    for second in range(1, 30):
        door.observe(second, good(50, stt=0.09))
    assert door.limit == 100


def test_the_limit_falls_while_it_stays_late_but_a_call_may_always_come() -> None:
    door = admission()
    for second in range(1000):
        door.observe(second, Sample(max(1, door.limit), 0.05, {}))
    assert door.limit == 1
    assert door.why


def test_after_a_knee_it_grows_again_and_stays_before_it() -> None:
    door = admission()
    for second in range(3):
        door.observe(second, Sample(50, 0.02, {}))
    assert door.limit == 45
    for second in range(2, 1 + int(SETTLE_S)):
        door.observe(second, good(45))
    assert door.limit == 45, "what the cut did was not waited for"
    for second in range(8, int(REMEMBER_S)):
        door.observe(second, good(45))
    assert door.limit == 47, "it came near a knee that is remembered"
    for second in range(int(REMEMBER_S), 60 + int(REMEMBER_S)):
        door.observe(second, good(45))
    assert door.limit == 100, "an old knee is forgotten"


def test_a_knee_that_is_found_again_and_again_is_believed_longer() -> None:
    door = admission()
    second, held = 0, []
    for _ in range(6):
        for _ in range(3):
            door.observe(second, Sample(50, 0.02, {}))
            second += 1
        began = second
        while door.limit < 50:
            door.observe(second, good(45))
            second += 1
        held.append(second - began)
    assert held[0] < REMEMBER_S + 10 and held == sorted(held)
    assert LONGEST_MEMORY_S <= held[-1] < LONGEST_MEMORY_S + 10


def test_one_caller_and_three_bad_seconds_lock_nobody_out() -> None:
    """A single call is no load: what is late then is late for another reason."""
    for bad in (Sample(1, 0.001, {"tts": 0.9}), Sample(1, 0.2, {})):
        door = admission()
        for second in range(30):
            door.observe(second, good(1, tts=0.1))
        for second in range(30, 33):
            door.observe(second, bad)
        for second in range(33, 45):
            door.observe(second, good(1, tts=0.1))
        assert door.limit >= 4, bad
        for second in range(45, 200):
            door.observe(second, good(1, tts=0.1))
        assert door.limit == 100, bad


def test_a_slow_server_is_not_mended_by_refusing_callers() -> None:
    """A third of all phrases is slow for an hour, however few callers there are."""
    door = admission()
    for second in range(30):
        door.observe(second, good(40, tts=0.1))
    least = 100
    for second in range(30, 3600):
        door.observe(second, good(min(40, door.limit), tts=0.9))
        least = min(least, door.limit)
    assert least >= 40 * 0.5 * BACK_OFF - 1, "half of the calls told that it is not the load"
    assert door.limit == 100 and not door.why
    for second in range(3600, 3700):
        door.observe(second, good(80, tts=2.0))
    assert door.limit < 80, "what is twice as slow again is seen"


def test_a_stage_that_is_quicker_with_fewer_calls_is_held_there() -> None:
    """A server that is full: what it takes grows with the calls above 30."""
    door = admission()
    worst_s = 0.0
    for second in range(600):
        calls = min(door.limit, 60, second)
        took_s = 0.2 + max(0, calls - 30) * 0.05
        if second > 120:
            worst_s = max(worst_s, took_s)
        door.observe(second, good(calls, tts=took_s))
    assert 28 <= door.limit <= 45 and worst_s < 0.9


def test_a_machine_with_a_knee_is_kept_before_it() -> None:
    """The worker is late from 60 calls on; callers come for ever."""
    door = admission()
    calls, late = 0, 0
    for second in range(3600):
        calls = min(door.limit, calls + 1) if calls < door.limit else calls
        if second % 7 == 0:
            calls = max(0, calls - 1)  # somebody hangs up
        is_late = calls >= 60
        late += is_late
        door.observe(second, Sample(calls, 0.05 if is_late else 0.001, {}))
    assert late < 0.1 * 3600
    assert door.limit >= 60 * BACK_OFF * BACK_OFF


@given(
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.one_of(st.none(), st.floats(0, 2)),
            st.dictionaries(
                st.sampled_from(["stt", "llm", "tts"]), st.one_of(st.none(), st.floats(0, 10))
            ),
        ),
        max_size=200,
    ),
    st.integers(1, 200),
)
def test_the_limit_is_always_sensible(
    trace: list[tuple[int, float | None, dict[str, float | None]]], most: int
) -> None:
    door = admission(most)
    for second, (calls, late_s, stages_s) in enumerate(trace):
        before = door.limit
        door.observe(second, Sample(calls, late_s, stages_s))
        assert 1 <= door.limit <= most
        assert door.limit <= before + 1
        assert math.isfinite(door.limit)


def test_the_pacer_tells_how_late_frames_are() -> None:
    async def work() -> tuple[float | None, float | None, float | None]:
        pacer = Pacer()
        task = asyncio.create_task(pacer.run())
        idle = pacer.recent_late_s()
        playout = Playout(8000, lambda _: None, lambda *_: None, lambda: None)
        pacer.add(playout)
        await asyncio.sleep(3)
        calm = pacer.recent_late_s()
        for _ in range(100):
            stall(0.03)
            await asyncio.sleep(0.02)
        busy = pacer.recent_late_s()
        pacer.remove(playout)
        task.cancel()
        return idle, calm, busy

    idle, calm, busy = run(work())
    assert idle is None
    assert calm is not None and calm < 0.001
    assert busy is not None and busy > 0.02
