"""The stereo recording: both sides where they belong, whole whatever happens to the process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from appliance.audio import FRAME_MS, bytes_of, frame_bytes, read_wav
from appliance.media.recording import DiskWriter, Recording

RATE_HZ = 8000


def frame(value: int, rate_hz: int = RATE_HZ) -> bytes:
    return np.full(frame_bytes(rate_hz) // 2, value, "<i2").tobytes()


def at(channel: bytes, ms: int, rate_hz: int = RATE_HZ) -> int:
    """The sample in the middle of the frame that begins at ``ms``."""
    return int(np.frombuffer(channel, "<i2")[(ms + 10) * rate_hz // 1000])


class Call:
    """Plays a call into a recording; ``now_ms`` is its media clock."""

    def __init__(self, path: Path, rate_hz: int = RATE_HZ, disk: DiskWriter | None = None) -> None:
        self.disk = disk or DiskWriter()
        self.recording = Recording(path, rate_hz, self.disk)
        self.rate_hz = rate_hz
        self.now_ms = 0

    def agent(self, value: int) -> None:
        self.now_ms += FRAME_MS
        self.recording.agent(frame(value, self.rate_hz), self.now_ms)

    def caller(self, value: int) -> None:
        self.recording.caller(frame(value, self.rate_hz), self.now_ms)

    def end(self) -> tuple[bytes, bytes]:
        self.recording.close()
        self.disk.close()
        channels, rate_hz = read_wav(self.recording.path)
        assert rate_hz == self.rate_hz and len(channels) == 2
        return channels[0], channels[1]


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_caller_left_agent_right_each_in_its_place(tmp_path: Path, rate_hz: int) -> None:
    call = Call(tmp_path / "2026" / "11" / "call.wav", rate_hz)
    for n in range(1, 201):
        call.agent(n)
        call.caller(1000 + n)
    left, right = call.end()
    assert len(left) == len(right) == bytes_of(4000, rate_hz)
    for n in (1, 49, 50, 51, 60, 61, 120, 200):
        assert at(right, (n - 1) * FRAME_MS, rate_hz) == n
        assert at(left, (n - 1) * FRAME_MS, rate_hz) == 1000 + n


def test_jitter_does_not_scatter_the_callers_frames(tmp_path: Path) -> None:
    """Frames in pairs, as a busy network delivers them, stand one behind the other."""
    call = Call(tmp_path / "call.wav")
    for n in range(100):
        call.agent(1)
        if n % 2:
            call.caller(1000 + n - 1)
            call.caller(1000 + n)
    left, _ = call.end()
    values = [at(left, ms) for ms in range(0, 2000 - FRAME_MS, FRAME_MS)]
    heard = [v for v in values if v]
    assert heard == sorted(heard) and len(set(heard)) == len(heard) >= 98
    first = values.index(1000)
    assert values[first : first + 98] == list(range(1000, 1098))  # no hole between them


def test_a_hole_in_the_callers_audio_is_silence_and_the_rest_stays_aligned(tmp_path: Path) -> None:
    call = Call(tmp_path / "call.wav")
    for n in range(200):
        call.agent(1)
        if not 50 <= n < 90:
            call.caller(1000 + n)
    left, _ = call.end()
    assert at(left, 49 * FRAME_MS) == 1049
    assert at(left, 60 * FRAME_MS) == at(left, 85 * FRAME_MS) == 0
    for n in (90, 120, 199):
        assert abs(at(left, n * FRAME_MS) - (1000 + n)) <= 1


def test_frames_later_than_the_slack_are_dropped_not_misplaced(tmp_path: Path) -> None:
    call = Call(tmp_path / "call.wav")
    for n in range(150):
        call.agent(1)
        call.caller(1000 + n)
    late = call.now_ms
    call.recording.caller(frame(7777), late - 2000)
    for n in range(150, 200):
        call.agent(1)
        call.caller(1000 + n)
    left, _ = call.end()
    assert 7777 not in np.frombuffer(left, "<i2")
    assert abs(at(left, 190 * FRAME_MS) - 1190) <= 1


def test_frames_that_a_stall_skipped_keep_both_sides_aligned(tmp_path: Path) -> None:
    call = Call(tmp_path / "call.wav")
    for n in range(300):
        if 100 <= n < 140:
            call.now_ms += FRAME_MS  # skipped: never sent
            continue
        call.agent(1 + n)
        call.caller(1000 + n)
    left, right = call.end()
    assert len(left) == len(right) == bytes_of(6000, RATE_HZ)
    for n in (99, 140, 200, 299):
        assert at(right, n * FRAME_MS) == 1 + n
        assert at(left, n * FRAME_MS) == 1000 + n
    assert at(right, 120 * FRAME_MS) == 0


def test_a_call_without_a_frame_leaves_a_readable_file(tmp_path: Path) -> None:
    left, right = Call(tmp_path / "call.wav").end()
    assert left == right == b""


ABRUPT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, "tests")
from test_recording import Call
call = Call(Path(sys.argv[1]))
for n in range(215):
    call.agent(1 + n); call.caller(1000 + n)
time.sleep(0.5)  # the disk's thread writes what it was given
os.kill(os.getpid(), 9)
"""


