"""What was lost, and whether that is more than may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select

from appliance.rehearsal.calls import CallReport
from appliance.store.database import open_engine
from appliance.store.models import CallRow, TurnRow
from tests.faults.load import Lived

ROWS_WITHIN_S = 60.0
"""Rows are written behind the calls; where Postgres was away, after it is back."""
NEVER_MS = float("inf")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a fault may cost."""

    calls: int = 0
    """Calls that may end by it."""
    unanswered: int = 0
    """Questions of all callers that may stay without an answer for 6 s."""
    silence_ms: float = 3500.0
    """The longest a caller may wait for an answer."""
    refused_s: float = 0.0
    """How long new calls may be refused."""
    rows: int = 0
    """Calls whose rows may be missing or stay open."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What it cost."""

    calls: int
    unanswered: int
    silence_ms: float
    """The longest wait of a question that was answered."""
    refused_s: float
    rows: int
    turns: int
    """Questions that were answered, all in all: a run without any proves nothing."""
    whose: tuple[str, ...] = ()
    """Of the unanswered: caller, line, and when it was begun, from the fault on."""

    def beyond(self, allowed: Allowed) -> list[str]:
        """Each thing that is worse than it may be, as a sentence."""
        found = []
        if self.calls > allowed.calls:
            found.append(f"{self.calls} calls ended, {allowed.calls} may")
        if self.unanswered > allowed.unanswered:
            found.append(
                f"{self.unanswered} questions unanswered, {allowed.unanswered} may be: "
                + "; ".join(self.whose)
            )
        if self.silence_ms > allowed.silence_ms:
            found.append(
                f"a caller waited {self.silence_ms:.0f} ms, {allowed.silence_ms:.0f} may be"
            )
        if self.refused_s > allowed.refused_s:
            found.append(
                f"new calls refused for {self.refused_s:.1f} s, {allowed.refused_s} s may be"
            )
        if self.rows > allowed.rows:
            found.append(f"rows of {self.rows} calls missing or open, {allowed.rows} may be")
        if not self.turns:
            found.append("nobody was answered at all")
        return found


async def judge(lived: Lived, name: str, database_url: str) -> Lost:
    """Count what was lost of the calls of ``name``."""
    exchanges = [e for report in lived.calls for e in report.conversation.exchanges]
    waits = [e.gap_ms for e in exchanges if e.gap_ms is not None]
    again = lived.answered_again_s
    return Lost(
        calls=sum(bool(report.error) for report in lived.calls),
        unanswered=sum(e.gap_ms is None for e in exchanges),
        silence_ms=max(waits, default=NEVER_MS),
        refused_s=NEVER_MS if again is None else again,
        rows=await _rows_lost(lived.calls, name, database_url),
        turns=len(waits),
        whose=tuple(_unanswered(lived, name)),
    )


def _unanswered(lived: Lived, name: str) -> Iterator[str]:
    for number, (report, placed_s) in enumerate(zip(lived.calls, lived.placed_s, strict=True)):
        for exchange in report.conversation.exchanges:
            if exchange.gap_ms is None:
                begun_s = placed_s + exchange.start_ms / 1000 - lived.broken_s
                yield f"{name}{number} asked {exchange.line!r} at {begun_s:+.1f} s"


async def _rows_lost(calls: list[CallReport], name: str, database_url: str) -> int:
    """Calls without a closed row whose turns are all there, once the journal had its time."""
    engine = open_engine(database_url)
    until = time.monotonic() + ROWS_WITHIN_S
    whole = (
        select(func.count())
        .select_from(CallRow)
        .where(
            CallRow.caller.contains(name),
            CallRow.ended_at.is_not(None),
            CallRow.turns
            == select(func.count()).where(TurnRow.call_id == CallRow.call_id).scalar_subquery(),
        )
    )
    try:
        while True:
            async with engine.connect() as connection:
                missing = len(calls) - int(await connection.scalar(whole) or 0)
            if missing <= 0 or time.monotonic() > until:
                return missing
            await asyncio.sleep(0.5)
    finally:
        await engine.dispose()
