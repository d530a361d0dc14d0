"""The piece of a recording in which something was said, as a WAV file of its own."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import UserError

AROUND_MS = 1500
"""Heard before and after the place: where it lies in a reply is reckoned, not measured."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What was cut out, in ms of the recording."""

    begin_ms: int
    end_ms: int


def cut(
    recording: Path, begin_ms: int, end_ms: int, out: Path, around_ms: int = AROUND_MS
) -> Excerpt:
    """Write ``[begin_ms, end_ms)`` of ``recording``, and a little around it, to ``out``: both sides,
    caller left, agent right. Raises UserError: no such file, no WAV, a place outside it."""
    try:
        with wave.open(str(recording), "rb") as source:
            rate_hz, frames = source.getframerate(), source.getnframes()
            length_ms = frames * 1000 // rate_hz
            begin, end = max(0, begin_ms - around_ms), min(length_ms, end_ms + around_ms)
            if begin >= end:
                raise UserError(
                    f"The recording is {length_ms / 1000:.1f} s long; that place is not in it."
                )
            source.setpos(begin * rate_hz // 1000)
            sound = source.readframes((end - begin) * rate_hz // 1000)
            with wave.open(str(out), "wb") as target:
                target.setnchannels(source.getnchannels())
                target.setsampwidth(source.getsampwidth())
                target.setframerate(rate_hz)
                target.writeframes(sound)
    except FileNotFoundError as e:
        raise UserError(
            f"There is no file {e.filename}: the recording may have been erased."
        ) from e
    except (OSError, wave.Error, EOFError) as e:
        raise UserError(f"{recording} cannot be cut: {e}.") from e
    return Excerpt(begin, end)
