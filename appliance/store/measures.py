"""The journal as figures: when calls and turns were, and how long their stages took. No word that
was said and no number of a caller leaves this file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, RowMapping, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.events import Stages
from appliance.store.calls import LONGEST_CALL
from appliance.store.models import CallRow, TurnRow

REHEARSAL = "rehearsal-"
"""What the callers of ``ivr rehearse`` are called: ``rehearsal-RUN-STEP-NUMBER``."""
MOST_TURNS = 1_000_000
"""More are not read into memory; the latest are."""

_STAGES = TypeAdapter(Stages)


@dataclass(frozen=True, slots=True)
class MeasuredTurn:
    """One turn's times."""

    call_id: str
    index: int
    at: datetime
    source: str
    asked: bool
    """The caller had said something."""
    stages: Stages
    gap_ms: int | None
    kept_speculation: bool
    failed: bool
    """The caller did not get in this turn what was meant."""


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """One call's times and its turns, in order."""

    call_id: str
    agent_id: str
    language: str
    started_at: datetime
    ended_at: datetime | None
    ended_by: str
    cause: str
    late_frames: int
    said_turns: int
    """How many turns it had by its own row; fewer here while the journal is behind."""
    rehearsal: str
    """Name of the caller of a rehearsal; empty: a real one."""
    turns: tuple[MeasuredTurn, ...]


async def calls_of_rehearsal(engine: AsyncEngine, run: str) -> list[MeasuredCall]:
    """The calls that the rehearsal ``run`` placed, in the order of their beginning."""
    return await _read(engine, CallRow.caller.startswith(f"{REHEARSAL}{run}-", autoescape=True))


async def calls_since(
    engine: AsyncEngine, since: datetime, *, rehearsals: bool = False, agent_id: str | None = None
) -> list[MeasuredCall]:
    """The calls that were live at ``since`` or began after it, in the order of their beginning; none
    that somebody made from the console to try an agent."""
    live = or_(
        CallRow.ended_at >= since,
        and_(CallRow.ended_at.is_(None), CallRow.started_at >= since - LONGEST_CALL),
    )
    wanted = [or_(CallRow.started_at >= since, live), CallRow.direction != "test"]
    if not rehearsals:
        wanted.append(~CallRow.caller.startswith(REHEARSAL, autoescape=True))
    if agent_id is not None:
        wanted.append(CallRow.agent_id == agent_id)
    return await _read(engine, and_(*wanted))


async def _read(engine: AsyncEngine, wanted: ColumnElement[bool]) -> list[MeasuredCall]:
    calls = select(
        CallRow.call_id, CallRow.agent_id, CallRow.language, CallRow.started_at, CallRow.ended_at,
        CallRow.ended_by, CallRow.cause, CallRow.late_frames, CallRow.turns, CallRow.caller,
    ).where(wanted).order_by(CallRow.started_at)  # fmt: skip
    turns = (
        select(
            TurnRow.call_id, TurnRow.index, TurnRow.at, TurnRow.source, TurnRow.stages,
            (TurnRow.said != "").label("asked"), TurnRow.gap_ms, TurnRow.kept_speculation,
            TurnRow.failure,
        )
        .join(CallRow, CallRow.call_id == TurnRow.call_id)
        .where(wanted)
        .order_by(TurnRow.at.desc())
        .limit(MOST_TURNS)
    )  # fmt: skip
    by_call: dict[str, list[MeasuredTurn]] = defaultdict(list)
    async with engine.connect() as connection:
        for row in (await connection.execute(turns)).mappings():
            by_call[row["call_id"]].append(_turn(row))
        rows = (await connection.execute(calls)).mappings().all()
    return [_call(row, by_call[row["call_id"]]) for row in rows]


def _turn(row: RowMapping) -> MeasuredTurn:
    return MeasuredTurn(
        call_id=row["call_id"],
        index=row["index"],
        at=row["at"],
        source=row["source"],
        asked=row["asked"],
        stages=_STAGES.validate_python(row["stages"]),
        gap_ms=row["gap_ms"],
        kept_speculation=row["kept_speculation"],
        failed=bool(row["failure"]),
    )


def _call(row: RowMapping, turns: Sequence[MeasuredTurn]) -> MeasuredCall:
    caller = row["caller"]
    return MeasuredCall(
        call_id=row["call_id"],
        agent_id=row["agent_id"],
        language=row["language"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        ended_by=row["ended_by"],
        cause=row["cause"],
        late_frames=row["late_frames"],
        said_turns=row["turns"],
        rehearsal=caller if caller.startswith(REHEARSAL) else "",
        turns=tuple(sorted(turns, key=lambda turn: turn.index)),
    )
