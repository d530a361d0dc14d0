"""What ``ivr jobs`` does for campaigns every few seconds: settle calls that are over, list new ones.

A call of a campaign is a row of ``outbound_calls`` with one attempt: when it is over, the contact waits
for its next turn here, not on the list. So never more of them ring than the campaign may have at once,
also when an hour's busy telephones are due again, and pausing has little to take back.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.outreach.campaigns import breaker
from appliance.outreach.campaigns.pacing import EVERY_S, Pace, Room, may_begin, obstacle
from appliance.outreach.campaigns.room import ask_room
from appliance.outreach.campaigns.states import Step, settled
from appliance.outreach.campaigns.steps import step
from appliance.outreach.campaigns.window import Window, span_text, window_of
from appliance.settings import Settings
from appliance.store import campaigns as store
from appliance.store import feeding
from appliance.store.campaigns import Campaign, CampaignState
from appliance.store.outbound import enqueue

SETTLED_AT_ONCE = 500
MOST_BATCHES = 20
"""What is over beyond that is settled at the next look."""
NEVER = "Its last day has passed."
ALL_CALLED = ""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fed:
    """What one look did."""

    settled: int = 0
    listed: int = 0
    taken_back: int = 0
    ended: int = 0
    """Campaigns that are done, or have paused themselves."""


async def feed(engine: AsyncEngine, settings: Settings) -> Fed:
    """One look at all campaigns. Only one process does it at a time (``jobs/periodic.py``)."""
    done: Counter[str] = Counter(settled=await _settle(engine))
    async with engine.begin() as connection:
        there = await store.campaigns_to_look_at(connection)
    if not there:
        return Fed(done["settled"])
    running = [id_ for id_, state in there if state is CampaignState.RUNNING]
    for id_, state in there:
        if state is not CampaignState.RUNNING:
            async with engine.begin() as connection:
                done["taken_back"] += await feeding.take_back(connection, id_, datetime.now(UTC))
    if running:
        switch = settings.switch
        urls = settings.worker.and_spare(switch.worker_urls)
        room = await ask_room(urls, switch.max_calls)
        for id_ in await _least_busy_first(engine, running):
            done.update(await _feed_one(engine, settings, id_, room))
    return Fed(**{field.name: done[field.name] for field in fields(Fed)})


async def _least_busy_first(engine: AsyncEngine, ids: list[int]) -> list[int]:
    async with engine.begin() as connection:
        under_way = await feeding.under_way(connection)
    return sorted(ids, key=lambda id_: under_way.get(id_, Counter()).total())


async def _settle(engine: AsyncEngine) -> int:
    count = 0
    for _ in range(MOST_BATCHES):
        async with engine.begin() as connection:
            calls = await feeding.calls_over(connection, SETTLED_AT_ONCE)
            if calls:
                await feeding.settle_contacts(connection, [_change(call) for call in calls])
        count += len(calls)
        if len(calls) < SETTLED_AT_ONCE:
            break
    return count


def _change(call: feeding.Call) -> dict[str, object]:
    attempts = call.attempts + 1
    ended = call.ended_at or datetime.now(UTC)
    found = settled(call.outcome, call.result, attempts, call.max_attempts)
    wait = timedelta(seconds=call.retry_after_s if found.again else 0)
    return {
        "contact_id": call.contact_id,
        "state": found.state,
        "result": call.result,
        "call_id": call.call_id,
        "attempts": attempts,
        "next_at": ended + wait,
        "called_at": ended,
    }


async def _feed_one(
    engine: AsyncEngine, settings: Settings, campaign_id: int, room: Room
) -> Counter[str]:
    """One campaign, in one transaction that holds its row: a pause that was told before is kept."""
    async with engine.begin() as connection:
        campaign = await store.read_campaign(connection, campaign_id, lock=True)
        if campaign is None or campaign.state is not CampaignState.RUNNING:
            return Counter()
        try:
            return await _look(connection, settings, campaign, room)
        except UserError as e:  # its hours cannot be read any more, or its numbers
            log.warning("! campaign %d pauses: %s", campaign.id, e)
            await step(connection, settings, campaign, Step.PAUSE, f"Paused by itself: {e}")
            return Counter(ended=1)


async def _look(
    connection: AsyncConnection, settings: Settings, campaign: Campaign, room: Room
) -> Counter[str]:
    now, switch = datetime.now(UTC), settings.switch
    window = window_of(
        campaign.hours, switch.calling_hours, switch.timezone, campaign.starts_at, campaign.ends_at
    )
    left, next_at = await store.left_of(connection, campaign.id)
    if not left or window.is_over(now):
        await step(connection, settings, campaign, Step.FINISH, NEVER if left else ALL_CALLED)
        log.info("= campaign %d is done", campaign.id)
        return Counter(ended=1)
    recent = await store.recent_results(
        connection, campaign.id, campaign.running_since, breaker.LAST_CALLS
    )
    if why := breaker.verdict(recent):
        log.warning("! campaign %d pauses by itself", campaign.id)
        await step(connection, settings, campaign, Step.PAUSE, why)
        return Counter(ended=1)
    until = window.open_until(now)
    if until is None:
        taken = await feeding.take_back(connection, campaign.id, now)
        await _say(connection, campaign, _closed(window, now))
        return Counter(taken_back=taken)
    listed, why = await _list_more(connection, settings, campaign, room, (now, until, window))
    if not listed and not why and next_at is not None and next_at > now:
        at = next_at.astimezone(window.own.zone)
        why = f"Everybody has been called once; the next try is due at {at:%a %d %b, %H:%M}."
    await _say(connection, campaign, why)
    return Counter(listed=listed)


async def _list_more(
    connection: AsyncConnection,
    settings: Settings,
    campaign: Campaign,
    room: Room,
    span: tuple[datetime, datetime, Window],
) -> tuple[int, str]:
    """Put as many of its contacts on the list as may be; how many, and why no more."""
    now, until, window = span
    mine = (await feeding.under_way(connection)).get(campaign.id, Counter())
    not_talking = mine["waiting"] + mine["dialling"]
    soon = now + timedelta(seconds=EVERY_S)
    elsewhere = max(0, await feeding.coming(connection, soon) - not_talking)
    pace = Pace(campaign.most_at_once, campaign.capacity_share, mine.total(), mine["talking"])
    number = may_begin(room, elsewhere, pace)
    contacts = await store.due_contacts(connection, campaign.id, now, number) if number else []
    hours = span_text(now, until, window.own)
    for contact_id, to in contacts:
        call = await connection.run_sync(
            lambda c, to=to: enqueue(  # type: ignore[misc]
                c, to, campaign.agent_id, settings.switch.country, max_attempts=1, hours=hours
            )
        )
        await store.set_queued(connection, contact_id, call.id)
    return len(contacts), "" if contacts or mine else obstacle(room, elsewhere, pace)


async def _say(connection: AsyncConnection, campaign: Campaign, why: str) -> None:
    if why != campaign.why:
        await store.change_campaign(connection, campaign.id, {"why": why})


def _closed(window: Window, now: datetime) -> str:
    opening = window.next_opening(now)
    if opening is None:
        return "Its hours never come again."
    return f"It rings again on {opening.astimezone(window.own.zone):%a %d %b at %H:%M}."
