"""Calls and turns put into a journal as the appliance would have written them, quickly."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from appliance.store.models import CallRow, TurnRow

BATCH = 5000


def put_calls(
    connection: Connection,
    calls: Iterable[tuple[datetime, float | None]],
    *,
    direction: str = "in",
    turns: int = 0,
    caller: str = "+911",
) -> list[str]:
    """Rows of (began, seconds; None while it lives); their ids."""
    rows: list[dict[str, Any]] = []
    for began, seconds in calls:
        ended = None if seconds is None else began + timedelta(seconds=seconds)
        rows.append(
            {
                "call_id": uuid.uuid4().hex, "did": "1001", "caller": caller, "agent_id": "help",
                "agent_version": 1, "language": "en", "started_at": began, "ended_at": ended,
                "turns": turns, "direction": direction,
            }
        )  # fmt: skip
    _put(connection, CallRow, rows)
    return [row["call_id"] for row in rows]


def put_turns(
    connection: Connection,
    call_id: str,
    at: datetime,
    turns: Sequence[dict[str, Any]],
    *,
    source: str = "llm",
    said: str = "hello",
) -> None:
    """Rows of one call, one for each dict of ``stages``."""
    _put(
        connection,
        TurnRow,
        [
            {
                "call_id": call_id, "index": index, "at": at, "said": said, "reply": "", "heard": "",
                "source": source, "stages": stages, "gap_ms": None, "passages": [],
            }
            for index, stages in enumerate(turns)
        ],
    )  # fmt: skip


def _put(connection: Connection, table: type[Any], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), BATCH):
        connection.execute(insert(table), rows[start : start + BATCH])
