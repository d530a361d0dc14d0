"""Warm-ups that were measured are kept, across processes and broken files."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from appliance.capacity.warmups import FILE_NAME, KEPT, WarmUps


def test_the_slowest_of_the_last_starts_counts(tmp_path: Path) -> None:
    kept = WarmUps(tmp_path / "not" / "yet")
    assert kept.seconds("stt", otherwise=30) == 30 and kept.measured() == {}
    for seconds in (9.0, *[2.0] * (KEPT - 1)):
        kept.add("stt", seconds)
    assert kept.seconds("stt", otherwise=30) == 9.0
    kept.add("stt", 3.126)
    again = WarmUps(tmp_path / "not" / "yet")
    assert again.measured() == {"stt": 3.13}
    assert [f.name for f in (tmp_path / "not" / "yet").iterdir()] == [FILE_NAME]


def test_two_processes_do_not_forget_each_others(tmp_path: Path) -> None:
    first, second = WarmUps(tmp_path), WarmUps(tmp_path)
    first.add("stt", 4)
    second.add("tts", 5)
    assert WarmUps(tmp_path).measured() == {"stt": 4, "tts": 5}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"stt": 3}', '{"stt": ["slow"]}', "\xff", '{"stt": [null]}']
)
def test_a_broken_file_is_measured_anew(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    kept = WarmUps(tmp_path)
    assert kept.measured() == {} and "measured anew" in caplog.text
    kept.add("stt", 2)
    assert orjson.loads((tmp_path / FILE_NAME).read_bytes()) == {"stt": [2]}


def test_times_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"stt": [-1, 2.0, 1e9]}')
    assert WarmUps(tmp_path).measured() == {"stt": 2.0}


def test_a_folder_that_cannot_be_written_costs_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    kept = WarmUps(tmp_path / "file")
    kept.add("stt", 2)
    assert kept.seconds("stt", 0) == 2 and "cannot be written" in caplog.text
