"""What the toll rules have kept from being rung, as the audit log has it: ``ivr switch`` tells."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from appliance.access import audit
from appliance.access.actor import Actor
from appliance.access.roles import Role
from appliance.store.tenancy import owner_of
from appliance.telephony.tollbursts import RangeStop, TollBurst

SWITCH = Actor("ivr switch", Role.OPERATOR, None, frozenset(), via="command")
"""Nobody: a program that says what it did."""


def write(connection: Connection, told: TollBurst | RangeStop) -> None:
    """One row, in the caller's transaction: ``toll.refuse`` of an agent, or ``toll.stop`` of a range,
    which is the operator's. Of numbers only what a log may hold."""
    if isinstance(told, RangeStop):
        detail = {"hours": told.hours, "last_call": told.call, "agent": told.agent}
        audit.append_sync(connection, SWITCH, "toll.stop", told.range, detail, None)
        return
    tenant = owner_of(connection, agent_id=told.agent) if told.agent else None
    detail = {
        "count": told.count,
        "rules": {rule.value: count for rule, count in told.rules.items()},
        "numbers": told.numbers,
        "calls": told.calls,
        "first": datetime.fromtimestamp(told.first_s, UTC),
        "last": datetime.fromtimestamp(told.last_s, UTC),
    }
    audit.append_sync(connection, SWITCH, "toll.refuse", told.agent, detail, tenant)
