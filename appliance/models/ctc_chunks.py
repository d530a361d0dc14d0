"""Which part of a growing utterance a CTC model hears next: new frames, with sound around them.

A model trained on whole utterances hears a piece well only with some of what came before and after
it. So a piece overlaps the one before by its left context, and its last frames, whose right context
has not come yet, are heard again with the next piece.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """How frames lie over samples: the strides and kernels of the model's convolutions."""

    stride: int
    """Samples from frame to frame: 320, 20 ms at 16 kHz."""
    receptive: int
    """Samples that one frame hears: 400."""

    def frames(self, samples: int) -> int:
        """Frames of so many samples."""
        return max(0, (samples - self.receptive) // self.stride + 1)


def grid(kernels: tuple[int, ...], strides: tuple[int, ...]) -> Grid:
    """Of a stack of unpadded convolutions, the first one first."""
    stride, receptive = 1, 1
    for kernel, step in zip(kernels, strides, strict=True):
        receptive += (kernel - 1) * stride
        stride *= step
    return Grid(stride, receptive)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an utterance to be heard."""

    start: int
    """First sample."""
    end: int
    """After the last sample."""
    first: int
    """First frame (of the utterance) that is wanted; those before are left context."""
    skip: int
    """Frames of left context: the part's own first ``skip`` frames."""
    frames: int
    """Frames that are wanted."""


def next_chunk(done: int, samples: int, left: int, grid: Grid) -> Chunk:
    """The frames from ``done`` to the end of ``samples``, with ``left`` frames before them."""
    skip = min(done, left)
    wanted = max(0, grid.frames(samples) - done)
    start = (done - skip) * grid.stride
    last = done + wanted - 1
    end = last * grid.stride + grid.receptive if wanted else start
    return Chunk(start, end, done, skip, wanted)
