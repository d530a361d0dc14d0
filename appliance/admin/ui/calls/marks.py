"""What is marked on a call's waveform: who spoke when, the waits and their stages, cuts and flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.events import CallRecord, Flag, Turn
from appliance.rehearsal.timeline import spans
from appliance.review.places import heard_phrases

Kind = Literal["caller", "agent", "gap", "stage", "cut", "flag"]
LEAST_FLAG_MS = 300
"""A flag whose end is not known is drawn so wide."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A span of the recording, in ms from its first sample."""

    kind: Kind
    begin_ms: int
    end_ms: int
    label: str = ""
    turn: int | None = None
    """Index of its turn, for the transcript to follow."""
    stage: str = ""
    """Of a ``stage``: one of ``rehearsal.timeline``'s."""


def marks_of(turns: Sequence[Turn], flags: Sequence[Flag] = (), offset_ms: int = 0) -> list[Mark]:
    """The marks of ``turns``, which lie on one media clock; that clock's 0 is ``offset_ms`` of the
    recording."""
    found: list[Mark] = []
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        found += _of_turn(turn, following)
    found += [
        Mark("flag", f.begin_ms, max(f.end_ms or 0, f.begin_ms + LEAST_FLAG_MS), f.rule, f.turn)
        for f in flags
        if f.begin_ms is not None
    ]
    if not offset_ms:
        return found
    return [
        Mark(m.kind, m.begin_ms + offset_ms, m.end_ms + offset_ms, m.label, m.turn, m.stage)
        for m in found
    ]


def _of_turn(turn: Turn, following: Turn | None) -> Iterator[Mark]:
    stages = turn.stages
    begin, end = stages.speech_start, stages.speech_end
    if begin is not None and end is not None and begin < end:
        yield Mark("caller", begin, end, turn=turn.index)
    if end is not None and turn.gap_ms is not None and turn.gap_ms > 0:
        yield Mark("gap", end, end + turn.gap_ms, f"{turn.gap_ms} ms", turn.index)
        at = end
        for span in spans(stages):
            yield Mark(
                "stage", at, at + span.ms, f"{span.stage} {span.ms} ms", turn.index, span.stage
            )
            at += span.ms
    if stages.first_frame is None:
        return
    places = [phrase.place for phrase in heard_phrases(turn, following)]
    over = max((p.end_ms for p in places if p.end_ms is not None), default=stages.first_frame)
    if over > stages.first_frame:
        yield Mark("agent", stages.first_frame, over, turn=turn.index)
    if turn.barged_in:
        yield Mark("cut", over, over, turn=turn.index)


def last_clock(turns: Sequence[Turn]) -> list[Turn]:
    """Those of ``turns`` (in order) that lie on the same media clock as the last one: it begins anew
    when another worker takes the call over."""
    found: list[Turn] = []
    before: int | None = None
    for turn in turns:
        at = _at(turn)
        if at is not None and before is not None and at < before:
            found = []
        before = before if at is None else at
        found.append(turn)
    return found


def offset_of(call: CallRecord, turns: Sequence[Turn]) -> int:
    """Where the 0 of the clock of ``turns`` (:func:`last_clock`) lies in the recording, in ms: 0, but
    where an edge has recorded all parts of a call in one file. Then it is reckoned, from when the
    first of them was over."""
    if call.part == 1 or not turns or call.recording.endswith(f".{call.part}.wav"):
        return 0
    over = max((mark.end_ms for mark in _of_turn(turns[0], None)), default=0)
    return max(0, round((turns[0].at - call.started_at).total_seconds() * 1000) - over)


def _at(turn: Turn) -> int | None:
    stages = turn.stages
    return stages.speech_start if stages.speech_start is not None else stages.first_frame
