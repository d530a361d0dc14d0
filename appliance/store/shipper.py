"""Lines of spools into Postgres: each row once, a bad one into quarantine, never in the way."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import reason_of
from appliance.events import CallRecord
from appliance.store.rows import BadRowError, Record, decode, end_lost_calls, upsert
from appliance.store.spool import Spool, adopt

log = logging.getLogger(__name__)

CHUNK_BYTES = 16 * 1024
"""Some 20 turns in one transaction: a backlog is stored at 10 000 rows/s and holds up the event
loop, on which calls live, 4 ms at a time (p99; 512 KB: 22 ms)."""
STORE_TIMEOUT_S = 10.0
QUARANTINE = "quarantine.log"
"""In the spool folder: rows that Postgres can never take, one JSON object a line, with why."""
PROGRAM_LIMIT = "54"
"""SQLSTATE class of a value too large for an index."""

AWAY = (SQLAlchemyError, OSError, TimeoutError)
"""What a store raises while Postgres is away, has no tables yet or is full: wait and try again."""


class Quarantine:
    """Where a row goes that can never be stored, for a person to look at."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / QUARANTINE

    def put(self, row: str, reason: str) -> None:
        """Append ``row`` with ``reason``. Blocks on the disk; raises OSError."""
        log.error("! journal: a row went to %s: %s", self._file, reason)
        text = row.encode("utf-8", "replace").decode()
        line = orjson.dumps({"at": datetime.now(UTC), "reason": reason, "row": text})
        with open(self._file, "ab", opener=_private) as out:
            out.write(line + b"\n")


class Shipper:
    """Stores rows in Postgres and tells a bad row from a server in trouble."""

    def __init__(self, engine: AsyncEngine, quarantine: Quarantine) -> None:
        self._engine = engine
        self._quarantine = quarantine

    async def ship_lines(self, lines: Sequence[bytes]) -> list[Record]:
        """Store the rows of ``lines``; returns those that were rows. Raises one of AWAY."""
        records = []
        for line in lines:
            try:
                records.append(decode(line))
            except BadRowError as e:
                await self._put_away(line.decode(errors="replace"), e)
        await self.store(records)
        return records

    async def store(self, records: Sequence[Record]) -> None:
        """Store ``records``; if one of them is at fault, one by one. Raises one of AWAY."""
        try:
            return await self._store_together(records)
        except StatementError as e:
            if not _row_at_fault(e):
                raise
        for record in records:
            try:
                await self._store_together([record])
            except StatementError as e:
                if not _row_at_fault(e):
                    raise
                await self._put_away(repr(record), e)

    async def ship_leftovers(self, folder: Path) -> None:
        """Ship the spools of dead processes in ``folder``, and end the calls that died with them.

        Raises one of AWAY; what is not shipped stays where it is.
        """
        spools = await asyncio.to_thread(adopt, folder)
        try:
            while spools:
                await self._ship_leftover(spools[0])
                spools.pop(0).close(remove=True)
        finally:
            for spool in spools:
                spool.close(remove=False)

    async def _ship_leftover(self, spool: Spool) -> None:
        rows = 0
        open_calls: dict[str, int] = {}
        while spool.unshipped_bytes:
            chunk = await asyncio.to_thread(spool.next, CHUNK_BYTES)
            records = await self.ship_lines(chunk.lines)
            rows += len(records)
            for record in records:
                if isinstance(record, CallRecord):
                    open_calls.pop(record.call_id, None)
                    if record.ended_at is None:
                        open_calls[record.call_id] = record.part
            spool.skip(chunk.end)
        lost = 0
        if open_calls:
            async with asyncio.timeout(STORE_TIMEOUT_S), self._engine.begin() as connection:
                lost = await end_lost_calls(connection, open_calls)
        if rows:
            log.info("= journal: stored %d rows of a dead process, %d calls cut off", rows, lost)

    async def _store_together(self, records: Sequence[Record]) -> None:
        if records:
            async with asyncio.timeout(STORE_TIMEOUT_S), self._engine.begin() as connection:
                await upsert(connection, records)

    async def _put_away(self, row: str, error: Exception) -> None:
        await asyncio.to_thread(self._quarantine.put, row, reason_of(error))


def _row_at_fault(error: StatementError) -> bool:
    if not isinstance(error, DBAPIError):
        return True  # it could not even be written into the statement
    sqlstate = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error, DataError | IntegrityError) or sqlstate.startswith(PROGRAM_LIMIT)


def _private(path: str, flags: int) -> int:
    """Opens a file that we alone may read: its rows hold what callers said."""
    return os.open(path, flags, 0o600)
