"""``ivr campaign``: campaigns for whoever works at the box; the console makes them."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access import audit
from appliance.access.commandline import actor_of_command
from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table
from appliance.outreach.campaigns.states import Step
from appliance.outreach.campaigns.steps import step
from appliance.settings import Settings
from appliance.store import campaigns as store
from appliance.store.campaigns import Campaign, CampaignState, ContactState
from appliance.store.database import answer

MOST_SHOWN = 1000
_DONE = {Step.START: "runs", Step.PAUSE: "is paused", Step.CANCEL: "is cancelled"}


def print_campaigns(settings: Settings, states: list[str], *, as_json: bool) -> None:
    """Those that run first, then the latest."""

    async def work(engine: AsyncEngine) -> list[tuple[Campaign, dict[ContactState, int]]]:
        async with engine.begin() as connection:
            found = await store.list_campaigns(
                connection, None, states=[CampaignState(s) for s in states], limit=MOST_SHOWN
            )
            counts = await store.count_by_state(connection, [one.id for one in found])
        return [(one, counts[one.id]) for one in found]

    found = answer(settings, work)
    if as_json:
        print_json(
            {
                "campaigns": [
                    _facts(one) | {"counts": _named_counts(counts)} for one, counts in found
                ]
            }
        )
        return
    print_table(
        ("id", "name", "agent", "state", "waiting", "reached", "failed", "refused", "why"),
        [
            (
                one.id, one.name, one.agent_id, one.state,
                counts.get(ContactState.WAITING, 0) + counts.get(ContactState.QUEUED, 0),
                counts.get(ContactState.REACHED, 0), counts.get(ContactState.FAILED, 0),
                counts.get(ContactState.REFUSED, 0) + counts.get(ContactState.CANCELLED, 0),
                one.why or "-",
            )
            for one, counts in found
        ],
        "No campaigns. Make one in the console, under Campaigns.",
    )  # fmt: skip


def print_campaign(settings: Settings, id_: int, *, as_json: bool) -> None:
    """One campaign with its results. Raises UserError when there is none of that id."""

    async def work(
        engine: AsyncEngine,
    ) -> tuple[Campaign, dict[ContactState, int], list[tuple[str, int]]]:
        async with engine.begin() as connection:
            found = await _named(connection, id_)
            counts = await store.count_by_state(connection, [id_])
            return found, counts[id_], await store.count_results(connection, id_)

    found, counts, results = answer(settings, work)
    if as_json:
        print_json(_facts(found) | {"counts": _named_counts(counts), "results": dict(results)})
        return
    hours = found.hours or settings.switch.calling_hours
    print(f"{plain(found.name)}: {found.state}{f' ({plain(found.why)})' if found.why else ''}")
    print(f"agent {found.agent_id}, {hours}, {found.most_at_once} at once, tenant {found.tenant}")
    print_table(("contacts", "how many"), [(s, n) for s, n in counts.items()], "Nobody is on it.")
    print_table(("result", "how many"), results, "Nobody has been called yet.")


def move(settings: Settings, id_: int, what: Step, *, as_json: bool) -> None:
    """Start, pause or cancel one. Raises UserError where its state does not allow it."""
    actor = actor_of_command()

    async def work(engine: AsyncEngine) -> Campaign:
        async with engine.begin() as connection:
            found = await _named(connection, id_, lock=True)
            why = f"Paused by {actor.name}." if what is Step.PAUSE else ""
            await step(connection, settings, found, what, why)
            await audit.append(connection, actor, f"campaign.{what}", str(id_), {}, found.tenant)
            return await _named(connection, id_)

    found = answer(settings, work)
    if as_json:
        print_json({"action": what, "campaign": _facts(found)})
    else:
        print(f"Campaign {id_} ({plain(found.name)}) {_DONE[what]}.")


async def _named(connection: AsyncConnection, id_: int, *, lock: bool = False) -> Campaign:
    found = await store.read_campaign(connection, id_, lock=lock)
    if found is None:
        raise UserError(f"There is no campaign {id_}; `ivr campaign list` shows those there are.")
    return found


def _named_counts(counts: dict[ContactState, int]) -> dict[str, int]:
    return {str(state): count for state, count in counts.items()}


def _facts(campaign: Campaign) -> dict[str, Any]:
    return dataclasses.asdict(campaign)
