"""How many calls a worker may carry now: it finds its own knee, and stays before it.

Latency is flat until something is full, and then it bends: the event loop is late with its frames,
or a stage (recogniser, language model, voice) takes longer than when it was idle. A caller who is
refused at that point rings through to the overflow; one who is taken spoils the call of everybody.
The limit follows the classical rule for a shared resource (additive increase, multiplicative
decrease: Chiu and Jain 1989): below the knee it grows, at the knee it drops a tenth below the calls
that were there. Live calls are never cut.

Not all that is late is load. One slow server among several, or a model that was exchanged, is no
quicker with half the calls: then refusing callers mends nothing, and what the stage takes now is what
it takes. And one bad minute is no knee for long: only one that is found again and again is.
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
REMEMBER_S = 60.0
"""A knee this old is no longer believed: whatever was full then may not be now. One that is found again
soon after is believed twice as long."""
LONGEST_MEMORY_S = 300.0
FEW_CALLS = 4
"""So many calls fill no machine: the limit is not held below them by memory alone."""
LESS_CALLS = 0.5
NO_BETTER = 0.8
"""With half the calls, or one, a stage that still takes so much of that is not full but slow."""
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


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is late, and how late."""

    stage: str
    """Empty: the frames."""
    took_s: float
    calls: int
    why: str


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
        self._knee_at_s = -LONGEST_MEMORY_S
        self._memory_s = REMEMBER_S
        self._first: _Trouble | None = None
        """How it was at the first cut, while it is late."""
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
        if self._knee is not None and now_s - self._knee_at_s > self._memory_s:
            self._knee = None
        trouble = self._trouble(sample, passed_s)
        self._bent = self._bent + 1 if trouble else 0
        if now_s < self._next_change_s:
            return
        if trouble is not None and self._bent >= BENT_SAMPLES and sample.calls:
            self._cut(now_s, trouble)
        elif trouble is None:
            self._grow(now_s)

    def _cut(self, now_s: float, trouble: _Trouble) -> None:
        first = self._first
        if first is None or first.stage != trouble.stage:
            first = self._first = trouble
        if trouble.stage and trouble.calls <= max(1, first.calls * LESS_CALLS):
            if trouble.took_s >= first.took_s * NO_BETTER:
                self._idle_s[trouble.stage] = trouble.took_s
                self._first, self._knee, self.why = None, None, ""
                return
        if not self.why:  # it begins
            soon = now_s - self._knee_at_s <= 2 * self._memory_s
            self._memory_s = min(2 * self._memory_s, LONGEST_MEMORY_S) if soon else REMEMBER_S
        self.why = trouble.why
        self._knee, self._knee_at_s = trouble.calls, now_s
        self.limit = max(1, int(min(self.limit, trouble.calls) * BACK_OFF))
        self._next_change_s = now_s + SETTLE_S

    def _grow(self, now_s: float) -> None:
        self.why, self._first = "", None
        near = self._most
        if self._knee:
            near = min(self._most, max(FEW_CALLS, int(self._knee * NEAR)))
        if self.limit < near:
            self.limit += 1
            self._next_change_s = now_s + GROW_EVERY_S

    def _trouble(self, sample: Sample, passed_s: float) -> _Trouble | None:
        late_s = sample.frame_late_s
        if late_s is not None and late_s > self._frame_late_s:
            why = f"frames go out {late_s * 1000:.0f} ms late"
            return _Trouble("", late_s, sample.calls, why)
        found = None
        for stage, took_s in sample.stages_s.items():
            if took_s is None:
                continue
            idle_s = self._idle_s.get(stage, took_s) * (1 + passed_s * BASELINE_RISE_PER_S)
            self._idle_s[stage] = min(took_s, idle_s)
            if took_s > max(idle_s * self._stage_late, GOOD_S.get(stage.partition(".")[0], 0.0)):
                why = f"{stage} takes {took_s * 1000:.0f} ms, idle {idle_s * 1000:.0f}"
                found = _Trouble(stage, took_s, sample.calls, why)
        return found
