"""What became of a call: one table, as a function of a call and as SQL on its row.

A call that no agent answered (busy, refused, nobody there) has no row in ``calls``; ``legs`` and
``outbound_calls`` tell of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, case, literal

from appliance.events import CallRecord
from appliance.store.models import CallRow

TRANSFER_CAUSES = ("ATTENDED_TRANSFER", "BLIND_TRANSFER")
"""With which the edge ends a call that a person has taken over (``call.life.PERSON_HAS_IT``)."""
EARLY_TURNS = 1
"""The greeting is the first turn."""


class Outcome(StrEnum):
    """How a call ended; the first that holds, in this order."""

    LIVE = "live"
    TRANSFERRED = "transferred"
    """A person has taken the caller over."""
    MACHINE = "machine"
    """We rang an answering machine."""
    CUT_OFF = "cut-off"
    """The line broke, a worker died, or an error of ours ended it."""
    NOBODY_CAME = "nobody-came"
    """A person was asked for and nobody took the call; it ended with the agent."""
    EARLY = "early"
    """The caller hung up before they had said anything."""
    CALLER = "caller"
    """The caller hung up, after a conversation."""
    AGENT = "agent"
    """The agent said goodbye."""


def outcome_of(call: CallRecord) -> Outcome:
    """What became of ``call``."""
    if call.ended_at is None:
        return Outcome.LIVE
    if call.cause in TRANSFER_CAUSES:
        return Outcome.TRANSFERRED
    if call.answered_by.startswith("machine"):
        return Outcome.MACHINE
    if call.ended_by not in ("caller", "agent"):
        return Outcome.CUT_OFF
    if call.transferred_to:
        return Outcome.NOBODY_CAME
    if call.ended_by == "agent":
        return Outcome.AGENT
    return Outcome.EARLY if call.turns <= EARLY_TURNS else Outcome.CALLER


def outcome_column(row: Any = CallRow) -> ColumnElement[str]:
    """The same on ``calls`` (or a subquery with its columns), as text."""
    return case(
        (row.ended_at.is_(None), literal(Outcome.LIVE)),
        (row.cause.in_(TRANSFER_CAUSES), literal(Outcome.TRANSFERRED)),
        (row.answered_by.startswith("machine"), literal(Outcome.MACHINE)),
        (row.ended_by.not_in(("caller", "agent")), literal(Outcome.CUT_OFF)),
        (row.transferred_to != "", literal(Outcome.NOBODY_CAME)),
        (row.ended_by == "agent", literal(Outcome.AGENT)),
        (row.turns <= EARLY_TURNS, literal(Outcome.EARLY)),
        else_=literal(Outcome.CALLER),
    )
