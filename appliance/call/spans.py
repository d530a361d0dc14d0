"""Spans of OpenTelemetry, made of a call's row and of its turns' marks.

One trace a call, one span a turn, one for each of its stages. Their ids are made of the call's id: who
goes on with a call makes spans of the same trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import __version__
from appliance.events import CallRecord, Stages, Turn

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

SERVICE = "ivr"
SAMPLED = 1
MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """What the thread makes spans of."""

    began_ns: int
    """Nought of the call's media clock, Unix time."""
    row: Turn | CallRecord
    ended_ns: int
    part: int
    """Of the call, from 1: who takes over a call begins another."""


class Spans:
    """Makes spans of rows."""

    def __init__(self, words: bool) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._words = words
        self._resource = Resource({"service.name": SERVICE, "service.version": __version__})
        self._scope = InstrumentationScope("appliance.call", __version__)

    def of(self, row: Row) -> list[ReadableSpan]:
        """A turn's own span and its stages'; or the call's."""
        if isinstance(row.row, CallRecord):
            return [self._call(row.row, row)]
        return self._turn(row.row, row)

    def _call(self, record: CallRecord, row: Row) -> ReadableSpan:
        facts: dict[str, Any] = {
            "ivr.call_id": record.call_id, "ivr.agent": record.agent_id,
            "ivr.agent_version": record.agent_version, "ivr.language": record.language,
            "ivr.direction": record.direction, "ivr.part": record.part, "ivr.turns": record.turns,
            "ivr.cause": record.cause, "ivr.ended_by": record.ended_by,
        }  # fmt: skip
        if self._words:
            facts |= {"ivr.caller": record.caller, "ivr.did": record.did}
        ids = (number_of(record.call_id, "trace", 16), _root(record.call_id, record.part))
        return self._span("call", ids, None, (row.began_ns, row.ended_ns), facts)

    def _turn(self, turn: Turn, row: Row) -> list[ReadableSpan]:
        facts: dict[str, Any] = {
            "ivr.call_id": turn.call_id, "ivr.turn": turn.index, "ivr.source": turn.source,
            "ivr.barged_in": turn.barged_in, "ivr.kept_speculation": turn.kept_speculation,
            "ivr.speculations_dropped": turn.stages.speculations_dropped,
        }  # fmt: skip
        if turn.gap_ms is not None:
            facts["ivr.gap_ms"] = turn.gap_ms
        if turn.failure:
            facts["ivr.failure"] = turn.failure
        if self._words:
            facts |= {"ivr.said": turn.said, "ivr.heard": turn.heard}
        trace = number_of(turn.call_id, "trace", 16)
        own = number_of(turn.call_id, f"turn {turn.index}", 8)
        marks = [ms for ms in _marks(turn.stages) if ms is not None]
        begin = row.began_ns + min(marks) * MS_NS if marks else row.ended_ns
        times = (begin, max(begin, row.ended_ns))
        parent = _root(turn.call_id, row.part)
        found = [self._span("turn", (trace, own), parent, times, facts)]
        for stage, (from_ms, to_ms) in spans_ms(turn.stages).items():
            ids = (trace, number_of(turn.call_id, f"{stage} {turn.index}", 8))
            at = (row.began_ns + from_ms * MS_NS, row.began_ns + to_ms * MS_NS)
            found.append(self._span(stage, ids, own, at, {}))
        return found

    def _span(
        self, name: str, ids: tuple[int, int], parent: int | None, times: tuple[int, int],
        facts: Mapping[str, Any],
    ) -> ReadableSpan:  # fmt: skip
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, TraceFlags

        flags = TraceFlags(SAMPLED)
        return ReadableSpan(
            name=name,
            context=SpanContext(ids[0], ids[1], False, flags),
            parent=SpanContext(ids[0], parent, False, flags) if parent else None,
            resource=self._resource,
            attributes=facts,
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=self._scope,
        )


def spans_ms(stages: Stages) -> dict[str, tuple[int, int]]:
    """Begin and end of each stage of a turn on the call's media clock, ms; those that were not there
    are left out."""
    s = stages
    found = {
        "speech": (s.speech_start, s.speech_end),
        "endpointing": (s.speech_end, s.turn_given),
        "stt_final": (s.speech_end, s.final),
        "retrieval": (s.speculation, s.retrieval),
        "llm": (s.retrieval if s.retrieval is not None else s.speculation, s.last_token),
        "llm_first_token": (
            s.retrieval if s.retrieval is not None else s.speculation, s.first_token,
        ),
        "tts": (s.first_phrase, s.last_audio),
        "tts_first_audio": (s.first_phrase, s.first_audio),
    }  # fmt: skip
    return {
        name: (begin, max(begin, end))
        for name, (begin, end) in found.items()
        if begin is not None and end is not None
    }


def _marks(stages: Stages) -> tuple[int | None, ...]:
    return (stages.speech_start, stages.speech_end, stages.speculation, stages.first_frame)


def _root(call_id: str, part: int) -> int:
    """The id of the span of a call, or of a later part of it."""
    return number_of(call_id, f"part {part}", 8)


def number_of(call_id: str, what: str, length: int) -> int:
    """An id that every process makes alike, and that is never nought."""
    digest = hashlib.sha256(f"{what} {call_id}".encode()).digest()
    return int.from_bytes(digest[:length], "big") or 1
