"""Journal records as lines of a spool and as rows of Postgres."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import and_, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.events import CallRecord, Flag, Redaction, Turn
from appliance.store.base import Base
from appliance.store.models import CallRow, TurnRow
from appliance.store.review_models import FlagRow, RedactionRow

Record = CallRecord | Turn | Flag | Redaction
_KINDS: dict[type[Record], str] = {
    CallRecord: "call",
    Turn: "turn",
    Flag: "flag",
    Redaction: "redaction",
}
_TYPES: dict[str, TypeAdapter[Any]] = {kind: TypeAdapter(of) for of, kind in _KINDS.items()}
_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

LOST_CAUSE = "NORMAL_TEMPORARY_FAILURE"
"""Q.850 cause 41, for calls whose worker died."""


class BadRowError(Exception):
    """This row can never be stored; the message says why."""


def encode(record: Record) -> bytes:
    """One JSON line. NUL and lone surrogates, which Postgres has no place for, become U+FFFD.

    Raises BadRowError.
    """
    kind = _KINDS[type(record)]
    try:
        line = orjson.dumps({kind: record}, option=_OPTIONS)
        if rb"\u0000" not in line:
            return line
    except orjson.JSONEncodeError:
        pass
    try:
        return orjson.dumps({kind: _clean(dataclasses.asdict(record))}, option=_OPTIONS)
    except orjson.JSONEncodeError as e:
        raise BadRowError(str(e)) from e


def decode(line: bytes) -> Record:
    """The inverse of :func:`encode`; checks every field's type. Raises BadRowError."""
    try:
        ((kind, fields),) = orjson.loads(line).items()
        record: Record = _TYPES[kind].validate_python(fields)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRowError(f"{where}: {first['msg']}") from e
    except (ValueError, KeyError, AttributeError) as e:
        raise BadRowError(f"not a row of the journal: {e}") from e
    return record


async def upsert(connection: AsyncConnection, records: Sequence[Record]) -> None:
    """Store ``records``, the latest of each key; the same again changes nothing.

    A call that has ended stays ended when its beginning is replayed. A row of a later part, by the
    worker that took the call over, goes before one of an earlier, and so reopens it.
    """
    found = [r for r in records if isinstance(r, CallRecord)]
    found.sort(key=lambda r: (r.part, r.ended_at is not None))  # stable: the latest of equals last
    calls = {r.call_id: r for r in found}
    turns = {(r.call_id, r.index): r for r in records if isinstance(r, Turn)}
    flags = {r.id: r for r in records if isinstance(r, Flag)}
    spans = {
        (r.call_id, r.side, r.recording, r.begin_ms): r
        for r in records if isinstance(r, Redaction)
    }  # fmt: skip
    # sorted: two processes that write the same rows lock them in the same order
    for statement, found_rows in (
        (_UPSERT_CALL, _sorted(calls)),
        (_UPSERT_TURN, _sorted(turns)),
        (_UPSERT_FLAG, _sorted(flags)),
        (_UPSERT_REDACTION, _sorted(spans)),
    ):
        if found_rows:
            await connection.execute(statement, found_rows)
    if ended := [r.call_id for r in calls.values() if r.ended_at is not None]:
        await connection.execute(_COUNT_GAPS, {"ids": ended})


_COUNT_GAPS = text(
    """
UPDATE calls SET gap_p50_ms = g.p50, gap_p95_ms = g.p95 FROM (
  SELECT call_id, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY gap_ms))::integer AS p50,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY gap_ms))::integer AS p95
  FROM turns WHERE call_id = ANY(:ids) AND gap_ms IS NOT NULL GROUP BY call_id) g
WHERE calls.call_id = g.call_id
"""
)


def _sorted(records: Mapping[Any, Record]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(records[key]) for key in sorted(records)]


def _upsert(model: type[Base], record: type[Record], keys: set[str]) -> Insert:
    statement = insert(model)
    # only what a record says: what others wrote in a row since (moderated, decided) stays
    names = [field.name for field in dataclasses.fields(record)]
    new = statement.excluded
    changes: dict[str, Any] = {name: new[name] for name in names if name not in keys}
    if model is CallRow:  # a worker knows nothing of a supervisor's transfer, which the switch told
        told = func.nullif(new["transferred_to"], "")
        changes["transferred_to"] = func.coalesce(told, CallRow.transferred_to)
    return statement.on_conflict_do_update(
        index_elements=sorted(keys),
        set_=changes,
        where=(
            or_(
                new["part"] > CallRow.part,
                and_(
                    new["part"] == CallRow.part,
                    or_(CallRow.ended_at.is_(None), new["ended_at"].is_not(None)),
                ),
            )
            if model is CallRow
            else None
        ),
    )


_UPSERT_CALL = _upsert(CallRow, CallRecord, {"call_id"})
_UPSERT_TURN = _upsert(TurnRow, Turn, {"call_id", "index"})
_UPSERT_FLAG = _upsert(FlagRow, Flag, {"id"})
_UPSERT_REDACTION = _upsert(RedactionRow, Redaction, {"call_id", "side", "recording", "begin_ms"})


async def end_lost_calls(connection: AsyncConnection, lost: Mapping[str, int]) -> int:
    """End the calls whose worker died with them, at their last turn; returns how many.

    ``lost``: call id -> the part that the dead worker carried. A call that another worker has taken
    over since (a later part) lives on.
    """
    mine = TurnRow.call_id == CallRow.call_id
    last = select(func.max(TurnRow.at)).where(mine).scalar_subquery()
    count = select(func.count()).select_from(TurnRow).where(mine).scalar_subquery()
    statement = (
        update(CallRow)
        .where(
            tuple_(CallRow.call_id, CallRow.part).in_(sorted(lost.items())),
            CallRow.ended_at.is_(None),
        )
        .values(
            ended_at=func.coalesce(func.greatest(last, CallRow.started_at), CallRow.started_at),
            cause=LOST_CAUSE,
            ended_by="system",
            turns=count,
        )
    )
    ended = (await connection.execute(statement)).rowcount
    await connection.execute(_COUNT_GAPS, {"ids": sorted(lost)})
    return ended


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        case dict():
            return {_clean(key): _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case _:
            return value
