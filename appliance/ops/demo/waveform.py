"""A picture of a call: both channels' waveforms, with the turns and the gaps marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from appliance.errors import UserError
from appliance.ops.demo.ear import Exchange

CALLER_COLOUR, AGENT_COLOUR, GAP_COLOUR, CUT_COLOUR = "#2a6f97", "#c1666b", "#f2c14e", "#7a1f2b"
POINTS_PER_S = 200
INCHES_PER_S = 0.32
LONGEST_INCHES = 60


def draw(
    path: Path, caller: bytes, agent: bytes, rate_hz: int, turns: Sequence[Exchange], title: str
) -> None:
    """Write a PNG. Raises UserError when matplotlib is not installed."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as e:
        raise UserError("The picture needs matplotlib: pip install matplotlib.") from e
    seconds = max(len(caller), len(agent)) / 2 / rate_hz
    width = min(max(12.0, seconds * INCHES_PER_S), LONGEST_INCHES)
    figure, axes = pyplot.subplots(2, 1, figsize=(width, 4.6), sharex=True, layout="constrained")
    rows = ((axes[0], caller, CALLER_COLOUR, "caller"), (axes[1], agent, AGENT_COLOUR, "agent"))
    for axis, pcm, colour, name in rows:
        at, peaks = _envelope(pcm, rate_hz)
        axis.fill_between(at, -peaks, peaks, color=colour, linewidth=0)
        axis.set_ylim(-1, 1)
        axis.set_yticks([])
        axis.set_ylabel(name)
        axis.spines[["top", "right", "left"]].set_visible(False)
    for turn in turns:
        _mark(axes, turn)
    axes[1].set_xlabel("seconds")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _mark(axes: np.ndarray, turn: Exchange) -> None:
    if turn.gap_ms is not None and turn.answer_start_ms is not None:
        begin, end = turn.said_end_ms / 1000, turn.answer_start_ms / 1000
        for axis in axes:
            axis.axvspan(begin, end, color=GAP_COLOUR, alpha=0.45, linewidth=0)
        axes[0].text(
            (begin + end) / 2, 0.98, f"{turn.gap_ms} ms", ha="center", va="top", fontsize=8
        )
    if turn.interrupted_ms is not None:
        at = turn.interrupted_ms / 1000
        axes[1].axvline(at, color=CUT_COLOUR, linewidth=1.2)
        label = f" cut off after {turn.barge_in_ms} ms"
        axes[1].text(at, 0.98, label, color=CUT_COLOUR, va="top", fontsize=8)


def _envelope(pcm: bytes, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    step = rate_hz // POINTS_PER_S
    samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.float32)) / 32768
    peaks = samples[: len(samples) // step * step].reshape(-1, step).max(axis=1)
    return np.arange(len(peaks)) / POINTS_PER_S, np.clip(peaks * 1.5, 0, 1)
