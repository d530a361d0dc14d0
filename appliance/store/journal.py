"""The journal: calls and turns, written behind the call and never lost with it.

A row goes from the call into memory (microseconds), from there to a spool file on disk (a batch
per sync of the disk), from there to Postgres, and only then off the disk. So a killed process
loses what the last sync did not have (milliseconds), Postgres being away loses nothing, and the
call waits for neither. Rows of processes that died are shipped by any process that lives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError, reason_of
from appliance.events import CallRecord, Flag, Redaction, Turn
from appliance.store.rows import BadRowError, Record, encode
from appliance.store.shipper import AWAY, CHUNK_BYTES, Quarantine, Shipper
from appliance.store.spool import Spool

log = logging.getLogger(__name__)

QUEUE_ROWS = 10_000
"""Rows in memory, waiting for the disk: minutes of 100 calls. Only a disk that stands still fills
it; then new rows are dropped and counted in ``rows_lost``, since a call waits for nothing."""
FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 5.0
HEIRS_EVERY_S = 30.0
"""How often we look for spools of processes that died."""
CLOSE_TIMEOUT_S = 5.0
MARK_EVERY_S = 1.0
MOST_MARKS = 3600
"""With Postgres away for longer, the rows taken later have no mark: the oldest one has."""
AFTER_BUG_S = 1.0
T = TypeVar("T")


class Journal:
    """Takes rows from the calls of one process and sees to it that they reach Postgres.

    Use it as ``async with Journal(engine, settings.spool_dir) as journal``.
    """

    def __init__(self, engine: AsyncEngine, spool_dir: Path) -> None:
        self.rows_lost = 0
        self._spool_dir = spool_dir
        self._quarantine = Quarantine(spool_dir)
        self._shipper = Shipper(engine, self._quarantine)
        self._queue: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._spooled = asyncio.Event()
        self._progress = asyncio.Condition()
        self._inheriting = asyncio.Lock()
        self._rows_taken = 0
        self._rows_done = 0
        self._marks: deque[tuple[int, float]] = deque()
        """(rows taken, when) about once a second, of rows that are not stored; see MOST_MARKS."""
        self._open_calls: dict[str, bytes] = {}  # the disk thread's
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._spool: Spool | None = None
        self._task: asyncio.Task[None] | None = None
        self._outage = _Outage()

    def call(self, record: CallRecord) -> None:
        """Note that a call began, or (with ``ended_at``) ended. Returns at once, never raises."""
        self._take(record)

    def turn(self, turn: Turn) -> None:
        """Note a finished turn. Returns at once, never raises."""
        self._take(turn)

    def flag(self, flag: Flag) -> None:
        """Note what a person should look at. Returns at once, never raises."""
        self._take(flag)

    def redaction(self, span: Redaction) -> None:
        """Note what nobody may hear in the recording. Returns at once, never raises."""
        self._take(span)

    @property
    def rows_in_memory(self) -> int:
        """Rows that are not on the disk yet."""
        return len(self._queue)

    @property
    def rows_behind(self) -> int:
        """Rows that are not in Postgres yet."""
        return max(0, self._rows_taken - self._rows_done)

    @property
    def lag_s(self) -> float:
        """How long ago the oldest row was taken that is not in Postgres yet, to a second."""
        return time.monotonic() - self._marks[0][1] if self._marks and self.rows_behind else 0.0

    async def start(self) -> None:
        """Open the spool and begin to write; Postgres may be away.

        Raises UserError when the spool folder cannot be written.
        """
        try:
            self._spool = await self._on_disk(lambda: Spool.create(self._spool_dir))
        except OSError as e:
            raise UserError(
                f"The journal cannot write its spool in {self._spool_dir}: {e.strerror}."
                " Make the folder writable, or set data_dir to another one."
            ) from e
        self._task = asyncio.create_task(self._run(), name="journal")

    async def take_over(self) -> None:
        """Store what processes that died left in the spool folder, now instead of within 30 s: one
        of their calls has come to us. Raises one of ``shipper.AWAY``."""
        async with self._inheriting:  # or we would not wait for what is being stored already
            await self._shipper.ship_leftovers(self._spool_dir)

    async def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Wait until every row taken so far is in Postgres; False when that took too long."""
        target = self._rows_taken
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._progress:
                await self._progress.wait_for(lambda: self._rows_done >= target)
        return self._rows_done >= target

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Flush; what Postgres did not take in time stays on disk for the next process."""
        if self._task is None:
            return
        await self.flush(timeout_s)
        task, self._task = self._task, None
        for _ in range(2):  # the second cancel makes psycopg drop a connection that hangs
            task.cancel()
            await asyncio.wait({task}, timeout=1)
        await self._on_disk(self._close_spool)
        self._disk.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _take(self, record: Record) -> None:
        if len(self._queue) >= QUEUE_ROWS:
            if self.rows_lost == 0:
                log.error("! journal: the disk stands still, rows are lost from now on")
            self.rows_lost += 1
            return
        self._queue.append(record)
        self._rows_taken += 1
        now_s = time.monotonic()
        if not self._marks or (
            now_s - self._marks[-1][1] >= MARK_EVERY_S and len(self._marks) < MOST_MARKS
        ):
            self._marks.append((self._rows_taken, now_s))
        self._arrived.set()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_forever(self._spool_rows))
            group.create_task(_forever(self._ship_rows))

    async def _spool_rows(self) -> None:
        """One batch from memory to disk, or with the disk failing from memory to Postgres."""
        await self._arrived.wait()
        self._arrived.clear()
        batch = self._pop_all()
        retry_s = FIRST_RETRY_S
        while batch and not await self._spool_batch(batch):
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)

    def _pop_all(self) -> list[Record]:
        return [self._queue.popleft() for _ in range(len(self._queue))]

    async def _spool_batch(self, batch: list[Record]) -> bool:
        try:
            finished = await self._on_disk(lambda: self._append(batch))
        except OSError as e:
            log.warning("! journal: spool not written (%s), storing without it", e)
            try:
                await self._shipper.store(batch)
            except AWAY as away:
                log.warning("! journal: and not stored either: %s", reason_of(away))
                return False
            finished = len(batch)
        await self._count(finished)
        self._spooled.set()
        return True

    def _append(self, batch: list[Record]) -> int:
        """In the disk thread: write a batch; returns how many went to quarantine instead."""
        assert self._spool is not None
        lines = []
        open_calls = dict(self._open_calls)
        for record in batch:
            try:
                line = encode(record)
            except BadRowError as e:
                self._quarantine.put(repr(record), str(e))
                continue
            lines.append(line)
            if isinstance(record, CallRecord):
                open_calls.pop(record.call_id, None)
                if record.ended_at is None:
                    open_calls[record.call_id] = line
        self._spool.append(lines)
        self._open_calls = open_calls
        return len(batch) - len(lines)

    async def _ship_rows(self) -> None:
        """Disk to Postgres, ours and what the dead left; again and again while it is away."""
        next_look_s = 0.0
        while True:
            try:
                if time.monotonic() >= next_look_s:
                    await self.take_over()
                    next_look_s = time.monotonic() + HEIRS_EVERY_S
                await self._ship_own()
            except AWAY as e:
                await asyncio.sleep(self._outage.failed(reason_of(e)))
                continue
            self._outage.over()
            with suppress(TimeoutError):
                async with asyncio.timeout(next_look_s - time.monotonic()):
                    await self._spooled.wait()
            self._spooled.clear()

    async def _ship_own(self) -> None:
        spool = self._spool
        assert spool is not None
        while spool.unshipped_bytes:
            chunk = await self._on_disk(lambda: spool.next(CHUNK_BYTES))
            await self._shipper.ship_lines(chunk.lines)
            await self._on_disk(partial(self._shipped, chunk.end))
            await self._count(len(chunk.lines))
        if spool.is_stale:
            await self._on_disk(lambda: spool.tidy(list(self._open_calls.values())))

    def _shipped(self, end: int) -> None:
        """In the disk thread: an emptied file begins with the calls that live, for an heir."""
        assert self._spool is not None
        self._spool.shipped(end, list(self._open_calls.values()))

    async def _count(self, rows: int) -> None:
        async with self._progress:
            self._rows_done += rows
            while self._marks and self._marks[0][0] <= self._rows_done:
                self._marks.popleft()
            self._progress.notify_all()

    def _close_spool(self) -> None:
        """In the disk thread: what is still in memory goes to the file, which stays if it must."""
        assert self._spool is not None
        if batch := self._pop_all():
            self._append(batch)
        left = self._spool.unshipped_bytes
        if left:
            log.warning("! journal: %d bytes stay in %s", left, self._spool.path)
        # with a call still open it stays too: whoever inherits it ends the call's row
        self._spool.close(remove=not left and not self._open_calls)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)


class _Outage:
    """One log line when Postgres goes, one when it is back, and ever longer waits between."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._retry_s = FIRST_RETRY_S

    def failed(self, reason: str) -> float:
        """Returns how many seconds to wait before the next try."""
        if self._since_s is None:
            self._since_s = time.monotonic()
            self._retry_s = FIRST_RETRY_S
            log.warning("! journal: Postgres is away, rows stay in the spool: %s", reason)
            return self._retry_s
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        return self._retry_s

    def over(self) -> None:
        if self._since_s is not None:
            away_s = time.monotonic() - self._since_s
            log.info("= journal: Postgres is back after %.1f s, the spool is stored", away_s)
            self._since_s = None


async def _forever(job: Callable[[], Awaitable[None]]) -> None:
    """Run ``job`` again and again; a bug in it is logged and must not end the journal."""
    while True:
        try:
            await job()
        except Exception:
            log.exception("! journal: a bug")
            await asyncio.sleep(AFTER_BUG_S)
