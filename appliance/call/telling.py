"""What a worker tells Prometheus: read from the parts that have it, when it asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.call.admission import Admission
from appliance.call.desk import Desk
from appliance.call.release import Guarding
from appliance.engines.pool import Health, Pool
from appliance.media.playout import Pacer
from appliance.media.recording import QUEUE_BLOCKS, DiskWriter
from appliance.metrics.calls import CallCounts
from appliance.metrics.exposition import Exporter, Sink
from appliance.metrics.looplag import LoopLag
from appliance.metrics.process import exporter_of, put_queue
from appliance.store.database import connections_of
from appliance.store.journal import QUEUE_ROWS, Journal


@dataclass(frozen=True)
class Parts:
    """Of a worker, as far as they know something that is told."""

    desk: Desk
    admission: Admission | None
    pools: Sequence[Pool]
    pacer: Pacer
    disk: DiskWriter | None
    journal: Journal
    guarding: Guarding
    engine: AsyncEngine
    counts: CallCounts


def exporter_of_worker(parts: Parts, lag: LoopLag, most_calls: int) -> Exporter:
    """Everything that it tells; ``most_calls``: ``worker.max_calls``."""
    exporter = exporter_of("worker", lag)
    exporter.add(lambda sink: _desk(sink, parts, most_calls))
    exporter.add(parts.counts.put)
    exporter.add(lambda sink: _playout(sink, parts.pacer))
    exporter.add(lambda sink: _engines(sink, parts.pools))
    exporter.add(lambda sink: _stores(sink, parts))
    return exporter


def _desk(sink: Sink, parts: Parts, most_calls: int) -> None:
    desk, admission = parts.desk, parts.admission
    sink.put("ivr_worker_ready", desk.is_open)
    sink.put("ivr_calls_live", desk.calls)
    sink.put("ivr_calls_limit", desk.limit)
    sink.put("ivr_calls_most", most_calls)
    for why in ("starting", "draining", "duplicate", "full"):
        sink.put("ivr_calls_refused_total", desk.refused[why], why=why)
    sink.put("ivr_admission_knee_calls", (admission.knee or 0) if admission else 0)
    sink.put("ivr_admission_held", bool(admission and admission.why))
    sink.put("ivr_watchers", desk.watchers)


def _playout(sink: Sink, pacer: Pacer) -> None:
    frames, late, underruns = pacer.totals()
    sink.put("ivr_frames_sent_total", frames)
    sink.put("ivr_frames_late_total", late)
    sink.put("ivr_playout_underruns_total", underruns)


def _engines(sink: Sink, pools: Sequence[Pool]) -> None:
    for pool in pools:
        stage = pool.stage
        up = [server for server in pool.servers if server.health is Health.UP]
        for health in Health:
            count = sum(server.health is health for server in pool.servers)
            sink.put("ivr_engine_servers", count, stage=stage, state=health.value)
        busy = sum(server.in_flight for server in pool.servers)
        sink.put("ivr_engine_in_flight", busy, stage=stage)
        sink.put("ivr_engine_capacity", sum(server.capacity for server in up), stage=stage)
        sink.put("ivr_engine_failures_total", pool.failures, stage=stage)
        sink.histogram("ivr_engine_first_answer_seconds", pool.first_answers, stage=stage)


def _stores(sink: Sink, parts: Parts) -> None:
    journal, disk = parts.journal, parts.disk
    sink.put("ivr_journal_rows_behind", journal.rows_behind)
    sink.put("ivr_journal_lag_seconds", journal.lag_s)
    sink.put("ivr_journal_rows_lost_total", journal.rows_lost)
    put_queue(sink, "journal", journal.rows_in_memory, QUEUE_ROWS)
    if disk is not None:
        put_queue(sink, "recordings", disk.waiting, QUEUE_BLOCKS)
    sink.put("ivr_recording_blocks_lost_total", disk.lost if disk is not None else 0)
    put_queue(sink, "guard", parts.guarding.reading, parts.guarding.most_reading)
    used, limit = connections_of(parts.engine.sync_engine)
    sink.put("ivr_db_connections", used)
    sink.put("ivr_db_connections_limit", limit)
