"""Writes what the toll rules have refused where it is kept: in a greenlet and threads of its own, so
that no call waits for Postgres."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

import gevent
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import reason_of
from appliance.telephony.clerk import Clerk
from appliance.telephony.tollbursts import RangeStop, TollBurst, TollBursts

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
WRITE_TIMEOUT_S = 10.0
LAST_TIMEOUT_S = 2.0
"""When the process ends; what is not written by then stands in its log."""

Write = Callable[[Connection, TollBurst | RangeStop], None]
"""One row, in a transaction."""


class TollRecorder:
    """Writes what ``bursts`` has, with ``write``."""

    def __init__(self, clerk: Clerk, bursts: TollBursts, write: Write) -> None:
        self._clerk = clerk
        self._bursts = bursts
        self._write = write

    def run(self) -> None:
        """For ever."""
        while True:
            gevent.sleep(LOOK_EVERY_S)
            self.record(time.time())

    def record(self, now_s: float) -> None:
        """Write what is due; what Postgres does not take is due again."""
        left = deque(self._bursts.due(now_s))
        try:
            while left:
                one = left.popleft()  # before it is asked for: who is killed now has written it
                try:
                    self._ask(one, WRITE_TIMEOUT_S)
                except SQLAlchemyError as e:
                    log.debug("! the audit log is not written yet: %s", reason_of(e))
                    left.appendleft(one)
                    return
        finally:
            self._bursts.put_back(left)

    def finish(self) -> None:
        """Write what is left; the process ends."""
        deadline = time.monotonic() + LAST_TIMEOUT_S
        for one in self._bursts.rest():
            try:
                self._ask(one, max(0.0, deadline - time.monotonic()))
            except SQLAlchemyError as e:
                log.warning("! toll: not in the audit log: %s (%s)", one, reason_of(e))

    def _ask(self, one: TollBurst | RangeStop, timeout_s: float) -> None:
        self._clerk.ask(lambda connection: self._write(connection, one), timeout_s)
