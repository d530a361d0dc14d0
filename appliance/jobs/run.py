"""``ivr jobs``: the process that does background work, its children and its clock."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import warnings
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning

from appliance.errors import UserError
from appliance.jobs.celery import make_app
from appliance.jobs.tasks import register
from appliance.settings import Settings
from appliance.telemetry import configure

NICE = 10
"""Calls go before jobs, wherever both want the same core."""
PR_SET_PDEATHSIG = 1
"""prctl(2)."""
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
    register(app, settings)
    _keep_our_log(settings)
    settings.jobs_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    _tell_when_ready(settings)
    worker = app.Worker(
        concurrency=settings.jobs.processes,
        pool="prefork",
        beat=scheduled,
        schedule_filename=str(settings.jobs_dir / "schedule"),
        hostname=f"jobs@{os.uname().nodename}",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    _log.info("= jobs: %d at once, queue %s", settings.jobs.processes, shown)
    worker.start()
    sys.exit(worker.exitcode)


def _tell_when_ready(settings: Settings) -> None:
    def ready(**_: Any) -> None:
        settings.jobs_ready_file.touch()
        _log.info("= jobs are taken")

    signals.worker_ready.connect(ready, weak=False)


def _keep_our_log(settings: Settings) -> None:
    """Celery logs as we do, and says only what is wrong; each child has a log thread of its own."""

    def ours(**_: Any) -> None:
        configure("jobs", level=settings.log.level, json=settings.log.json_lines)
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)

    def child(**_: Any) -> None:
        _die_with_parent()
        ours()

    signals.setup_logging.connect(ours, weak=False)
    signals.worker_process_init.connect(child, weak=False)
    signals.beat_embedded_init.connect(child, weak=False)


def _die_with_parent() -> None:
    """A child whose parent was killed would go on asking the queue for jobs, unseen."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent or parent == 1:
        os._exit(1)
