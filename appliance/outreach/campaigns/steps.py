"""Starting, pausing and cancelling a campaign: the console, the command and the feeder do it here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.errors import UserError
from appliance.outreach.campaigns.states import Step, after
from appliance.outreach.campaigns.window import window_of
from appliance.settings import Settings
from appliance.store import campaigns as store
from appliance.store.campaigns import Campaign, CampaignState, ContactState
from appliance.store.feeding import take_back

TAKEN_OFF = "the campaign was cancelled"


async def step(
    connection: AsyncConnection,
    settings: Settings,
    campaign: Campaign,
    what: Step,
    why: str = "",
) -> CampaignState:
    """Do it, and what belongs to it; the state that it leads to. ``campaign`` is locked.

    Raises UserError where the state does not allow it, or nobody could ever be rung.
    """
    now = datetime.now(UTC)
    state = after(campaign.state, what)
    values: dict[str, Any] = {"state": state, "why": why}
    match what:
        case Step.START:
            await _check_start(connection, settings, campaign, now)
            values |= {"running_since": now, "started_at": campaign.started_at or now}
        case Step.PAUSE:
            await take_back(connection, campaign.id, now)
        case Step.CANCEL | Step.FINISH:
            await take_back(connection, campaign.id, now)
            reason = why if what is Step.FINISH else TAKEN_OFF
            await store.set_all_waiting(connection, campaign.id, ContactState.CANCELLED, reason)
            values["ended_at"] = now
    await store.change_campaign(connection, campaign.id, values)
    return state


async def _check_start(
    connection: AsyncConnection, settings: Settings, campaign: Campaign, now: datetime
) -> None:
    switch = settings.switch
    window = window_of(
        campaign.hours, switch.calling_hours, switch.timezone, campaign.starts_at, campaign.ends_at
    )
    if window.next_opening(now) is None:
        raise UserError(
            "There is no moment left at which it may ring: look at its hours, its last day and the"
            f" site's calling hours ({switch.calling_hours})."
        )
    if not await store.is_published(connection, campaign.agent_id):
        raise UserError("No version of its agent is published yet. Publish one first.")
    left, _ = await store.left_of(connection, campaign.id)
    if not left:
        raise UserError("Nobody on its list is left to call. Add contacts first.")
