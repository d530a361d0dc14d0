"""The real voice activity model: speech is heard, silence is not, and a batch changes nothing."""

from __future__ import annotations

import asyncio
import shutil

import numpy as np
import pytest
from spoken import line_noise, say

from appliance.audio import bytes_of, double_rate, frame_bytes, sound_spans
from appliance.engines.vad import (
    CHUNK_MS,
    CHUNK_SAMPLES,
    MOST_PENDING_CHUNKS,
    VadSlot,
    VoiceActivity,
)

pytestmark = pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")

QUESTION = "What are your opening hours on Saturday?"


async def scores_of(recordings: list[tuple[bytes, int]]) -> list[list[float]]:
    """Each recording (L16, Hz) as a call of its own, all at once."""
    detector = VoiceActivity()
    heard: list[list[float]] = [[] for _ in recordings]
    slots = [
        detector.open(rate_hz, lambda score, ms, mine=mine: mine.append(score))
        for (_, rate_hz), mine in zip(recordings, heard, strict=True)
    ]
    running = asyncio.create_task(detector.run())
    expected = [len(pcm) * 8000 // rate_hz // 2 // CHUNK_SAMPLES for pcm, rate_hz in recordings]
    places = [0] * len(recordings)
    async with asyncio.timeout(20):
        while any(len(mine) < n for mine, n in zip(heard, expected, strict=True)):
            for index, (pcm, rate_hz) in enumerate(recordings):
                size = 3 * frame_bytes(rate_hz)
                if len(slots[index].pending) < 4 * CHUNK_SAMPLES:
                    slots[index].feed(pcm[places[index] : places[index] + size])
                    places[index] += size
            await asyncio.sleep(0.001)
    for slot in slots:
        detector.close(slot)
    running.cancel()
    await asyncio.wait({running})
    return heard


def speech_share(scores: list[float]) -> float:
    return sum(score >= 0.5 for score in scores) / len(scores)


async def test_batched_calls_score_as_they_would_alone() -> None:
    recordings = [
        (say(QUESTION, voice, pad_ms=100)[:14400], 8000) for voice in ("awb", "slt", "rms")
    ]
    together = await scores_of(recordings)
    for recording, batched in zip(recordings, together, strict=True):
        (alone,) = await scores_of([recording])
        assert np.allclose(alone, batched, atol=1e-4)


async def test_speech_is_heard_and_silence_and_noise_are_not() -> None:
    noise = line_noise(1500).astype("<i2").tobytes()
    clicks = np.zeros(12000, "<i2")
    clicks[::1600] = 20000
    speech, silence, hiss, clicking = await scores_of(
        [
            (say(QUESTION, "awb", pad_ms=0), 8000),
            (bytes(bytes_of(1500, 8000)), 8000),
            (noise, 8000),
            (clicks.tobytes(), 8000),
        ]
    )
    assert speech_share(speech) > 0.7
    assert max(silence) < 0.5 and max(hiss) < 0.5 and speech_share(clicking) < 0.1


async def test_the_start_of_speech_is_placed_within_two_chunks() -> None:
    pcm = say(QUESTION, "slt", pad_ms=640)
    (start_ms, _), *_ = sound_spans(pcm, 8000, floor_db=-40)
    (scores,) = await scores_of([(pcm, 8000)])
    first = next(n for n, score in enumerate(scores) if score >= 0.5)
    assert abs(first * CHUNK_MS - start_ms) <= 2.5 * CHUNK_MS


async def test_wideband_scores_like_narrowband() -> None:
    pcm = say(QUESTION, "awb")[:24000]
    wide = double_rate(np.frombuffer(pcm, "<i2")).tobytes()
    narrow_scores, wide_scores = await scores_of([(pcm, 8000), (wide, 16000)])
    assert len(narrow_scores) == len(wide_scores)
    assert abs(speech_share(narrow_scores) - speech_share(wide_scores)) < 0.15
    assert speech_share(wide_scores) > 0.4


async def test_a_closed_call_gets_no_more_scores() -> None:
    detector, scores = VoiceActivity(), list[float]()
    slot = detector.open(8000, lambda score, ms: scores.append(score))
    running = asyncio.create_task(detector.run())
    slot.feed(bytes(bytes_of(10 * CHUNK_MS, 8000)))
    async with asyncio.timeout(20):
        while not scores:
            await asyncio.sleep(0.001)
    detector.close(slot)
    count = len(scores)
    await asyncio.sleep(0.1)
    assert len(scores) == count < 10
    running.cancel()
    await asyncio.wait({running})


def test_audio_that_cannot_be_scored_in_time_is_bounded_and_counted() -> None:
    slot = VadSlot(8000, lambda score, ms: None, asyncio.Event())
    for _ in range(500):
        slot.feed(bytes(320))
    assert len(slot.pending) <= MOST_PENDING_CHUNKS * CHUNK_SAMPLES * 2
    assert slot.dropped * CHUNK_SAMPLES * 2 + len(slot.pending) == 500 * 320


async def test_dropped_audio_still_counts_as_time() -> None:
    detector, told = VoiceActivity(), list[int]()
    slot = detector.open(8000, lambda score, ms: told.append(ms))
    for _ in range(100):
        slot.feed(bytes(320))  # two seconds, before the detector first runs
    running = asyncio.create_task(detector.run())
    async with asyncio.timeout(20):
        while sum(told) <= 2000 - CHUNK_MS:
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.wait({running})
    assert 2000 - CHUNK_MS < sum(told) <= 2000
