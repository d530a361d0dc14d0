"""The audit log: who did what to what, in rows chained by their hashes.

Each row's hash is SHA-256 over all its fields and the hash of the row before, so that no row can be
changed, removed or put elsewhere without every later one showing it. What a chain cannot show is
that its end was cut off, or that all of it was made anew: for that somebody keeps the head hash
elsewhere, and ``verify`` is given it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access.actor import Actor
from appliance.store import audit_log as store
from appliance.store.audit_log import AuditEntry

GENESIS = "0" * 64
"""What the first row has for the hash of the row before."""
ENCODING = "ivr-audit-1"
"""Begins what is hashed: another encoding would have another name."""
LONGEST_LETTERS = 2000
"""Of one text in a row; the rest is cut."""
LARGEST_DETAIL_BYTES = 32_768
LARGEST_FLOAT = 1e15
"""Above, what JSONB gives back need not be the number that was written."""
BATCH_ROWS = 2000


async def append(
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    tenant: str | None,
) -> None:
    """Write one row in the caller's transaction: both stand, or neither.

    ``action`` is NOUN.VERB, ``subject`` an id, ``tenant`` whose matter it is (None: the operator's).
    ``detail`` holds what JSON holds, dates and enum members; never a secret or a caller's words.

    Call it last: from here to the end of the transaction every other append waits.
    """
    await connection.run_sync(append_sync, actor, action, subject, detail, tenant)


def append_sync(
    connection: Connection,
    actor: Actor,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    tenant: str | None,
) -> None:
    """As :func:`append`, for commands that ask without an event loop."""
    plain = _plain_detail(detail)
    tail = store.hold_tail(connection)
    entry = AuditEntry(
        id=tail.id + 1,
        at=tail.now,
        actor=_cleaned(actor.name),
        tenant=tenant,
        address=_cleaned(actor.address),
        action=_cleaned(action),
        subject=_cleaned(subject),
        detail=plain,
        previous_hash=tail.hash or GENESIS,
        hash="",
    )
    store.add(connection, replace(entry, hash=hash_of(entry)))


def hash_of(entry: AuditEntry) -> str:
    """SHA-256, in hex, of all fields but ``hash``: a JSON array, so that no two rows encode alike."""
    fields = [
        *(ENCODING, entry.id, entry.at.astimezone(UTC).isoformat(timespec="microseconds")),
        *(entry.actor, entry.tenant, entry.address, entry.action, entry.subject),
        *(_canonical(entry.detail), entry.previous_hash),
    ]
    encoded = json.dumps(fields, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(encoded.encode("ascii")).hexdigest()


def _canonical(value: Any) -> Any:
    """One form for numbers that JSONB may give back in another: 2.0 is 2."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _plain_detail(detail: Mapping[str, Any]) -> dict[str, Any]:
    """``detail`` as JSONB keeps it. Raises ValueError where it is too large: a caller's mistake."""
    plain: dict[str, Any] = _plain(detail)
    if len(json.dumps(plain)) > LARGEST_DETAIL_BYTES:
        raise ValueError(f"the detail of an audit row is over {LARGEST_DETAIL_BYTES} bytes")
    return plain


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return _plain(value.value)
        case bool() | int() | None:
            return value
        case float():
            return value if abs(value) < LARGEST_FLOAT else str(value)  # NaN too
        case datetime():
            return value.isoformat()
        case Mapping():
            return {_cleaned(str(key)): _plain(item) for key, item in value.items()}
        case str():
            return _cleaned(value)
        case Sequence() | set() | frozenset():
            items = sorted(value) if isinstance(value, (set, frozenset)) else value
            return [_plain(item) for item in items]
        case _:
            return _cleaned(str(value))


def _cleaned(text: str) -> str:
    """What Postgres can keep: no NUL, no half of a surrogate pair; cut."""
    text = text[:LONGEST_LETTERS].replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a walk along the chain found."""

    rows: int
    """Read, the broken one included."""
    first_bad: int | None
    """Id of the first row that is not as it was written, or is not there; None: all is well."""
    why: str
    """In one sentence; empty: all is well."""
    head: str
    """Hash of the last good row: kept elsewhere, it tells later that nothing was cut off."""


async def verify(engine: AsyncEngine, expect: str = "") -> Verified:
    """Walk the whole chain from its first row. ``expect``: a head hash of an earlier walk, which must
    still be somewhere in it."""
    walk = _Walk(expect.strip().lower())
    async with engine.connect() as connection:
        first = await store.least_id(connection)
        after = 0 if first is None else min(0, first - 1)
    while walk.why == "":
        async with engine.connect() as connection:  # not held while the batch is hashed
            batch = await store.read_after(connection, after, BATCH_ROWS)
        if not batch:
            break
        await asyncio.to_thread(walk.take, batch)
        after = batch[-1].id
    return walk.result()


def is_hash(text: str) -> bool:
    """Whether ``text`` can be the hash of a row."""
    return len(text) == len(GENESIS) and set(text) <= set("0123456789abcdef")


class _Walk:
    """Where the walk stands."""

    def __init__(self, expect: str) -> None:
        self._expect = expect
        self._expect_seen = expect in ("", GENESIS)
        self._head = GENESIS
        self._rows = 0
        self._first_bad: int | None = None
        self.why = ""

    def take(self, batch: Sequence[AuditEntry]) -> None:
        """Go on over ``batch``, up to the first row that is wrong."""
        for entry in batch:
            self._rows += 1
            self._judge(entry)
            if self.why:
                return
            self._head = entry.hash
            self._expect_seen |= entry.hash == self._expect

    def _judge(self, entry: AuditEntry) -> None:
        place = self._rows
        own = hash_of(entry) == entry.hash
        follows = entry.previous_hash == self._head
        if entry.id > place:
            self._bad(place, f"Row {place} is missing: row {entry.id} comes after {place - 1}.")
        elif entry.id < place:
            self._bad(entry.id, f"Row {entry.id} was put in: the log begins with row 1.")
        elif not own and follows:
            self._bad(place, f"Row {place} was changed after it was written.")
        elif not own:
            self._bad(
                place,
                f"Row {place} stands where another stood: rows were put in another order,"
                " or removed and numbered anew.",
            )
        elif not follows:
            bad = max(1, place - 1)
            self._bad(bad, f"Row {bad} was changed, and its hash made anew.")

    def _bad(self, row: int, why: str) -> None:
        self._first_bad, self.why = row, why

    def result(self) -> Verified:
        if not self.why and not self._expect_seen:
            self._bad(
                self._rows + 1,
                "No row has the expected hash: the end of the log was cut off, or all of it was"
                " written anew.",
            )
        return Verified(self._rows, self._first_bad, self.why, self._head)
