"""Who talks with whom, for those who look on."""

from __future__ import annotations

from datetime import datetime

from appliance.events import Agent, Offer


def who(offer: Offer, agent: Agent, started_at: datetime) -> dict[str, object]:
    """Of the event ``call``: all of a call that does not change (docs/wires.md §1)."""
    return {
        "did": offer.did,
        "caller": offer.caller,
        "direction": offer.direction,
        "part": offer.part,
        "agent": agent.name,
        "agent_id": agent.id,
        "version": agent.version,
        "language": agent.language,
        "started_at": started_at.isoformat(),
    } | ({"bot": True} if agent.bot_url else {})
