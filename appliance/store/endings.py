"""The terms of ``store.terms`` as SQL over the journal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select

from appliance.store.measures import REHEARSAL
from appliance.store.models import CallRow, TurnRow
from appliance.store.outcomes import TRANSFER_CAUSES, Outcome, outcome_column
from appliance.store.questions import ANSWERED
from appliance.store.terms import BY_SUPERVISOR, ENDINGS, Ending

COUNTS = and_(CallRow.direction != "test", ~CallRow.caller.startswith(REHEARSAL, autoescape=True))
"""On CallRow: calls that are in the figures."""
TRANSFERRED = CallRow.cause.in_(TRANSFER_CAUSES)
ASKED_FOR_PERSON = or_(CallRow.transferred_to != "", TRANSFERRED)
REASON = case((CallRow.transfer_reason == "", BY_SUPERVISOR), else_=CallRow.transfer_reason)
"""Why the call went to a person, where it did."""

ANSWERED_TURN = or_(
    TurnRow.gap_ms.is_not(None),
    and_(
        # a key was pressed: there is no end of speech to count a gap from
        TurnRow.source.in_(ANSWERED),
        TurnRow.stages["speech_end"].astext.is_(None),
        TurnRow.stages["first_frame"].astext.is_not(None),
    ),
)
"""On TurnRow: something that the caller said or keyed was followed by a reply they heard. Words that
were erased since change nothing."""


def ending(heard_gap: ColumnElement[Any]) -> ColumnElement[str]:
    """:func:`terms.ending_of` of a CallRow; null while it lives.

    ``heard_gap``: how many of its turns have a gap, where that was counted already (null: none). Only
    a call that seems abandoned has its turns looked at.
    """
    # a scalar subquery, not EXISTS: that might become one look at all turns there are
    answered = (
        select(literal(True))
        .where(TurnRow.call_id == CallRow.call_id, ANSWERED_TURN)
        .limit(1)
        .scalar_subquery()
    )
    outcome = outcome_column()
    unanswered = and_(
        outcome == Outcome.CALLER.value, func.coalesce(heard_gap, 0) == 0, answered.is_(None)
    )
    counted = {kind.value: found.value for kind, found in ENDINGS.items()}
    return case((unanswered, Ending.ABANDONED.value), else_=case(counted, value=outcome))
