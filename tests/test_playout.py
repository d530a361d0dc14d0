"""What the caller hears, on virtual time: one frame every 20 ms, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtualtime import VirtualLoop, run, stall

from appliance.audio import FRAME_MS, bytes_of, frame_bytes
from appliance.media.playout import PHASE_S, PHASES, Pacer, Playout, Utterance

RATE_HZ = 8000
SIZE = frame_bytes(RATE_HZ)
SILENCE = bytes(SIZE)


class Ear:
    """A caller on a playout: what came, and when."""

    def __init__(self, rate_hz: int = RATE_HZ) -> None:
        self.frames: list[bytes] = []
        self.times: list[float] = []
        self.numbers: list[int] = []
        self.sources: list[Utterance | None] = []
        self.played = 0
        self.playout = Playout(rate_hz, self._send, self._on_frame, self._on_played)

    def _send(self, frame: bytes) -> None:
        self.frames.append(frame)
        try:
            self.times.append(asyncio.get_running_loop().time())
        except RuntimeError:
            self.times.append(0.0)

    def _on_frame(self, number: int, frame: bytes, utterance: Utterance | None) -> None:
        assert frame == self.frames[-1]
        self.numbers.append(number)
        self.sources.append(utterance)

    def _on_played(self) -> None:
        self.played += 1

    def tick(self, times: int = 1) -> bytes:
        begin = len(self.frames)
        for _ in range(times):
            self.playout.tick()
        return b"".join(self.frames[begin:])


def sound(ms: int, value: int = 1) -> bytes:
    return bytes([value]) * bytes_of(ms, RATE_HZ)


def utterance(pcm: bytes, *, closed: bool = True) -> Utterance:
    made = Utterance(RATE_HZ)
    made.write(pcm)
    if closed:
        made.close()
    return made


# --- one utterance, without a clock ---------------------------------------------------------------


def test_silence_when_there_is_nothing_to_say() -> None:
    ear = Ear()
    assert ear.tick(3) == SILENCE * 3
    assert ear.playout.now_ms == 60 and ear.played == 0 and ear.playout.underruns == 0


def test_played_to_the_last_sample_and_told_once() -> None:
    ear, reply = Ear(), utterance(sound(50))
    ear.playout.play(reply)
    assert ear.tick(2) == sound(40) and ear.played == 0
    assert ear.tick() == sound(10) + bytes(bytes_of(10, RATE_HZ))  # padded
    assert ear.played == 1 and reply.finished and reply.played_ms == 50
    assert ear.tick(5) == SILENCE * 5 and ear.played == 1


def test_utterances_follow_each_other_without_a_gap_and_the_last_is_told() -> None:
    ear = Ear()
    for value in (1, 2):
        ear.playout.play(utterance(sound(40, value)))
    assert ear.tick(4) == sound(40, 1) + sound(40, 2)
    assert ear.played == 1


def test_an_empty_utterance_is_told_too() -> None:
    ear = Ear()
    ear.playout.play(utterance(b""))
    assert ear.tick() == SILENCE and ear.played == 1


def test_silence_before_the_first_audio_is_no_underrun_but_a_hole_is() -> None:
    ear, growing = Ear(), Utterance(RATE_HZ)
    ear.playout.play(growing)
    ear.tick(3)
    assert ear.playout.underruns == 0
    growing.write(sound(30))
    assert ear.tick(2) == sound(20) + SILENCE  # half a frame waits for its other half
    assert ear.playout.underruns == 1 and growing.played_ms == 20
    growing.write(sound(10))
    assert ear.tick() == sound(20)


def test_flush_is_silent_from_the_next_frame_on_and_tells_nothing() -> None:
    ear, reply = Ear(), utterance(sound(200))
    ear.playout.play(reply)
    ear.tick(2)
    ear.playout.flush()
    assert ear.tick(20) == SILENCE * 20
    assert ear.played == 0 and reply.played_ms == 40


def test_hold_keeps_the_place() -> None:
    ear = Ear()
    ear.playout.play(utterance(sound(40, 1) + sound(40, 2)))
    ear.tick(2)
    ear.playout.hold()
    assert ear.tick(10) == SILENCE * 10 and ear.played == 0
    ear.playout.carry_on()
    assert ear.tick(2) == sound(40, 2) and ear.played == 1


def test_flush_ends_a_hold() -> None:
    ear = Ear()
    ear.playout.hold()
    ear.playout.flush()
    ear.playout.play(utterance(sound(20)))
    assert ear.tick() == sound(20)


def test_the_hold_phrase_goes_first() -> None:
    ear, late = Ear(), Utterance(RATE_HZ)
    ear.playout.play(late)
    ear.tick(2)
    ear.playout.play_first(utterance(sound(20, 7)))
    late.write(sound(20, 1))
    late.close()
    assert ear.tick(2) == sound(20, 7) + sound(20, 1) and ear.played == 1


def test_nothing_is_added_to_a_closed_utterance() -> None:
    reply = utterance(sound(20))
    reply.write(sound(20))
    assert reply.written_ms == 20


def test_what_on_frame_flushes_and_queues_is_left_alone() -> None:
    """The longest call ends within the last frame of a reply: the goodbye must still be said."""
    goodbye = utterance(sound(20, 9))
    frames: list[bytes] = []
    played: list[bool] = []

    def on_frame(number: int, frame: bytes, source: Utterance | None) -> None:
        if number == 1:
            playout.flush()
            playout.play(goodbye)

    playout = Playout(RATE_HZ, frames.append, on_frame, lambda: played.append(True))
    playout.play(utterance(sound(20, 1)))
    playout.tick()
    assert not played
    playout.tick()
    assert frames == [sound(20, 1), sound(20, 9)] and played == [True]


STEPS = st.sampled_from(["write", "close", "tick", "hold", "go", "flush", "play"])


@given(st.lists(STEPS, max_size=200))
def test_every_byte_is_played_at_most_once_and_in_order(steps: list[str]) -> None:
    ear, made = Ear(), []
    ear.playout.play(made.append(Utterance(RATE_HZ)) or made[-1])
    for n, step in enumerate(steps):
        if step == "write":
            made[-1].write(bytes([n % 250 + 1]) * 250)
        elif step == "close":
            made[-1].close()
        elif step == "tick":
            ear.tick()
        elif step == "hold":
            ear.playout.hold()
        elif step == "go":
            ear.playout.carry_on()
        elif step == "flush":
            ear.playout.flush()
        else:
            made[-1].close()
            made.append(Utterance(RATE_HZ))
            ear.playout.play(made[-1])
        assert all(len(frame) == SIZE for frame in ear.frames)
        assert ear.playout.frames == len(ear.frames)
    heard = [byte for frame in ear.frames for byte in frame if byte]
    assert heard == sorted(heard)  # each write has a higher value than the one before


# --- the pacer, on virtual time -------------------------------------------------------------------


def paced(seconds: float, ears: list[Ear], *, busy: float = 0.0, every_s: float = 1.0) -> None:
    """Run a pacer for so long; the loop stands still for ``busy`` s ``every_s``."""

    async def live() -> None:
        pacer = Pacer()
        for ear in ears:
            pacer.add(ear.playout)
        running = asyncio.create_task(pacer.run())
        loop = asyncio.get_running_loop()
        while loop.time() < seconds:
            await asyncio.sleep(every_s)
            stall(busy)
        running.cancel()
        await asyncio.wait({running})

    run(live())


def test_pacing_does_not_drift_over_ten_minutes() -> None:
    ears = [Ear() for _ in range(PHASES + 1)]
    paced(600, ears, busy=0.0031, every_s=0.0473)  # always a little late
    for ear in ears:
        offset = ear.times[0]
        late = [at - offset - n * FRAME_MS / 1000 for n, at in enumerate(ear.times)]
        assert -0.004 <= min(late) and max(late) < 0.009
        assert abs(len(ear.times) - 600 / 0.02) <= 3
        assert ear.playout.late_frames == 0


def test_calls_are_spread_over_the_phases() -> None:
    ears = [Ear() for _ in range(PHASES * 2)]
    paced(1, ears)
    firsts = sorted(round(ear.times[0] / PHASE_S) % PHASES for ear in ears)
    assert firsts == sorted([*range(PHASES)] * 2)


def test_a_short_stall_is_caught_up() -> None:
    ear = Ear()
    paced(3, [ear], busy=0.06, every_s=1.5)
    assert abs(len(ear.frames) - ear.times[-1] / 0.02) <= 2
    gaps = [b - a for a, b in pairwise(ear.times)]
    assert max(gaps) <= 0.085
    assert 1 <= ear.playout.late_frames <= 6
    assert ear.playout.frames == len(ear.frames)  # none skipped


def test_a_long_stall_is_skipped_not_burst(caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear()
    with caplog.at_level(logging.WARNING):
        paced(6, [ear], busy=1.0, every_s=3.0)
    assert any("stood still" in r.getMessage() for r in caplog.records)
    after = next(n for n, (a, b) in enumerate(pairwise(ear.times)) if b - a > 0.5) + 1
    burst = [at for at in ear.times[after:] if at - ear.times[after] < 0.05]
    assert len(burst) <= 4  # sound goes on at its pace
    # ... and the media clock has passed over what was skipped
    assert abs(ear.playout.now_ms / 1000 - ear.times[-1]) < 0.05
    assert ear.playout.late_frames >= 45
    assert ear.numbers == sorted(set(ear.numbers))


def test_a_removed_playout_gets_nothing_more() -> None:
    async def live() -> None:
        pacer, gone, stays = Pacer(), Ear(), Ear()
        pacer.add(gone.playout)
        pacer.add(stays.playout)
        running = asyncio.create_task(pacer.run())
        await asyncio.sleep(1)
        pacer.remove(gone.playout)
        pacer.remove(gone.playout)  # again is harmless
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        assert 49 <= len(gone.frames) <= 50 and 99 <= len(stays.frames) <= 100

    run(live())


def test_barge_in_is_silent_within_one_frame() -> None:
    async def live() -> None:
        pacer, ear, loop = Pacer(), Ear(), asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        ear.playout.play(utterance(sound(5000)))
        pacer.add(ear.playout)
        running = asyncio.create_task(pacer.run())
        for _ in range(20):
            await asyncio.sleep(0.0137)
        ear.playout.flush()
        at, count = loop.time(), len(ear.frames)
        await asyncio.sleep(0.1)
        assert set(ear.frames[count:]) == {SILENCE}
        assert ear.times[count] - at <= 0.020
        running.cancel()
        await asyncio.wait({running})

    run(live())
