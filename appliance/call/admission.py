"""How many calls a worker may carry now: it finds its own knee, and stays before it.

Latency is flat until something is full, and then it bends: the event loop is late with its frames,
or a stage (recogniser, language model, voice) takes longer than when it was idle. A caller who is
refused at that point rings through to the overflow; one who is taken spoils the call of everybody.
The limit follows the classical rule for a shared resource (additive increase, multiplicative
decrease: Chiu and Jain 1989): below the knee it grows, at the knee it drops a tenth below the calls
that were there. Live calls are never cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BENT_SAMPLES = 2
"""Samples in a row (one a second): a single late second is a page fault, not a knee."""
BACK_OFF = 0.9
SETTLE_S = 5.0
"""After a cut: until what it does is seen, nothing is cut or granted again."""
GROW_EVERY_S = 1.0
NEAR = 0.95
"""While a knee is remembered, the limit stays under so much of it."""
REMEMBER_S = 300.0
"""A knee this old is no longer believed: whatever was full then may not be now."""
GOOD_S = {"stt": 0.1, "llm": 0.4, "tts": 0.2}
"""A stage whose first answers come within this is no trouble, however idle it was before."""
BASELINE_RISE_PER_S = 1 / 1800
"""What a stage takes when idle is the least that was seen; half an hour doubles it, so that a
stage that has become slower (another model) is not refused for ever."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a worker saw of itself in the last seconds."""

    calls: int
    frame_late_s: float | None
    """How late 95 % of frames went out at most; None without calls."""
    stages_s: Mapping[str, float | None]
    """95 % of the first answers of each stage took at most so long; None where too few were asked."""


class Admission:
    """The limit of one worker's calls. Pure: time is told."""

    def __init__(self, most_calls: int, frame_late_ms: float, stage_late: float) -> None:
        """``most_calls``: never more. The knee: frames later than ``frame_late_ms``, or a stage
        that takes ``stage_late`` times as long as when it was idle."""
        self._most = most_calls
        self._frame_late_s = frame_late_ms / 1000
        self._stage_late = stage_late
        self._idle_s: dict[str, float] = {}
        self._bent = 0
        self._knee: int | None = None
        self._knee_at_s = 0.0
        self._next_change_s = 0.0
        self._seen_at_s: float | None = None
        self.limit = most_calls
        """Calls that may be carried now."""
        self.why = ""
        """What is at its knee, in plain words; empty while nothing is."""

    @property
    def knee(self) -> int | None:
        """Calls at which something was last full; None: not seen lately."""
        return self._knee

    def observe(self, now_s: float, sample: Sample) -> None:
        """Take one look, once a second."""
        passed_s = 0.0 if self._seen_at_s is None else now_s - self._seen_at_s
        self._seen_at_s = now_s
        if self._knee is not None and now_s - self._knee_at_s > REMEMBER_S:
            self._knee = None
        why = self._trouble(sample, passed_s)
        self._bent = self._bent + 1 if why else 0
        if now_s < self._next_change_s:
            return
        if self._bent >= BENT_SAMPLES and sample.calls:
            self.why = why
            self._knee, self._knee_at_s = sample.calls, now_s
            self.limit = max(1, int(min(self.limit, sample.calls) * BACK_OFF))
            self._next_change_s = now_s + SETTLE_S
        elif not why:
            self.why = ""
            if self.limit < (int(self._knee * NEAR) if self._knee else self._most):
                self.limit += 1
                self._next_change_s = now_s + GROW_EVERY_S

    def _trouble(self, sample: Sample, passed_s: float) -> str:
        if sample.frame_late_s is not None and sample.frame_late_s > self._frame_late_s:
            return f"frames go out {sample.frame_late_s * 1000:.0f} ms late"
        found = ""
        for stage, took_s in sample.stages_s.items():
            if took_s is None:
                continue
            idle_s = self._idle_s.get(stage, took_s) * (1 + passed_s * BASELINE_RISE_PER_S)
            self._idle_s[stage] = min(took_s, idle_s)
            if took_s > max(idle_s * self._stage_late, GOOD_S.get(stage.partition(".")[0], 0.0)):
                found = f"{stage} takes {took_s * 1000:.0f} ms, idle {idle_s * 1000:.0f}"
        return found
