"""The parts of what processes tell: histograms, the text, who may read it, the port, the catalogue."""

from __future__ import annotations

import dataclasses
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from appliance.events import CallRecord, Stages, Turn
from appliance.metrics import access
from appliance.metrics.buckets import WAITS_S, Buckets
from appliance.metrics.calls import CallCounts, durations_ms, outcome_of
from appliance.metrics.catalogue import CATALOGUE, Kind, series_of
from appliance.metrics.exposition import Exporter, Sink
from appliance.metrics.port import MetricsPort
from appliance.metrics.process import exporter_of
from appliance.metrics.reading import read
from tests.metrics_kit import parsed, scrape, status_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CALL = CallRecord("c1", "1001", "+911", "help", 1, "en-IN", NOW)
STAGES = Stages(
    speech_start=1000, speech_end=2000, speculation=2040, final=2100, turn_given=2240,
    retrieval=2060, first_token=2300, first_phrase=2350, first_audio=2400, first_frame=2420,
    last_token=2800, held=15,
)  # fmt: skip
TURN = Turn("c1", 1, NOW, "what", "that", "that", "llm", STAGES, 430)


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), max_size=50))
def test_a_histogram_counts_each_value_once_under_every_edge_above_it(values: list[float]) -> None:
    buckets = Buckets()
    for value in values:
        buckets.observe(value)
    sink = Sink()
    sink.histogram("ivr_gap_seconds", buckets, language="en", direction="in")
    found = parsed(sink.text())
    of = {"language": "en", "direction": "in"}
    assert found.value("ivr_gap_seconds_count", **of) == len(values) == buckets.count
    assert found.value("ivr_gap_seconds_sum", **of) == pytest.approx(sum(values))
    for edge in WAITS_S:
        under = sum(value <= edge for value in values)
        assert found.value("ivr_gap_seconds_bucket", **of, le=str(edge)) == under


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_label_is_read_back_as_it_was(text: str) -> None:
    sink = Sink()
    sink.put("ivr_trunk_up", 1, trunk=text)
    written = sink.text()
    kept = text.splitlines() == [text] or not text  # the parser splits at more than \n
    if kept:
        (family,) = text_string_to_metric_families(written)
        assert family.samples[0].labels == {"trunk": text}
    assert written.count("\n") >= 3


def test_what_is_not_in_the_catalogue_cannot_be_told() -> None:
    sink = Sink()
    with pytest.raises(KeyError):
        sink.put("ivr_made_up", 1)
    with pytest.raises(KeyError):
        sink.put("ivr_trunk_up", 1, trunk="a", number="+911")


def test_a_mistake_in_labels_has_a_bound() -> None:
    sink = Sink()
    for number in range(5000):
        sink.put("ivr_trunk_up", 1, trunk=number)
    assert len(parsed(sink.text()).values) == 2000


def test_names_and_help_are_as_prometheus_wants_them() -> None:
    for metric in CATALOGUE.values():
        assert metric.name.startswith("ivr_") and "\n" not in metric.help and metric.help
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name
        assert len(series_of(metric)) == (3 if metric.kind is Kind.HISTOGRAM else 1)


def test_every_process_tells_of_itself_and_its_log() -> None:
    found = parsed(exporter_of("worker").render().decode())
    assert found.total("ivr_build_info", process="worker") == 1
    assert found.value("ivr_log_lines_lost_total") == 0
    assert found.value("ivr_queue_limit", queue="log") > 0
    assert found.value("process_open_fds") > 3


# --- calls ----------------------------------------------------------------------------------------


def test_a_call_is_begun_once_however_often_it_is_written() -> None:
    counts = CallCounts()
    for _ in range(3):
        counts.call(CALL)
    counts.turn(TURN)
    ended = dataclasses.replace(CALL, ended_at=NOW + timedelta(seconds=40), ended_by="caller")
    counts.call(ended)
    sink = Sink()
    counts.put(sink)
    found = parsed(sink.text())
    assert found.value("ivr_calls_begun_total", direction="in") == 1
    assert found.value("ivr_calls_ended_total", direction="in", outcome="caller") == 1
    assert found.value("ivr_call_seconds_sum", direction="in") == 40
    assert found.value("ivr_gap_seconds_sum", language="en", direction="in") == 0.43
    assert found.value("ivr_stage_seconds_sum", stage="guard_hold") == 0.015


