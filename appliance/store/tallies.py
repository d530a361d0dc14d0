"""How many rows stand in which state, for Prometheus: a few counts over indices, every scrape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from appliance.store.knowledge_models import DocumentRow
from appliance.store.models import OutboundRow
from appliance.store.outreach_models import ContactRow, DeliveryRow

TIMEOUT_MS = 2000
"""Of each statement: who counts holds up nobody."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """Rows by state."""

    documents: Mapping[str, int]
    deliveries: Mapping[str, int]
    outbound: Mapping[str, int]
    contacts: Mapping[str, int]
    attempts: int
    """At contacts of campaigns."""


def read_tallies(connection: Connection) -> Tallies:
    """Count. Raises SQLAlchemyError, also when it takes too long."""
    connection.execute(text(f"SET LOCAL statement_timeout = {TIMEOUT_MS}"))

    def by_state(row: type) -> dict[str, int]:
        query = select(row.state, func.count()).group_by(row.state)  # type: ignore[attr-defined]
        return {str(state): int(count) for state, count in connection.execute(query)}

    attempts = connection.scalar(select(func.coalesce(func.sum(ContactRow.attempts), 0)))
    return Tallies(
        documents=by_state(DocumentRow),
        deliveries=by_state(DeliveryRow),
        outbound=by_state(OutboundRow),
        contacts=by_state(ContactRow),
        attempts=int(attempts or 0),
    )
