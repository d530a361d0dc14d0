"""A list of contacts into a campaign: who is on the do-not-call list is kept, and never rung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.outreach.campaigns.contacts import Contact
from appliance.store.campaigns import ContactState, NewContact, add_contacts
from appliance.store.donotcall import on_do_not_call

DO_NOT_CALL = "DO_NOT_CALL"
"""As ``telephony/dialler.py`` writes it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a list."""

    added: int
    there_already: int
    do_not_call: int
    """Of the whole list; those added among them are ``refused`` from the beginning."""


async def load_contacts(
    connection: AsyncConnection, campaign_id: int, contacts: Sequence[Contact]
) -> Loaded:
    """Add them; whose number the campaign has already stays as it is there."""
    barred = await on_do_not_call(connection, [c.number for c in contacts])
    new = [
        NewContact(
            c.number,
            c.name,
            c.fields,
            ContactState.REFUSED if c.number in barred else ContactState.WAITING,
            DO_NOT_CALL if c.number in barred else "",
        )
        for c in contacts
    ]
    added = await add_contacts(connection, campaign_id, new)
    return Loaded(added, len(new) - added, len(barred))
