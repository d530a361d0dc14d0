"""Rows of ``ivr switch``, written behind the calls: to disk at once, to Postgres when it is there.

Call control waits for neither. What a killed switch could not store, the next one does.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import gevent
import orjson
from gevent.event import Event as Signal
from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from appliance.errors import reason_of
from appliance.store.legs import Leg, complete_call, upsert_leg
from appliance.store.outbound import Outcome, settle
from appliance.store.spool import Spool, adopt

log = logging.getLogger(__name__)

QUEUE_ROWS = 10_000
"""Rows waiting for the disk; only a disk that stands still fills it, and then rows are lost."""
CHUNK_BYTES = 64 * 1024
RETRY_S = 2.0
_LEG = TypeAdapter(Leg)
_OUTCOME = TypeAdapter(Outcome)


class Records:
    """Takes legs and ends of calls, and sees to it that they reach Postgres."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._queue: deque[bytes] = deque()
        self._arrived = Signal()
        self._spool: Spool | None = None
        self._heritage: list[Spool] = []
        """Of dead switches, locked by us until it is stored."""
        self._away = False
        self.caught_up = Signal()
        """Set once everything that killed switches left is in Postgres."""
        self._storing = True
        self.lost = 0
        """Rows that were dropped, or that can never be stored."""

    most = QUEUE_ROWS

    @property
    def waiting(self) -> int:
        """Rows that are not on the disk yet."""
        return len(self._queue)

    @property
    def settled(self) -> bool:
        """Whether all that was taken is in Postgres."""
        return not self._storing and not self._queue

    def leg(self, leg: Leg) -> None:
        """A leg began, changed or ended. Returns at once."""
        self._take({"leg": leg})

    def complete(self, call_id: str, **end: Any) -> None:
        """What only the switch knows of a call's end; fields of ``store.legs.complete_call``."""
        self._take({"call": {"call_id": call_id, **end}})

    def outbound(self, outcome: Outcome) -> None:
        """What became of a call that we made, or were to make. Returns at once."""
        self._take({"outbound": outcome})

    def run(self) -> None:
        """Write, for ever."""
        pool = gevent.get_hub().threadpool
        self._spool = pool.apply(Spool.create, (self._folder,))
        self._arrived.set()
        while True:
            self._arrived.wait()
            self._arrived.clear()
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            self._storing = True
            try:
                pool.apply(self._write, (batch,))
            except OSError as e:
                log.error("! %d rows of legs are kept in memory only: %s", len(batch), e)
                self._queue.extendleft(reversed(batch))
                self._again()
                continue
            except SQLAlchemyError as e:
                self._tell_away(e)
                self._again()
                continue
            self._storing = False
            self.caught_up.set()
            if self._away:
                self._away = False
                log.info("= Postgres is back, the legs are stored")

    def close(self) -> None:
        """Leave what is not stored to the next process."""
        if self._spool is not None:
            self._spool.close(remove=not self._spool.unshipped_bytes)
        for heritage in self._heritage:
            heritage.close(remove=False)

    def _take(self, row: dict[str, Any]) -> None:
        if len(self._queue) >= QUEUE_ROWS:
            self.lost += 1
            log.error("! a row of a leg is lost: the disk stands still")
            return
        self._queue.append(orjson.dumps(row))
        self._arrived.set()

    def _again(self) -> None:
        gevent.spawn_later(RETRY_S, self._arrived.set)

    def _tell_away(self, error: SQLAlchemyError) -> None:
        if not self._away:
            self._away = True
            log.warning("! Postgres is away, legs stay on disk: %s", reason_of(error))

    def _write(self, batch: list[bytes]) -> None:
        """In a native thread: to the disk, then everything on it to Postgres."""
        assert self._spool is not None
        if batch:
            self._spool.append(batch)
        self._heritage += adopt(self._folder)
        while self._heritage:
            self._ship(self._heritage[0])
            self._heritage.pop(0).close(remove=True)
        self._ship(self._spool)

    def _ship(self, spool: Spool) -> None:
        while spool.unshipped_bytes:
            chunk = spool.next(CHUNK_BYTES)
            for line in chunk.lines:
                self._store(line)
            spool.shipped(chunk.end)

    def _store(self, line: bytes) -> None:
        try:
            work = _work(line)
            with self._engine.begin() as connection:
                work(connection)
        except (DataError, IntegrityError) as e:
            self._give_up(line, e)
        except (SQLAlchemyError, OSError):
            raise  # later
        except Exception as e:  # the border of a job: what another version wrote, or a torn disk
            self._give_up(line, e)

    def _give_up(self, line: bytes, error: Exception) -> None:
        self.lost += 1
        log.error(
            "! a row of a leg can never be stored (%s): %.300s",
            reason_of(error),
            line.decode(errors="replace"),
        )


def _work(line: bytes) -> Callable[[Connection], object]:
    ((kind, fields),) = orjson.loads(line).items()
    if kind == "leg":
        leg = _LEG.validate_python(fields)
        return lambda connection: upsert_leg(connection, leg)
    if kind == "outbound":
        outcome = _OUTCOME.validate_python(fields)
        return lambda connection: settle(connection, outcome)
    if ended_at := fields.get("ended_at"):
        fields["ended_at"] = datetime.fromisoformat(ended_at)
    return lambda connection: complete_call(connection, **fields)
