"""Sends traces of calls to a collector of OpenTelemetry.

Their spans (``spans``) are made when a turn is over, by a thread of its own; the call only puts the
finished row in a queue. A collector that is away costs traces, never memory and never a call. Words
and numbers stay here unless ``tracing.words`` says otherwise.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from appliance.call.spans import Row, Spans, number_of
from appliance.errors import UserError
from appliance.events import CallRecord, Turn
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


class Tracer:
    """Takes rows on the event loop, sends spans from a thread."""

    def __init__(self, exporter: SpanExporter, settings: Tracing) -> None:
        self._exporter = exporter
        self._settings = settings
        self._rows: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._live: dict[str, tuple[int, int]] = {}
        """(begin, Unix ns; part) of each call that is traced."""
        self._seldom = Seldom(time.monotonic)
        self._spans = Spans(settings.words)
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
        self._put(Row(began_ns, record, now_ns, part))

    def turn(self, turn: Turn) -> None:
        """A turn is over."""
        if (begun := self._live.get(turn.call_id)) is not None:
            self._put(Row(begun[0], turn, time.time_ns(), begun[1]))

    def put(self, sink: Sink) -> None:
        """Tell what became of the spans."""
        for outcome in ("sent", "failed", "dropped"):
            sink.put("ivr_trace_spans_total", self.counts[outcome], outcome=outcome)

    def close(self) -> None:
        """Send what is left, some seconds at most. Blocks."""
        self._rows.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _is_sampled(self, call_id: str) -> bool:
        share = number_of(call_id, "sample", 4) / 0xFFFFFFFF
        return share <= self._settings.sample

    def _put(self, row: Row) -> None:
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

    def _gather(self) -> tuple[list[Row], bool]:
        rows: list[Row] = []
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

    def _send(self, rows: Sequence[Row]) -> None:
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
