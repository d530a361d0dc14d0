"""How late the agent's frames come, against an ideal clock fitted when the call begins.

A sender that keeps its pace has a lateness near 0 for ever; one that drifts, stalls or skips
does not. Arrival times are the kernel's, so the caller's own delays do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20.0
LATE_MS = 20.0
_FIT_FRAMES, _FIT_PERCENTILE = 100, 10
"""The clock is fitted to the first two seconds: to early frames, but not to the very earliest, for
the first frame of a call may leave before the sender's clock has taken the call in."""
_MISSED_RUN = 25
"""Half a second that is late as a whole is a frame that never came, not 25 late ones."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """One call's frames."""

    late_ms: NDArray[np.float64]
    """Per frame, ms behind its ideal time; negative: early."""
    missed: int
    """Frames that were never sent: the stream fell behind by 20 ms and stayed there."""

    @property
    def late_frames(self) -> int:
        """Frames more than 20 ms late."""
        return int(np.count_nonzero(self.late_ms > LATE_MS))


def lateness(arrivals_s: list[float]) -> Lateness:
    """Judge the arrival times of one call's frames, in order."""
    if len(arrivals_s) < 2:
        return Lateness(np.zeros(0), 0)
    behind = np.array(arrivals_s) * 1000 - np.arange(len(arrivals_s)) * FRAME_MS
    behind -= np.percentile(behind[:_FIT_FRAMES], _FIT_PERCENTILE)
    missed, start = 0, 0
    while (fault := _stays_behind(behind, start)) is not None:
        at, frames = fault
        behind[at:] -= frames * FRAME_MS
        missed, start = missed + frames, at
    return Lateness(behind, missed)


def _stays_behind(behind: NDArray[np.float64], start: int) -> tuple[int, int] | None:
    """Where, from ``start`` on, a run of frames begins that is late as a whole, and by how many."""
    if len(behind) - start < _MISSED_RUN:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(behind[start:], _MISSED_RUN)
    # A whole frame less 4 ms: the stream may have been fitted a little late.
    lost = np.floor((windows.min(axis=1) + 4) / FRAME_MS)
    at = np.flatnonzero(lost >= 1)
    return (start + int(at[0]), int(lost[at[0]])) if len(at) else None
