"""Calls as OpenTelemetry has them: one trace a call, one span a turn, one for each of its stages.

Made from the marks of the turn when it is over, by a thread of its own; the call only puts the finished
row in a queue. A collector that is away costs traces, never memory and never a call. Words and numbers
stay here unless ``tracing.words`` says otherwise.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import __version__
from appliance.errors import UserError
from appliance.events import CallRecord, Stages, Turn
from appliance.metrics.exposition import Sink
from appliance.seldom import Seldom
from appliance.settings import Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

QUEUE_ROWS = 2000
"""Turns and calls that wait for the thread; when full, further ones are not traced."""
EVERY_S = 1.0
MOST_ROWS = 64
"""Of one request to the collector."""
EXPORT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 6.0
MOST_LIVE = 5000
"""Calls whose begin is remembered."""
SERVICE = "ivr"
SAMPLED = 1
MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Row:
    """What the thread makes spans of."""

    began_ns: int
    """Nought of the call's media clock, Unix time."""
    row: Turn | CallRecord
    ended_ns: int
    part: int
    """Of the call, from 1: who takes over a call begins another."""


class Tracer:
    """Takes rows on the event loop, sends spans from a thread."""

    def __init__(self, exporter: SpanExporter, settings: Tracing) -> None:
        self._exporter = exporter
        self._settings = settings
        self._rows: queue.SimpleQueue[_Row | None] = queue.SimpleQueue()
        self._live: dict[str, tuple[int, int]] = {}
        """(begin, Unix ns; part) of each call that is traced."""
        self._seldom = Seldom(time.monotonic)
        self._spans = _Spans(settings.words)
        self.counts: Counter[str] = Counter()
        """Spans: sent, failed (the collector did not take them), dropped (rows; the queue was full)."""
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def call(self, record: CallRecord) -> None:
        """A call began, changed or ended."""
        if not self._is_sampled(record.call_id):
            return
        now_ns = time.time_ns()
        if record.ended_at is None:
            if len(self._live) < MOST_LIVE:
                self._live.setdefault(record.call_id, (now_ns, record.part))
            return
        began_ns, part = self._live.pop(record.call_id, (now_ns, record.part))
        self._put(_Row(began_ns, record, now_ns, part))

    def turn(self, turn: Turn) -> None:
        """A turn is over."""
        if (begun := self._live.get(turn.call_id)) is not None:
            self._put(_Row(begun[0], turn, time.time_ns(), begun[1]))

    def put(self, sink: Sink) -> None:
        """Tell what became of the spans."""
        for outcome in ("sent", "failed", "dropped"):
            sink.put("ivr_trace_spans_total", self.counts[outcome], outcome=outcome)

    def close(self) -> None:
        """Send what is left, some seconds at most. Blocks."""
        self._rows.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _is_sampled(self, call_id: str) -> bool:
        share = _number(call_id, "sample", 4) / 0xFFFFFFFF
        return share <= self._settings.sample

    def _put(self, row: _Row) -> None:
        if self._rows.qsize() >= QUEUE_ROWS:
            self.counts["dropped"] += 1
            return
        self._rows.put(row)

    def _run(self) -> None:
        """The thread: what has come within a second goes together."""
        going = True
        while going:
            rows, going = self._gather()
            if rows:
                self._send(rows)
        self._exporter.shutdown()

    def _gather(self) -> tuple[list[_Row], bool]:
        rows: list[_Row] = []
        until_s: float | None = None
        while len(rows) < MOST_ROWS:
            wait_s = None if until_s is None else until_s - time.monotonic()
            try:
                row = self._rows.get(timeout=wait_s if wait_s is None else max(0.0, wait_s))
            except queue.Empty:
                break
            if row is None:
                return rows, False
            until_s = until_s or time.monotonic() + EVERY_S
            rows.append(row)
        return rows, True

    def _send(self, rows: Sequence[_Row]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans: list[ReadableSpan] = []
        try:
            for row in rows:
                spans += self._spans.of(row)
            sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # the border of a job: one row that cannot be told ends no thread
            log.exception("! traces were not sent")
            sent = False
        self.counts["sent" if sent else "failed"] += len(spans)
        if not sent:
            self._seldom.warn(log, "away", "! the collector of traces did not take %d", len(spans))


class _Spans:
    """Makes spans of rows."""

    def __init__(self, words: bool) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._words = words
        self._resource = Resource({"service.name": SERVICE, "service.version": __version__})
        self._scope = InstrumentationScope("appliance.call", __version__)

    def of(self, row: _Row) -> list[ReadableSpan]:
        """A turn's own span and its stages'; or the call's."""
        if isinstance(row.row, CallRecord):
            return [self._call(row.row, row)]
        return self._turn(row.row, row)

    def _call(self, record: CallRecord, row: _Row) -> ReadableSpan:
        facts: dict[str, Any] = {
            "ivr.call_id": record.call_id, "ivr.agent": record.agent_id,
            "ivr.agent_version": record.agent_version, "ivr.language": record.language,
            "ivr.direction": record.direction, "ivr.part": record.part, "ivr.turns": record.turns,
            "ivr.cause": record.cause, "ivr.ended_by": record.ended_by,
        }  # fmt: skip
        if self._words:
            facts |= {"ivr.caller": record.caller, "ivr.did": record.did}
        ids = (_number(record.call_id, "trace", 16), _root(record.call_id, record.part))
        return self._span("call", ids, None, (row.began_ns, row.ended_ns), facts)

    def _turn(self, turn: Turn, row: _Row) -> list[ReadableSpan]:
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
        trace = _number(turn.call_id, "trace", 16)
        own = _number(turn.call_id, f"turn {turn.index}", 8)
        marks = [ms for ms in _marks(turn.stages) if ms is not None]
        begin = row.began_ns + min(marks, default=0) * MS_NS if marks else row.ended_ns
        times = (begin, max(begin, row.ended_ns))
        parent = _root(turn.call_id, row.part)
        found = [self._span("turn", (trace, own), parent, times, facts)]
        for stage, (from_ms, to_ms) in spans_ms(turn.stages).items():
            ids = (trace, _number(turn.call_id, f"{stage} {turn.index}", 8))
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


def tracer_of(settings: Tracing) -> Tracer | None:
    """The tracer that the settings want, or None. Raises UserError: its packages are not installed."""
    if not settings.endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as e:
        raise UserError(
            "tracing.endpoint needs OpenTelemetry; install it with: pip install"
            " 'ivr-appliance[otel]', or leave the setting empty."
        ) from e
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # we say it once a while
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=EXPORT_TIMEOUT_S)
    return Tracer(exporter, settings)


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
    return _number(call_id, f"part {part}", 8)


def _number(call_id: str, what: str, length: int) -> int:
    """An id that every process makes alike, and that is never nought."""
    digest = hashlib.sha256(f"{what} {call_id}".encode()).digest()
    return int.from_bytes(digest[:length], "big") or 1
