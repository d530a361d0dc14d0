"""``ivr jobs``: the process that does background work, its children and its clock."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from typing import Any

from celery import Celery, signals
from celery.beat import Service
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning

from appliance import readiness
from appliance.errors import UserError
from appliance.jobs.beside import Beside, die_with
from appliance.jobs.celery import LONG, OUT, SOON, make_app
from appliance.jobs.counts import JobCounts
from appliance.jobs.pulse import Pulse
from appliance.jobs.tasks import TASKS, register
from appliance.jobs.telling import metrics_port
from appliance.settings import Settings
from appliance.telemetry import configure

NICE = 10
"""Calls go before jobs, wherever both want the same core."""
QUIET = ("celery", "kombu", "amqp", "celery.redirected")

_log = logging.getLogger(__name__)


def run(settings: Settings, *, scheduled: bool = True) -> None:
    """Do jobs until SIGTERM, after which those under way are finished.

    ``scheduled``: also say when it is time for what is done again and again; one process of a site
    shall. Raises UserError: ``redis.url`` cannot be understood.
    """
    os.nice(NICE)
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle: we carry JSON only
    app = make_app(settings)
    try:
        shown = app.connection_for_read().as_uri()  # without its password
    except (ValueError, KeyError, ImportError) as e:
        raise UserError(
            "Setting redis.url is not a URL of Redis; write it as redis://:password@host:port/0."
        ) from e
    counts = JobCounts(TASKS)
    register(app, settings, counts)
    _keep_our_log(settings)
    settings.jobs_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    beside = Beside()
    beside.fork("what takes long", lambda: _work(_worker(app, LONG, settings.jobs.processes)))
    beside.fork("what goes out", lambda: _work(_worker(app, OUT, 1)))
    if scheduled:
        beside.fork("the clock", lambda: _tick(app, settings))
    _tell_when_ready(settings)
    worker = _worker(app, SOON, 1)
    beside.watch()
    _log.info("= jobs: %d at once, queue %s", settings.jobs.processes, shown)
    Pulse().begin()
    readiness.ready("looking for Redis")  # which may come later than we
    metrics = metrics_port(settings, counts)
    metrics.open(settings.metrics.jobs_port)
    worker.start()
    readiness.stopping("jobs under way finish")
    beside.finish()
    metrics.close()
    sys.exit(1 if beside.died else worker.exitcode)


def _work(worker: Any) -> None:
    worker.start()
    sys.exit(worker.exitcode)


def _tick(app: Celery, settings: Settings) -> None:
    """Say when it is time, until SIGTERM."""

    def stop(*_: Any) -> None:
        raise SystemExit  # it wakes, and notes down when each was due last

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGQUIT, stop)
    _log_as_we_do(settings)
    Service(app, schedule_filename=str(settings.jobs_dir / "schedule")).start()


def _worker(app: Celery, queue: str, processes: int) -> Any:
    worker = app.Worker(
        queues=[queue],
        concurrency=processes,
        pool="prefork",
        hostname=f"{queue}@{os.uname().nodename}",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    # Of what becomes the default in Celery 6, each time that Redis is lost: we have chosen. Its making
    # turned them on.
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    return worker


def _tell_when_ready(settings: Settings) -> None:
    def ready(**_: Any) -> None:
        settings.jobs_ready_file.touch()
        _log.info("= jobs are taken")
        readiness.status("jobs are taken")

    signals.worker_ready.connect(ready, weak=False)


def _keep_our_log(settings: Settings) -> None:
    """Celery logs as we do, and says only what is wrong; each child has a log thread of its own."""

    def ours(**_: Any) -> None:
        _log_as_we_do(settings)

    def child(**_: Any) -> None:
        die_with(os.getppid())
        ours()

    signals.setup_logging.connect(ours, weak=False)
    signals.worker_process_init.connect(child, weak=False)


def _log_as_we_do(settings: Settings) -> None:
    configure("jobs", level=settings.log.level, json=settings.log.json_lines)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
