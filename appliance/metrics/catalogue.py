"""Every metric of the appliance: what is not here cannot be told (``exposition.Sink``).

docs/observability.md has this as a table, and a test holds dashboards, alert rules and what real
processes tell against it. Labels are bounded: never a call's id, a number or a word. ``process_*`` of
``prometheus_client`` come beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Of a metric, as Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    kind: Kind
    help: str
    """One line, without a newline."""
    labels: tuple[str, ...] = ()
    of: str = "all"
    """The processes that tell it."""


def _counter(name: str, of: str, help: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, help, labels, of)


def _gauge(name: str, of: str, help: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, help, labels, of)


def _histogram(name: str, of: str, help: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, help, labels, of)


_ALL = (
    _gauge("ivr_build_info", "all", "1; what runs.", "process", "version", "python"),
    _counter("ivr_log_lines_lost_total", "all", "Log lines that nobody took in time."),
    _histogram("ivr_event_loop_lag_seconds", "all with an event loop",
               "How late a timer of the event loop was."),
    _gauge("ivr_queue_items", "all", "What waits in a bounded queue.", "queue"),
    _gauge("ivr_queue_limit", "all", "What the queue holds at most; then it drops or refuses.",
           "queue"),
    _gauge("ivr_db_connections", "worker, admin, switch", "Connections to Postgres in use.",),
    _gauge("ivr_db_connections_limit", "worker, admin, switch", "Connections of the pool at most."),
)  # fmt: skip
_WORKER = (
    _gauge("ivr_worker_ready", "worker", "1: takes calls; 0: warms up, or drains."),
    _gauge("ivr_calls_live", "worker", "Calls in progress."),
    _gauge("ivr_calls_limit", "worker", "Calls that may be carried now (admission)."),
    _gauge("ivr_calls_most", "worker", "worker.max_calls."),
    _counter("ivr_calls_begun_total", "worker", "Calls taken.", "direction"),
    _counter("ivr_calls_ended_total", "worker",
             "Calls over: by the caller, the agent or the system, transferred, lost (the edge broke),"
             " broken (a fault of ours).", "direction", "outcome"),
    _histogram("ivr_call_seconds", "worker", "How long calls took.", "direction"),
    _counter("ivr_calls_refused_total", "worker",
             "Streams refused at the door: starting, draining, duplicate, full.", "why"),
    _gauge("ivr_admission_knee_calls", "worker", "Calls at which something was last full, or 0."),
    _gauge("ivr_admission_held", "worker", "1: fewer calls than most are taken, something is late."),
    _counter("ivr_turns_total", "worker", "Turns of the agent that are over, by what it said.",
             "source"),
    _counter("ivr_turns_failed_total", "worker", "Turns in which something was not as meant."),
    _histogram("ivr_gap_seconds", "worker",
               "End of the caller's speech to the first sound of the answer.", "language",
               "direction"),
    _histogram("ivr_stage_seconds", "worker",
               "Each stage of a turn: endpointing, stt_final, retrieval, llm_first_token,"
               " first_phrase, tts_first_audio, guard_hold, playout, written.", "stage"),
    _counter("ivr_barge_ins_total", "worker", "Answers that a caller cut off."),
    _counter("ivr_speculations_total", "worker", "Answers begun before the turn was over.",
             "outcome"),
    _counter("ivr_guard_findings_total", "worker", "What the guard found, by what it did.", "action"),
    _counter("ivr_frames_sent_total", "worker", "20 ms frames sent to callers."),
    _counter("ivr_frames_late_total", "worker", "Frames sent 20 ms late or more, or skipped."),
    _counter("ivr_playout_underruns_total", "worker",
             "Frames of silence inside an answer whose sound was not ready."),
    _gauge("ivr_engine_servers", "worker", "Engine servers as the worker sees them.", "stage", "state"),
    _gauge("ivr_engine_in_flight", "worker", "Requests of this worker under way.", "stage"),
    _gauge("ivr_engine_capacity", "worker", "What the servers that are up carry together.", "stage"),
    _counter("ivr_engine_failures_total", "worker",
             "Times a server was taken out: each use then goes to another.", "stage"),
    _histogram("ivr_engine_first_answer_seconds", "worker",
               "Request to first answer (final words, first token, first audio).", "stage"),
    _gauge("ivr_journal_rows_behind", "worker", "Rows not yet in Postgres."),
    _gauge("ivr_journal_lag_seconds", "worker", "Age of the oldest row that is not yet in Postgres."),
    _counter("ivr_journal_rows_lost_total", "worker", "Rows dropped because the disk stood still."),
    _counter("ivr_recording_blocks_lost_total", "worker",
             "Seconds of recordings dropped because the disk stood still."),
    _gauge("ivr_watchers", "worker", "Who looks on at /watch."),
    _counter("ivr_trace_spans_total", "worker", "Spans of OpenTelemetry, by what became of them.",
             "outcome"),
)  # fmt: skip
_SERVERS = (
    _gauge("ivr_server_ready", "engine servers", "1: healthy.", "stage", "engine"),
    _gauge("ivr_server_in_flight", "engine servers", "Requests, or calls (STT), under way.", "stage",
           "engine"),
    _gauge("ivr_server_capacity", "engine servers", "What it carries at once.", "stage", "engine"),
    _counter("ivr_server_requests_total", "engine servers", "Requests answered.", "route", "status"),
    _histogram("ivr_server_request_seconds", "engine servers",
               "Request to last byte; websockets are not counted.", "route"),
    _histogram("ivr_server_batch_items", "engine servers", "Items in one run of the model."),
    _histogram("ivr_server_run_seconds", "engine servers", "How long one run took."),
    _histogram("ivr_server_queue_seconds", "engine servers", "How long an item waited for its run."),
)  # fmt: skip
_SIP = (
    _gauge("ivr_sip_calls_live", "sip", "Calls that hold a place."),
    _gauge("ivr_sip_calls_limit", "sip", "Places of the children that are ready."),
    _gauge("ivr_sip_children", "sip", "Child processes that take calls."),
    _gauge("ivr_sip_children_wanted", "sip", "sip.processes."),
    _counter("ivr_sip_child_deaths_total", "sip", "Child processes that ended unasked."),
    _counter("ivr_sip_child_calls_total", "sip", "Calls of all children.", "event"),
    _gauge("ivr_sip_children_resident_bytes", "sip", "Memory of all children."),
    _gauge("ivr_sip_children_open_fds", "sip", "File descriptors of all children."),
    _counter("ivr_sip_requests_total", "sip", "Requests from outside.", "method"),
    _counter("ivr_sip_answers_total", "sip",
             "Final answers to INVITEs, and all answers of our own.", "status"),
    _counter("ivr_sip_dropped_total", "sip", "Messages not answered: of a strange network,"
             " malformed, over a budget (flood), or of a scanner by its name.", "why"),
    _gauge("ivr_sip_registration", "sip", "1 for the state of our REGISTER.", "state"),
)  # fmt: skip
_SWITCH = (
    _gauge("ivr_switch_freeswitch_up", "switch", "1: FreeSWITCH's event socket is connected."),
    _gauge("ivr_switch_calls_live", "switch", "Calls in the hands of ivr switch.", "direction"),
    _gauge("ivr_switch_calls_limit", "switch", "switch.max_calls."),
    _counter("ivr_switch_calls_begun_total", "switch", "Calls taken up.", "direction"),
    _counter("ivr_switch_calls_ended_total", "switch", "Calls over.", "direction"),
    _gauge("ivr_switch_ringing", "switch", "Telephones that ring for the list of calls."),
    _gauge("ivr_switch_worker_healthy", "switch", "1: the worker takes calls.", "worker"),
    _gauge("ivr_switch_worker_room", "switch", "How many more calls all workers take."),
    _gauge("ivr_trunk_up", "switch", "1: enabled and answers.", "trunk"),
    _gauge("ivr_trunk_enabled", "switch", "1: enabled.", "trunk"),
    _gauge("ivr_trunk_state", "switch", "1 for FreeSWITCH's state of the gateway (REGED, NOREG, …).",
           "trunk", "state"),
    _gauge("ivr_trunk_calls", "switch", "Calls that the trunk carries.", "trunk"),
    _gauge("ivr_trunk_calls_limit", "switch", "Its limit; 0: none.", "trunk"),
    _counter("ivr_trunk_legs_ended_total", "switch",
             "Legs over, by trunk and final SIP status (0: none).", "trunk", "sip_status"),
    _counter("ivr_toll_refused_total", "switch", "Calls out that the toll rules refused.", "rule"),
    _gauge("ivr_toll_ranges_stopped", "switch",
           "Foreign ranges that a burst of short calls has stopped."),
    _counter("ivr_switch_rows_lost_total", "switch", "Rows of legs dropped or never storable."),
)  # fmt: skip
_JOBS = (
    _counter("ivr_jobs_done_total", "jobs", "Jobs over: done, failed, or ended for taking too long.",
             "task", "outcome"),
    _histogram("ivr_job_seconds", "jobs", "How long jobs took.", "task"),
    _gauge("ivr_jobs_running", "jobs", "Jobs under way.", "task"),
    _gauge("ivr_jobs_queued", "jobs", "Jobs that wait in Redis.", "queue"),
    _gauge("ivr_redis_up", "jobs", "1: Redis answers."),
    _gauge("ivr_documents", "jobs", "Documents, by state.", "state"),
    _gauge("ivr_webhook_deliveries", "jobs",
           "Webhook deliveries, by state; failed: dead letters.", "state"),
    _gauge("ivr_outbound_calls", "jobs", "Calls to be made and made, by state.", "state"),
    _gauge("ivr_campaign_contacts", "jobs", "Contacts of campaigns, by state.", "state"),
    _gauge("ivr_campaign_attempts", "jobs", "Attempts at contacts of campaigns, all together."),
    _gauge("ivr_database_up", "jobs", "1: Postgres answers."),
    _gauge("ivr_disk_bytes", "jobs, up, pools", "Size of the disk of data_dir."),
    _gauge("ivr_disk_free_bytes", "jobs, up, pools", "What is free of it."),
    _gauge("ivr_spool_bytes", "jobs, up, pools", "Rows that wait on disk for Postgres."),
)  # fmt: skip
_ADMIN = (
    _counter("ivr_http_requests_total", "admin", "Requests, by route template.", "route", "method",
             "status"),
    _histogram("ivr_http_request_seconds", "admin", "Request to first byte.", "route"),
    _counter("ivr_logins_total", "admin", "Tries to log in.", "outcome"),
    _gauge("ivr_console_sockets", "admin", "Websockets of pages that are open."),
)  # fmt: skip
_KEEPERS = (
    _gauge("ivr_child_up", "up", "1: the process runs.", "program"),
    _counter("ivr_child_starts_total", "up, pools", "Starts of the process; one is as it should be.",
             "program"),
    _gauge("ivr_pool_servers", "up, pools, cluster", "Engine servers of a pool, by state.", "pool",
           "state"),
    _gauge("ivr_pool_wanted", "up, pools", "How many are wanted.", "pool"),
    _gauge("ivr_pool_least", "up, pools", "How many run always.", "pool"),
    _gauge("ivr_pool_most", "up, pools", "How many may run.", "pool"),
    _gauge("ivr_pool_in_flight", "up, pools, cluster", "What they do at once.", "pool"),
    _gauge("ivr_pool_capacity", "up, pools, cluster", "What one server carries; 0: not known.", "pool"),
)  # fmt: skip

CATALOGUE: dict[str, Metric] = {
    metric.name: metric
    for metric in (*_ALL, *_WORKER, *_SERVERS, *_SIP, *_SWITCH, *_JOBS, *_ADMIN, *_KEEPERS)
}
"""By name."""


def series_of(metric: Metric) -> tuple[str, ...]:
    """The names that its lines begin with, which queries use."""
    if metric.kind is Kind.HISTOGRAM:
        return (f"{metric.name}_bucket", f"{metric.name}_sum", f"{metric.name}_count")
    return (metric.name,)