def test_the_stages_of_a_turn_add_up() -> None:
    assert durations_ms(STAGES) == {
        "endpointing": 240, "stt_final": 100, "retrieval": 20, "llm_first_token": 240,
        "first_phrase": 50, "tts_first_audio": 50, "playout": 20, "written": 500, "guard_hold": 15,
    }  # fmt: skip
    assert durations_ms(Stages()) == {}


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"ended_by": "caller"}, "caller"),
        ({"ended_by": "system", "cause": "NETWORK_OUT_OF_ORDER"}, "lost"),
        ({"ended_by": "system", "cause": "INTERWORKING"}, "broken"),
        ({"ended_by": "agent", "transferred_to": "queue:x"}, "transferred"),
        ({}, "system"),
    ],
)
def test_how_a_call_ended(fields: dict[str, str], outcome: str) -> None:
    assert outcome_of(dataclasses.replace(CALL, **fields)) == outcome  # type: ignore[arg-type]


def test_languages_without_end_are_one() -> None:
    counts = CallCounts()
    for number in range(100):
        call_id = f"c{number}"
        counts.call(dataclasses.replace(CALL, call_id=call_id, language=f"l{number}"))
        counts.turn(dataclasses.replace(TURN, call_id=call_id))
    assert len({language for language, _ in counts.gaps}) == 25
    assert counts.gaps["other", "in"].count == 76


def test_a_turn_costs_the_call_next_to_nothing() -> None:
    counts = CallCounts()
    counts.call(CALL)
    best_s = min(_timed(lambda: counts.turn(TURN)) for _ in range(20))
    assert best_s < 0.001  # some 10 µs where nothing else runs


def _timed(work: object) -> float:
    began_s = time.perf_counter()
    for _ in range(20):
        work()  # type: ignore[operator]
    return (time.perf_counter() - began_s) / 20


# --- who may read it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "given", "may"),
    [
        ("127.0.0.1", "", True),
        ("::1", "", True),
        ("localhost", "", True),
        ("0.0.0.0", "", False),
        ("192.168.1.10", "", False),
        ("192.168.1.10", "Bearer wrong", False),
        ("192.168.1.10", "Basic secret", False),
        ("192.168.1.10", "Bearer secret", True),
        ("", "", False),
    ],
)
def test_only_loopback_is_open(host: str, given: str, may: bool) -> None:
    assert access.may_read(host, given, lambda: "secret") is may
    assert access.may_read(host, given, None) is access.is_local(host)


@pytest.fixture
def exporter() -> Exporter:
    return exporter_of("jobs")


@pytest.fixture
def port(exporter: Exporter) -> Iterator[str]:
    served = MetricsPort(exporter, "127.0.0.1", lambda: "secret")
    number = served.open(_free())
    yield f"http://127.0.0.1:{number}"
    served.close()


def _free() -> int:
    from appliance.ops.keeping.ports import free_port

    return free_port()


@pytest.mark.server
def test_a_process_without_a_port_of_its_own_serves_one(port: str) -> None:
    assert scrape(port).total("ivr_build_info", process="jobs") == 1
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(port + "/else", timeout=5)
    with caught.value as e:
        assert e.code == 404


@pytest.mark.server
def test_on_every_address_it_asks_for_the_secret(exporter: Exporter) -> None:
    served = MetricsPort(exporter, "0.0.0.0", lambda: "secret")
    url = f"http://127.0.0.1:{served.open(_free())}"
    assert status_of(url) == 401
    assert status_of(url, "wrong") == 401
    assert status_of(url, "secret") == 200
    served.close()


@pytest.mark.server
def test_a_taken_port_costs_the_metrics_alone(
    exporter: Exporter, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    taken = int(port.rpartition(":")[2])
    assert MetricsPort(exporter, "127.0.0.1", lambda: "secret").open(taken) == 0
    assert "no metrics" in caplog.text
    assert MetricsPort(exporter, "127.0.0.1", lambda: "secret").open(0) == 0


# --- reading --------------------------------------------------------------------------------------


def test_a_quantile_is_of_what_came_since() -> None:
    buckets = Buckets()
    for _ in range(99):
        buckets.observe(0.3)

    def look() -> str:
        sink = Sink()
        sink.histogram("ivr_stage_seconds", buckets, stage="retrieval")
        return sink.text()

    before = read(look())
    assert before.quantile("ivr_stage_seconds", 0.95, None, stage="retrieval") == 0.3
    assert before.quantile("ivr_stage_seconds", 0.95, before, stage="retrieval") is None
    buckets.observe(2.0)
    after = read(look())
    assert after.quantile("ivr_stage_seconds", 0.95, before, stage="retrieval") == 2.5
    assert after.quantile("ivr_stage_seconds", 0.5, None, stage="retrieval") == 0.3
    # a process that was started anew has counted less: then all of it is new
    assert before.quantile("ivr_stage_seconds", 0.5, after, stage="retrieval") == 0.3
