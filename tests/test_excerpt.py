"""Pieces cut out of a recording."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import UserError
from appliance.review.excerpt import AROUND_MS, cut

RATE_HZ = 8000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """10 s; each sample of the left side says which it is, in tens."""
    left = (np.arange(10 * RATE_HZ) // 10).astype("<i2")
    stereo = np.column_stack([left, -left]).astype("<i2")
    file = tmp_path / "call.wav"
    with wave.open(str(file), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(stereo.tobytes())
    return file


def read(file: Path) -> np.ndarray:
    with wave.open(str(file), "rb") as source:
        assert (source.getnchannels(), source.getframerate()) == (2, RATE_HZ)
        return np.frombuffer(source.readframes(source.getnframes()), "<i2").reshape(-1, 2)


def test_the_place_and_a_little_around_it(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "piece.wav"
    excerpt = cut(recording, 4000, 5000, out)
    assert (excerpt.begin_ms, excerpt.end_ms) == (4000 - AROUND_MS, 5000 + AROUND_MS)
    piece = read(out)
    assert len(piece) == (1000 + 2 * AROUND_MS) * RATE_HZ // 1000
    assert piece[0, 0] == 2500 * 8 // 10 and piece[0, 1] == -2000


def test_at_the_edges_it_is_what_there_is(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "piece.wav"
    assert cut(recording, 0, 500, out).begin_ms == 0
    assert cut(recording, 9900, 12_000, out).end_ms == 10_000


def test_what_cannot_be_cut_is_told(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "piece.wav"
    with pytest.raises(UserError, match="s long"):
        cut(recording, 20_000, 21_000, out)
    with pytest.raises(UserError, match="erased"):
        cut(tmp_path / "gone.wav", 0, 1, out)
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(UserError, match="cannot be cut"):
        cut(tmp_path / "text.wav", 0, 1, out)
    assert not out.exists()
