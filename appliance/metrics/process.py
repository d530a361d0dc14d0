"""What every process tells of itself."""

from __future__ import annotations

import platform

from appliance import __version__, telemetry
from appliance.metrics.exposition import Exporter, Sink
from appliance.metrics.looplag import LoopLag


def exporter_of(process: str, lag: LoopLag | None = None) -> Exporter:
    """What the process ``process`` (``worker``, ``stt``, …) tells; its parts add theirs. ``lag``: of
    its event loop, where it has one."""
    found = Exporter()

    def put(sink: Sink) -> None:
        python = platform.python_version()
        sink.put("ivr_build_info", 1, process=process, version=__version__, python=python)
        log = telemetry.log_state()
        sink.put("ivr_log_lines_lost_total", log.lost)
        put_queue(sink, "log", log.waiting, log.limit)
        if lag is not None:
            sink.histogram("ivr_event_loop_lag_seconds", lag.seconds)

    found.add(put)
    return found


def put_queue(sink: Sink, queue: str, items: int, limit: int) -> None:
    """One bounded queue: what waits in it, and what it holds at most."""
    sink.put("ivr_queue_items", items, queue=queue)
    sink.put("ivr_queue_limit", limit, queue=queue)
