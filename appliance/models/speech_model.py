"""What the batches ask of a voice's model. Blocking; only ever called from the one model thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from appliance.models.chunk_plan import Window
from appliance.models.shaping import Wave


@dataclass(frozen=True, slots=True)
class Letters:
    """One piece of text, as the model's own numbers, and whose voice speaks it."""

    ids: tuple[int, ...]
    speaker: str


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """One piece spoken, not yet sound; ``data`` lies wherever the model keeps it."""

    data: Any
    frames: int


class SpeechModel(Protocol):
    """A loaded acoustic model and its vocoder."""

    reach: int
    """Frames to each side that a sample depends on."""
    frame_s: float

    def letters(self, text: str, speaker: str) -> Letters:
        """The text as the model reads it; no ids where it holds nothing that can be spoken."""

    def spectrograms(self, batch: Sequence[Letters]) -> list[Spectrogram]:
        """Each as it would come out alone."""

    def waves(self, batch: Sequence[tuple[Spectrogram, Window]]) -> list[Wave]:
        """The heard part of each window, -1 to 1, as it would be in the whole phrase."""


class DeviceLost(Exception):
    """The GPU is gone, or refuses everything from now on: only a new process mends that."""
