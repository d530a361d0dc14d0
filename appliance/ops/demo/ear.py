"""What the caller's ear tells: gaps and barge-ins read off a stereo recording, by level alone.

Left is what the caller said, right what they heard, on one clock. Nothing of the pipeline is asked:
this is the arbiter of the figures that we publish.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.audio import ms_of, sound_spans

CALLER_BRIDGE_MS = 900
"""Pauses in a caller's sentence up to this long do not end their turn."""
AGENT_BRIDGE_MS = 350
"""Pauses between an agent's phrases, up to this long, are no silence."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of the caller and what the agent did about it; ms from the recording's start."""

    said_start_ms: int
    said_end_ms: int
    answer_start_ms: int | None
    """First sound of the agent after the caller had finished; None when there was none."""
    interrupted_ms: int | None
    """When the agent, who was speaking, fell silent; None when nobody was interrupted."""

    @property
    def gap_ms(self) -> int | None:
        """The silence between the caller's last sound and the agent's first."""
        return None if self.answer_start_ms is None else self.answer_start_ms - self.said_end_ms

    @property
    def barge_in_ms(self) -> int | None:
        """From the caller's first sound to the agent's last."""
        return None if self.interrupted_ms is None else self.interrupted_ms - self.said_start_ms


def exchanges(caller: bytes, agent: bytes, rate_hz: int) -> list[Exchange]:
    """The turns of a call from its two channels (L16 at ``rate_hz``)."""
    said = sound_spans(caller, rate_hz, bridge_ms=CALLER_BRIDGE_MS)
    spoken = sound_spans(agent, rate_hz, bridge_ms=AGENT_BRIDGE_MS)
    starts = [start for start, _ in said] + [ms_of(len(agent), rate_hz)]
    return [_exchange(span, starts[i + 1], spoken) for i, span in enumerate(said)]


def _exchange(said: tuple[int, int], next_said_ms: int, spoken: list[tuple[int, int]]) -> Exchange:
    start, end = said
    over = [span for span in spoken if span[0] < start < span[1]]
    answers = [first for first, _ in spoken if end <= first < next_said_ms]
    interrupted = over[0][1] if over and over[0][1] < end else None
    return Exchange(start, end, answers[0] if answers else None, interrupted)


def percentile(values: list[int], share: float) -> int | None:
    """The value that ``share`` (0-1) of ``values`` do not exceed, interpolated; None for none."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = int(place), min(int(place) + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low))
