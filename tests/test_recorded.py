"""Which calls we record, and under what name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.call.recorded import CallRecording
from appliance.events import Agent, Offer
from appliance.media.recording import DiskWriter

AT = datetime(2026, 1, 23, 6, 30, tzinfo=UTC)


def offer(part: int = 1, recording: str = "") -> Offer:
    place = ("127.0.0.1", 40000)
    return Offer("c-1", "1001", "", 8000, place, part=part, recording=recording)


@pytest.mark.parametrize(("part", "name"), [(1, "c-1.wav"), (2, "c-1.2.wav")])
async def test_a_later_part_is_never_written_over_an_earlier(
    part: int, name: str, tmp_path: Path
) -> None:
    disk = DiskWriter()
    recording = CallRecording(offer(part), Agent("a", 1, "A"), AT, disk, tmp_path)
    recording.close()
    disk.close()
    assert recording.name == f"2026/01/23/{name}" and (tmp_path / recording.name).exists()


def test_what_is_not_ours_to_record(tmp_path: Path) -> None:
    disk = DiskWriter()
    for of, agent, writer, name in (
        (offer(recording="x.wav"), Agent("a", 1, "A"), disk, "x.wav"),
        (offer(), Agent("a", 1, "A", record=False), disk, ""),
        (offer(), Agent("a", 1, "A"), None, ""),
    ):
        recording = CallRecording(of, agent, AT, writer, tmp_path)
        recording.caller(bytes(320), 20)
        recording.close()
        assert recording.name == name
    disk.close()
    assert not list(tmp_path.rglob("*.wav"))
