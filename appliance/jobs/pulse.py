"""Tells the service manager that ``ivr jobs`` lives: its loop turns, or it looks for Redis.

Celery's loop stands while there is no Redis, and that is no fault of ours: nothing would be better in a
new process. So a thread beats, and asks when the loop turned last.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from celery import signals

from appliance import readiness

TICKS_A_BEAT = 4


class Pulse:
    """Watches the Celery worker of this process."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._ticked_s = time.monotonic()

    def begin(self) -> None:
        """From now on the manager is told; without one nothing is done."""
        if (every_s := readiness.beat_every_s()) is None:
            return
        self._every_s = every_s
        signals.worker_ready.connect(self._connected, weak=False)
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def _connected(self, sender: Any, **_: Any) -> None:
        """A consumer has Redis (again); what it had in its timer before has been cancelled."""
        self._tick()
        self._consumer = sender
        sender.timer.call_repeatedly(self._every_s / TICKS_A_BEAT, self._tick)

    def _tick(self) -> None:
        self._ticked_s = time.monotonic()

    def _lives(self) -> bool:
        if self._consumer is None or self._consumer.connection is None:
            return True  # Redis is looked for
        return time.monotonic() - self._ticked_s < self._every_s

    def _beat(self) -> None:
        while True:
            if self._lives():
                readiness.beat()
            time.sleep(self._every_s)
