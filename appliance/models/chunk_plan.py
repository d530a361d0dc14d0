"""How a phrase's spectrogram is cut for the vocoder: a short chunk first, longer ones after it.

The vocoder is convolutions only: a sample depends on ``reach`` spectrogram frames to each side and
on nothing else. A chunk computed with that much beside it, which is then cut off, is what the whole
phrase computed at once would be: there is no seam. What is computed twice is 2 * ``reach`` frames a
chunk, so chunks grow as soon as the first one is heard.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_FRAMES = 32
"""370 ms at 256 samples a frame and 22 050 Hz: a word or two, and as quick as it is useful."""
MOST_FRAMES = 128
LEAST_LAST_FRAMES = 16
"""A rest shorter than this joins the chunk before it: it would cost more beside than inside."""


@dataclass(frozen=True, slots=True)
class Window:
    """Frames ``start`` to ``stop`` go in; of what comes out, ``keep_from`` to ``keep_to`` is heard.

    All four count spectrogram frames of the phrase.
    """

    start: int
    stop: int
    keep_from: int
    keep_to: int

    @property
    def length(self) -> int:
        """Frames that are computed."""
        return self.stop - self.start

    @property
    def heard(self) -> int:
        """Frames that are heard."""
        return self.keep_to - self.keep_from


def windows(
    frames: int, reach: int, first: int = FIRST_FRAMES, most: int = MOST_FRAMES
) -> list[Window]:
    """The chunks of a phrase of ``frames``: each frame is heard once, in order."""
    plan: list[Window] = []
    at, size = 0, first
    while at < frames:
        end = at + size
        if frames - end < LEAST_LAST_FRAMES:
            end = frames
        plan.append(Window(max(0, at - reach), min(frames, end + reach), at, end))
        at, size = end, min(most, 2 * size)
    return plan
