"""What ``ivr jobs`` tells Prometheus: its jobs, its queues in Redis, and how much waits in Postgres."""

from __future__ import annotations

import logging
import time
from functools import partial

import redis
from redis.exceptions import RedisError
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError
from appliance.jobs.celery import BULK, KEY_PREFIX, LONG, OUT, SOON
from appliance.jobs.counts import JobCounts
from appliance.metrics.exposition import Sink
from appliance.metrics.machine import disk
from appliance.metrics.port import MetricsPort
from appliance.metrics.process import exporter_of
from appliance.settings import METRICS_SECRET, Settings
from appliance.store.database import database_url, sqlalchemy_url
from appliance.store.queue import redis_url
from appliance.store.tallies import Tallies, read_tallies

_log = logging.getLogger(__name__)

TALLY_EVERY_S = 60.0
"""Campaigns may have a million contacts: they are counted once a minute, however often it is asked."""
REDIS_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 2
PRIORITY_MARK = "\x06\x16"
"""Between a queue's name and a priority above 0, as kombu writes the keys of its lists."""


class Waiting:
    """What waits in Redis and Postgres; asked by the thread of the port."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tallies: Tallies | None = None
        self._next_s = 0.0

    def put(self, sink: Sink) -> None:
        """Tell it."""
        self._put_redis(sink)
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + TALLY_EVERY_S
            self._tallies = self._count()
        sink.put("ivr_database_up", self._tallies is not None)
        if (found := self._tallies) is None:
            self._next_s = 0.0  # ask again
            return
        for name, states in (
            ("ivr_documents", found.documents),
            ("ivr_webhook_deliveries", found.deliveries),
            ("ivr_outbound_calls", found.outbound),
            ("ivr_campaign_contacts", found.contacts),
        ):
            for state, count in states.items():
                sink.put(name, count, state=state)
        sink.put("ivr_campaign_attempts", found.attempts)

    def _put_redis(self, sink: Sink) -> None:
        try:
            url = redis_url(self._settings)
            client = redis.Redis.from_url(
                url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
            )
            with client:
                counts = {
                    queue: sum(client.llen(KEY_PREFIX + key) for key in _keys(queue))
                    for queue in (SOON, LONG, OUT)
                }
        except (RedisError, OSError, ValueError, UserError):
            sink.put("ivr_redis_up", 0)
            return
        sink.put("ivr_redis_up", 1)
        for queue, count in counts.items():
            sink.put("ivr_jobs_queued", count, queue=queue)

    def _count(self) -> Tallies | None:
        try:
            url = sqlalchemy_url(database_url(self._settings))
            options = {"connect_timeout": CONNECT_TIMEOUT_S}
            # a connection of a minute's age would be inherited by every child that is forked
            engine = create_engine(url, poolclass=NullPool, connect_args=options)
            with engine.begin() as connection:
                return read_tallies(connection)
        except (SQLAlchemyError, UserError, OSError) as e:
            _log.debug("= rows are not counted: %s", type(e).__name__)
            return None


def metrics_port(settings: Settings, counts: JobCounts) -> MetricsPort:
    """The port of ``ivr jobs``, not yet open."""
    exporter = exporter_of("jobs")
    exporter.add(counts.put)
    exporter.add(Waiting(settings).put)
    exporter.add(disk(settings.data_dir, settings.spool_dir))
    return MetricsPort(exporter, settings.metrics.host, partial(settings.secret, METRICS_SECRET))


def _keys(queue: str) -> tuple[str, str]:
    """Redis's lists of a queue, one for each priority that we use."""
    return queue, f"{queue}{PRIORITY_MARK}{BULK}"