def test_a_killed_process_leaves_a_file_whole_to_its_last_second(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    done = subprocess.run([sys.executable, "-c", ABRUPT, str(path)], timeout=30)
    assert done.returncode == -9
    (left, right), rate_hz = read_wav(path)
    assert rate_hz == RATE_HZ
    written_ms = len(right) * 1000 // (2 * RATE_HZ)
    assert written_ms >= 3000  # 4.3 s were recorded; at most a second and the slack are lost
    assert path.stat().st_size == 44 + 2 * len(right)  # the header tells no lie
    last = written_ms // FRAME_MS - 1
    assert at(right, last * FRAME_MS) == 1 + last and at(left, last * FRAME_MS) == 1000 + last


@pytest.mark.parametrize("where", ["file/call.wav", "folder"])
def test_a_disk_that_cannot_be_written_costs_only_the_recording(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    (tmp_path / "folder").mkdir()
    broken = Call(tmp_path / where)
    other = Call(tmp_path / "fine.wav", disk=broken.disk)  # the same thread serves both
    for _ in range(130):
        broken.agent(1)
        other.agent(2)
    broken.recording.close()
    _, right = other.end()
    assert at(right, 2500) == 2
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1 and "stops" in errors[0].getMessage()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "call.wav"
    path.symlink_to("/dev/full")
    call = Call(path)
    for _ in range(300):
        call.agent(1)
    call.recording.close()
    call.disk.close()
    assert [r.levelname for r in caplog.records] == ["ERROR"]


class StuckDisk:
    """A disk that does not keep up: refuses every block."""

    def put(self, recording: Recording, block: bytes) -> bool:
        return False


def test_a_slow_disk_never_holds_up_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = Recording(tmp_path / "call.wav", RATE_HZ, cast(DiskWriter, StuckDisk()))
    for n in range(1, 300):
        recording.agent(frame(1), n * FRAME_MS)
    recording.close()
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == 2 and "has a hole" in told[0] and "not finished" in told[1]


def test_a_recording_is_for_us_alone_and_never_written_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What callers say is nobody else's; a token used again must not cost the call that was."""
    path = tmp_path / "2026" / "call.wav"
    for value in (1000, 2000):
        call = Call(path)
        call.agent(value)
        call.recording.close()
        call.disk.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    (_, agent), _ = read_wav(path)
    assert at(agent, 0) == 1000 and caplog.text.count("call.wav stops") == 1


def test_one_recording_that_breaks_leaves_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = DiskWriter()
    broken, whole = Call(tmp_path / "a.wav", disk=disk), Call(tmp_path / "b.wav", disk=disk)
    broken.recording.write = None  # type: ignore[assignment, method-assign]
    for call in (broken, whole):
        call.agent(1000)
        call.recording.close()
    disk.close()
    assert (tmp_path / "b.wav").exists() and "a.wav could not be written" in caplog.text


def test_the_writers_thread_ends_with_close() -> None:
    disk = DiskWriter()
    disk.close()
    assert not [t for t in threading.enumerate() if t.name == "recordings" and t.is_alive()]
