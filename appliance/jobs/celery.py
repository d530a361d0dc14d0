"""The Celery application: how jobs travel from who adds them to who does them.

What Redis loses, Postgres still knows, and the sweep finds it: a job is a hint that there is work, and
doing one twice changes nothing. So no result is kept, and no retry is Celery's.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from appliance.settings import Settings
from appliance.store.queue import redis_url

SOON, LONG, OUT = "soon", "long", "out"
"""Queues, each with processes of its own: what takes minutes, or waits for somebody else's servers
(``OUT``), holds up nothing that is due now."""
FIRST, BULK = 0, 6
"""Priorities in a queue: documents of a folder of hundreds wait behind what is done every night."""
TIME_LIMIT_S = 4 * 3600
"""Longest that one job may take; a document of 100 000 passages takes half of it."""
SOFT_LIMIT_S = TIME_LIMIT_S - 60
VISIBILITY_S = TIME_LIMIT_S + 3600
"""A job that nobody acknowledged is given to another after so long; the sweep is quicker."""
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
"""Above the second that a worker waits for a job in one request."""
TASKS_PER_CHILD = 200
"""A child that has done so many is replaced by a fresh one: libraries that leak are bounded."""
KEY_PREFIX = "ivr:"
"""Of every key, for a Redis that is not ours alone."""


def make_app(settings: Settings) -> Celery:
    """The application on the settings' Redis. Nothing connects yet."""
    app = Celery("ivr", broker=redis_url(settings), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TIME_LIMIT_S,
        task_soft_time_limit=SOFT_LIMIT_S,
        task_default_queue=LONG,
        task_default_priority=FIRST,
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=TASKS_PER_CHILD,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_transport_options=_transport(),
        timezone=settings.switch.timezone,
        enable_utc=True,
    )
    return app


def _transport() -> dict[str, Any]:
    return {
        "visibility_timeout": VISIBILITY_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": KEY_PREFIX,
        "queue_order_strategy": "priority",
        "priority_steps": [FIRST, BULK],
    }
