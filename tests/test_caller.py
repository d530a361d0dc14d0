"""The caller's recording: both sides on one clock, exact to a frame."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest
from sipkit import media_worker, sip_office, sip_settings, tone, tone_file

from appliance.audio import read_wav, sound_spans, write_wav
from appliance.telephony.callercontrol import CallerControl

caller = pytest.importorskip("appliance.telephony.caller")
SILENCE = bytes(320)


def events_of(events: queue.SimpleQueue[dict[str, Any]]) -> list[dict[str, Any]]:
    return [events.get_nowait() for _ in range(events.qsize())]


def test_said_and_heard_share_one_clock(tmp_path: Path) -> None:
    events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    ear = caller.Ear(8000, events)
    for _ in range(5):  # what it hears is connected five ticks late
        ear.take()
    ear.play("q.wav", tone(50))
    sound = tone(20)
    for tick in range(5, 60):
        ear.take()
        ear.give(sound if 20 <= tick < 30 else SILENCE)
    ear.save(tmp_path / "out.wav")
    (said, heard), rate_hz = read_wav(tmp_path / "out.wav")
    assert len(said) == len(heard) == 60 * 320
    assert sound_spans(said, rate_hz) == [(100, 150)]
    assert sound_spans(heard, rate_hz) == [(400, 600)]
    assert events_of(events) == [
        {"event": "playing", "file": "q.wav", "ms": 100},
        {"event": "played", "file": "q.wav", "ms": 160},
        {"event": "sound", "ms": 400},
        {"event": "quiet", "ms": 600},
    ]


def test_files_are_said_one_after_the_other() -> None:
    events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    ear = caller.Ear(8000, events)
    for name in ("a", "b"):
        ear.play(name, tone(40))
    said = b"".join(ear.take() for _ in range(6))
    assert said == tone(40) * 2 + SILENCE * 2
    assert [(e["event"], e["file"], e["ms"]) for e in events_of(events)] == [
        ("playing", "a", 0),
        ("played", "a", 40),
        ("playing", "b", 40),
        ("played", "b", 80),
    ]


def test_two_frames_in_one_tick_do_not_shift_the_clock() -> None:
    ear = caller.Ear(8000, queue.SimpleQueue())
    ear.take()
    ear.give(SILENCE)
    ear.give(SILENCE)
    assert ear.now_ms == 20


@pytest.mark.sip
async def test_bad_commands_are_reported_and_the_call_goes_on(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        to = f"sip:1001@127.0.0.1:{settings.sip.port}"
        async with sip_office(settings), await CallerControl.ring(to, number="+911") as control:
            await control.wait_for("answered")
            assert (await worker.stream()).offer["caller"] == "+911"
            write_wav(tmp_path / "odd.wav", [bytes(100)], 11025)
            (tmp_path / "text.wav").write_text("no audio")
            for name in ("missing.wav", "odd.wav", "text.wav"):
                await control.play(tmp_path / name)
                assert (await control.wait_for("error"))["message"]
            await control.play(tone_file(tmp_path / "good.wav", 100))
            await control.wait_for("sound")
