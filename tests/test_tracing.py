"""Traces of calls: what a collector that is away costs, and what goes along when a setting says so."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from appliance.call import tracing
from appliance.call.measured import MeasuredJournal
from appliance.call.tracing import tracer_of
from appliance.errors import UserError
from appliance.events import CallRecord, Flag, Redaction, Stages, Turn
from appliance.metrics.calls import CallCounts
from appliance.metrics.exposition import Sink
from appliance.ops.keeping.ports import free_port
from appliance.settings import Tracing
from tests.metrics_kit import Collector, collector, facts, parsed

pytestmark = pytest.mark.server

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CALL = CallRecord("c1", "1001", "+919812345678", "help", 1, "en", NOW)
ENDED = dataclasses.replace(CALL, ended_at=NOW + timedelta(seconds=60), ended_by="caller")
STAGES = Stages(speech_start=1000, speech_end=2000, turn_given=2240, first_frame=2500)
TURN = Turn("c1", 1, NOW, "my name is Asha", "hello", "hello", "llm", STAGES, 500)


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _traced(found: Collector, **settings: object) -> None:
    """One call, traced to the end."""
    tracer = tracer_of(Tracing.model_validate({"endpoint": found.url, **settings}))
    assert tracer is not None
    tracer.call(CALL)
    tracer.turn(TURN)
    tracer.call(ENDED)
    tracer.close()


def test_words_and_numbers_go_along_only_when_a_setting_says_so() -> None:
    with collector() as found:
        _traced(found)
        text = str([facts(span) for span in found.spans])
        assert "Asha" not in text and "98123" not in text and "1001" not in text
        assert len(found.spans) == 4  # call, turn, speech, endpointing
        found.spans.clear()
        _traced(found, words=True)
        text = str([facts(span) for span in found.spans])
        assert "Asha" in text and "+919812345678" in text


def test_a_later_part_of_a_call_is_in_its_trace_under_a_span_of_its_own() -> None:
    with collector() as found:
        tracer = tracer_of(Tracing(endpoint=found.url))
        assert tracer is not None
        for part in (1, 2):
            tracer.call(dataclasses.replace(CALL, part=part))
            tracer.turn(dataclasses.replace(TURN, index=part))
            tracer.call(dataclasses.replace(ENDED, part=part))
        tracer.close()
        assert len({span.trace_id for span in found.spans}) == 1
        parents = {facts(span)["ivr.turn"]: span.parent_span_id for span in found.named("turn")}
        spans = {facts(span)["ivr.part"]: span.span_id for span in found.named("call")}
        assert parents == spans and len(set(spans.values())) == 2


def test_a_sample_is_of_whole_calls() -> None:
    with collector() as found:
        tracer = tracer_of(Tracing(endpoint=found.url, sample=0.3))
        assert tracer is not None
        for number in range(300):
            call_id = f"c{number}"
            tracer.call(dataclasses.replace(CALL, call_id=call_id))
            tracer.turn(dataclasses.replace(TURN, call_id=call_id))
            tracer.call(dataclasses.replace(ENDED, call_id=call_id))
        tracer.close()
        calls = {facts(span)["ivr.call_id"] for span in found.named("call")}
        assert 50 < len(calls) < 130
        assert {facts(span)["ivr.call_id"] for span in found.named("turn")} == calls


def test_a_collector_that_is_away_costs_traces_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "QUEUE_ROWS", 100)
    monkeypatch.setattr(tracing, "EXPORT_TIMEOUT_S", 0.5)
    tracer = tracer_of(Tracing(endpoint=f"http://127.0.0.1:{free_port()}/v1/traces"))
    assert tracer is not None
    tracer.call(CALL)
    slowest_s = 0.0
    for _ in range(500):
        began_s = time.thread_time()
        tracer.turn(TURN)
        slowest_s = max(slowest_s, time.thread_time() - began_s)
    assert slowest_s < 0.01  # a call waits for none of it
    assert tracer.counts["dropped"] > 200
    _until(lambda: tracer.counts["failed"] > 0)
    tracer.close()
    told = [r for r in caplog.records if "the collector of traces" in r.message]
    assert len(told) == 1
    sink = Sink()
    tracer.put(sink)
    found = parsed(sink.text())
    assert found.value("ivr_trace_spans_total", outcome="sent") == 0
    assert found.value("ivr_trace_spans_total", outcome="dropped") == tracer.counts["dropped"]


def test_without_an_endpoint_there_is_none() -> None:
    assert tracer_of(Tracing()) is None


def test_without_its_packages_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    with pytest.raises(UserError, match=r"ivr-appliance\[otel\]"):
        tracer_of(Tracing(endpoint="http://127.0.0.1:4318/v1/traces"))


class _Rows:
    """A journal that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[object] = []

    def call(self, record: CallRecord) -> None:
        self.rows.append(record)

    def turn(self, turn: Turn) -> None:
        self.rows.append(turn)

    def flag(self, flag: Flag) -> None:
        self.rows.append(flag)

    def redaction(self, span: Redaction) -> None:
        self.rows.append(span)


def test_who_observes_may_break_and_the_row_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(CallCounts):
        def turn(self, turn: Turn) -> None:
            raise ZeroDivisionError

    seen: list[Turn] = []

    class Observer:
        def call(self, record: CallRecord) -> None:
            """Nothing of interest."""

        def turn(self, turn: Turn) -> None:
            seen.append(turn)

    rows = _Rows()
    journal = MeasuredJournal(rows, Broken(), Observer())
    for row in (TURN, TURN):
        journal.turn(row)
    assert rows.rows == [TURN, TURN] == seen
    assert len([r for r in caplog.records if "not counted" in r.message]) == 1
