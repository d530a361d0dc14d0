"""What it costs a call to be counted, and a worker to be asked: `python -m bench.telling`.

Prints one JSON object, all of it CPU time: µs of a turn with its metrics and with its trace, µs of one
value, ms of a scrape of a worker with 100 calls (the time that its event loop is held up), beside what
``prometheus_client`` takes for the same.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from appliance.call.admission import Admission
from appliance.call.desk import Desk
from appliance.call.release import Guarding
from appliance.call.telling import Parts, exporter_of_worker
from appliance.call.tracing import Tracer
from appliance.engines.pool import Pool
from appliance.events import CallRecord, Stages, Turn
from appliance.media.playout import Pacer, Playout
from appliance.media.recording import DiskWriter
from appliance.metrics.buckets import Buckets
from appliance.metrics.calls import CallCounts
from appliance.metrics.exposition import Exporter
from appliance.metrics.looplag import LoopLag
from appliance.safety.guard import Guard
from appliance.safety.rules import RuleSet
from appliance.settings import Tracing
from appliance.store.database import open_engine
from appliance.store.journal import Journal

CALLS = 100
TURNS_A_MINUTE = 6
"""Of a call: some ten seconds from answer to answer."""
ROUNDS, TIMES = 30, 200
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAGES = Stages(
    speech_start=1000, speech_end=2000, speculation=2040, final=2100, turn_given=2240,
    retrieval=2060, first_token=2300, first_phrase=2350, first_audio=2400, first_frame=2420,
    last_token=2800, last_audio=3000,
)  # fmt: skip


class _Nowhere:
    """An exporter of spans that takes all of them at once."""

    def export(self, spans: Any) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to let go of."""


def each_us(work: Callable[[], object], times: int = TIMES) -> float:
    """The median over rounds of what one ``work`` takes, in CPU time of this thread."""
    found = []
    for _ in range(ROUNDS):
        began_s = time.thread_time()
        for _ in range(times):
            work()
        found.append((time.thread_time() - began_s) / times * 1e6)
    return median(found)


def begun(call_id: str) -> CallRecord:
    return CallRecord(call_id, "1001", "+911", "help", 1, "en", NOW)


def a_turn(call_id: str) -> Turn:
    return Turn(call_id, 1, NOW, "what", "that", "that", "llm", STAGES, 430)


def worker(folder: Path) -> tuple[Exporter, CallCounts]:
    """What a worker with ``CALLS`` calls tells."""
    counts, pacer, desk = CallCounts(), Pacer(), Desk(CALLS)
    for number in range(CALLS):
        pacer.add(Playout(8000, lambda _: None, lambda *_: None, lambda: None))
        for direction in ("in", "out"):
            call = begun(f"{direction}{number}")
            counts.call(CallRecord(**{**_fields(call), "direction": direction}))
            counts.turn(a_turn(call.call_id))
        ended = {**_fields(begun(f"old{number}")), "ended_at": NOW + timedelta(seconds=60)}
        counts.call(CallRecord(**ended))
    engine = open_engine("postgresql://nobody@127.0.0.1:9/none")
    pools = [Pool(stage, ("http://127.0.0.1:9",), None) for stage in ("stt", "tts", "llm", "turn")]  # type: ignore[arg-type]
    parts = Parts(
        desk, Admission(CALLS, 10, 2), pools, pacer, DiskWriter(), Journal(engine, folder),
        Guarding(Guard(RuleSet())), engine, counts,
    )  # fmt: skip
    return exporter_of_worker(parts, LoopLag(), CALLS), counts


def _fields(record: CallRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in CallRecord.__slots__}


def library_ms(text: bytes) -> float:
    """What ``prometheus_client`` takes to write the same series."""

    class Same:
        def collect(self) -> Any:
            for family in text_string_to_metric_families(text.decode()):
                if family.type == "histogram":
                    made = HistogramMetricFamily(family.name, family.documentation)
                    made.samples = family.samples
                    yield made
                else:
                    yield family

    families = list(Same().collect())
    registry = CollectorRegistry(auto_describe=False)

    class Given:
        def collect(self) -> Any:
            return families

    registry.register(Given())  # type: ignore[arg-type]
    return each_us(lambda: generate_latest(registry), 3) / 1000


async def main() -> None:
    with TemporaryDirectory() as folder:
        exporter, counts = worker(Path(folder))
        turn, buckets = a_turn("in1"), Buckets()
        turn_us = each_us(lambda: counts.turn(turn))
        tracer = Tracer(_Nowhere(), Tracing(endpoint="http://127.0.0.1:9"))  # type: ignore[arg-type]
        tracer.call(begun("in1"))
        traced_us = each_us(lambda: tracer.turn(turn), 20)
        text = exporter.render()
        found = {
            "value_us": each_us(lambda: buckets.observe(0.43)),
            "turn_us": turn_us,
            "turn_traced_us": traced_us,
            "cpu_of_a_call_share": turn_us * TURNS_A_MINUTE / 60e6,
            "scrape_ms": each_us(exporter.render, 3) / 1000,
            "scrape_lines": text.count(b"\n"),
            "library_ms": library_ms(text),
        }
        tracer.close()
    print(json.dumps({name: round(value, 7) for name, value in found.items()}))


if __name__ == "__main__":
    asyncio.run(main())
