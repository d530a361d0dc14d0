"""Campaigns on a real database: what is put on the list of calls, and what becomes of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.jobs.periodic import PERIODIC, run_alone
from appliance.outreach.campaigns.contacts import read_contacts
from appliance.outreach.campaigns.feeder import Fed, feed
from appliance.outreach.campaigns.loading import load_contacts
from appliance.outreach.campaigns.room import ask_room
from appliance.outreach.campaigns.states import Step
from appliance.settings import Settings, Switch
from appliance.store.campaigns import CampaignState, ContactState
from appliance.store.models import AgentRow, OutboundRow
from appliance.store.outbound import add_do_not_call, enqueue
from appliance.store.outreach_models import ContactRow
from appliance.telephony.hours import parse_hours
from tests.campaign_kit import (
    Workers,
    campaign,
    contacts,
    do,
    listed,
    make_campaign,
    over,
    set_state,
    workers,
)

pytestmark = pytest.mark.server
PEOPLE = [f"+9198111{n:05d}" for n in range(40)]
HUMAN = "human:short greeting"


@pytest.fixture
async def said() -> AsyncIterator[Workers]:
    async with workers() as there:
        yield there


@pytest.fixture
def settings(said: Workers, tmp_path: Path) -> Settings:
    switch = Switch(worker_urls=(said.url,), calling_hours="always", max_calls=200)
    return Settings(data_dir=tmp_path, switch=switch)


async def running(
    engine: AsyncEngine, settings: Settings, count: int = 12, **values: object
) -> int:
    id_ = await make_campaign(engine, PEOPLE[:count], **values)
    assert await do(engine, settings, id_, Step.START) is CampaignState.RUNNING
    return id_


async def test_a_campaign_from_start_to_end(
    engine: AsyncEngine, settings: Settings, said: Workers
) -> None:
    id_ = await running(engine, settings, 5, most_at_once=3, max_attempts=2, retry_after_s=1)
    assert await feed(engine, settings) == Fed(listed=3)
    first = await listed(engine, "waiting")
    assert [row["number"] for row in first] == PEOPLE[:3]
    assert {row["max_attempts"] for row in first} == {1}
    await over(engine, [first[0]["id"]], "done", HUMAN)
    await over(engine, [first[1]["id"]], "failed", "USER_BUSY")
    await over(engine, [first[2]["id"]], "failed", "UNALLOCATED_NUMBER")
    assert await feed(engine, settings) == Fed(settled=3, listed=2)
    found = await contacts(engine, id_)
    assert [(c.state, c.result, c.attempts) for c in found[:3]] == [
        (ContactState.REACHED, HUMAN, 1), (ContactState.WAITING, "USER_BUSY", 1),
        (ContactState.FAILED, "UNALLOCATED_NUMBER", 1),
    ]  # fmt: skip
    assert found[0].call_id == first[0]["id"] and found[0].called_at is not None
    await over(engine, [row["id"] for row in await listed(engine, "waiting")], "done", HUMAN)
    await asyncio.sleep(1.1)  # the busy one is due again
    assert await feed(engine, settings) == Fed(settled=2, listed=1)
    (again,) = await listed(engine, "waiting")
    assert again["number"] == PEOPLE[1]
    await over(engine, [again["id"]], "failed", "NO_ANSWER")
    assert await feed(engine, settings) == Fed(settled=1, ended=1)
    done = await campaign(engine, id_)
    assert done.state is CampaignState.DONE and done.ended_at is not None
    last = (await contacts(engine, id_))[1]
    assert (last.state, last.result, last.attempts) == (ContactState.FAILED, "NO_ANSWER", 2)
    assert await feed(engine, settings) == Fed()


async def test_callers_come_first(engine: AsyncEngine, settings: Settings, said: Workers) -> None:
    await running(engine, settings, 20, most_at_once=20, capacity_share=0.5)
    said.capacity, said.calls = 20, 14
    assert (await feed(engine, settings)).listed == 3
    said.calls = 20
    assert (await feed(engine, settings)).listed == 0
    said.calls = 0
    assert (await feed(engine, settings)).listed == 7


async def test_whoever_else_has_calls_on_the_list_is_counted(
    engine: AsyncEngine, settings: Settings, said: Workers
) -> None:
    id_ = await running(engine, settings, 20, most_at_once=20, capacity_share=1.0)
    said.capacity = 10
    async with engine.begin() as connection:
        for number in PEOPLE[30:36]:
            await connection.run_sync(lambda c, n=number: enqueue(c, n, "help", "IN"))
        later = datetime.now(UTC) + timedelta(hours=1)
        await connection.run_sync(lambda c: enqueue(c, PEOPLE[36], "help", "IN", at=later))
    assert (await feed(engine, settings)).listed == 4
    mine = [row["id"] for row in await listed(engine) if row["number"] in PEOPLE[:20]]
    await set_state(engine, mine, "talking")
    said.calls = 4
    assert (await feed(engine, settings)).listed == 0
    assert (await campaign(engine, id_)).state is CampaignState.RUNNING


async def test_two_campaigns_share_what_is_free(
    engine: AsyncEngine, settings: Settings, said: Workers
) -> None:
    said.capacity = 10
    one = await running(engine, settings, 20, most_at_once=20, capacity_share=0.8)
    two = await running(engine, settings, 20, most_at_once=20, capacity_share=0.8)
    assert (await feed(engine, settings)).listed == 8 + 1  # 80 % of 10, 80 % of what is left
    assert len(await listed(engine)) == 9
    assert {c.state for c in await contacts(engine, one)} == {"waiting", "queued"}
    assert sum(c.state == "queued" for c in await contacts(engine, two)) == 1


async def test_pausing_takes_back_what_waits_and_lets_the_rest_finish(
    engine: AsyncEngine, settings: Settings
) -> None:
    id_ = await running(engine, settings, 8, most_at_once=4)
    await feed(engine, settings)
    rows = await listed(engine)
    await set_state(engine, [rows[0]["id"]], "dialling")
    await set_state(engine, [rows[1]["id"]], "talking")
    assert await do(engine, settings, id_, Step.PAUSE) is CampaignState.PAUSED
    assert not await listed(engine, "waiting")
    assert await feed(engine, settings) == Fed()
    states = [c.state for c in await contacts(engine, id_)]
    assert states.count(ContactState.QUEUED) == 2 and states.count(ContactState.WAITING) == 6
    # the switch found no free trunk: it waits again, and is taken back before it is due
    await set_state(engine, [rows[0]["id"]], "waiting")
    assert await feed(engine, settings) == Fed(taken_back=1)
    await over(engine, [rows[1]["id"]], "done", HUMAN)
    assert await feed(engine, settings) == Fed(settled=1)
    assert await do(engine, settings, id_, Step.START) is CampaignState.RUNNING
    assert (await feed(engine, settings)).listed == 4
    found = await contacts(engine, id_)
    assert {c.attempts for c in found if c.state is ContactState.QUEUED} == {0}


async def test_cancelling_takes_everybody_off(engine: AsyncEngine, settings: Settings) -> None:
    id_ = await running(engine, settings, 8, most_at_once=4)
    await feed(engine, settings)
    rows = await listed(engine)
    await set_state(engine, [rows[0]["id"]], "talking")
    assert await do(engine, settings, id_, Step.CANCEL) is CampaignState.CANCELLED
    states = [c.state for c in await contacts(engine, id_)]
    assert states.count(ContactState.CANCELLED) == 7 and states.count(ContactState.QUEUED) == 1
    await over(engine, [rows[0]["id"]], "done", HUMAN)
    await feed(engine, settings)
    assert (await contacts(engine, id_))[0].state is ContactState.REACHED
    with pytest.raises(UserError, match="cancelled cannot be started"):
        await do(engine, settings, id_, Step.START)


async def test_it_pauses_itself_when_half_of_its_calls_fail(
    engine: AsyncEngine, settings: Settings
) -> None:
    id_ = await running(engine, settings, 30, most_at_once=20, capacity_share=1.0)
    await feed(engine, settings)
    ids = [row["id"] for row in await listed(engine)]
    await over(engine, ids[:9], "failed", "GATEWAY_DOWN")
    await over(engine, ids[9:], "failed", "USER_BUSY")
    await feed(engine, settings)
    assert (await campaign(engine, id_)).state is CampaignState.RUNNING
    await over(engine, [r["id"] for r in await listed(engine, "waiting")], "failed", "GATEWAY_DOWN")
    assert (await feed(engine, settings)).ended == 1
    paused = await campaign(engine, id_)
    assert paused.state is CampaignState.PAUSED and "GATEWAY_DOWN" in paused.why
    await do(engine, settings, id_, Step.START)  # what was before counts no more
    async with engine.begin() as connection:
        await connection.execute(update(ContactRow).values(next_at=datetime.now(UTC)))
    assert (await feed(engine, settings)).listed == 20


async def test_outside_its_window_nobody_is_listed_and_what_waits_is_taken_back(
    engine: AsyncEngine, settings: Settings
) -> None:
    id_ = await running(engine, settings, 5)
    assert (await feed(engine, settings)).listed == 5
    day = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    switch = settings.switch.model_copy(update={"calling_hours": f"{day} 10:00-11:00"})
    closed = settings.model_copy(update={"switch": switch})
    assert await feed(engine, closed) == Fed(taken_back=5)
    assert "rings again on" in (await campaign(engine, id_)).why
    assert (await feed(engine, settings)).listed == 5
    assert (await campaign(engine, id_)).why == ""


async def test_a_listed_call_carries_hours_no_wider_than_the_window(
    engine: AsyncEngine, settings: Settings
) -> None:
    now = datetime.now(UTC)
    ends = now + timedelta(minutes=30)
    await running(engine, settings, 2, ends_at=ends)
    await feed(engine, settings)
    for row in await listed(engine):
        hours = parse_hours(row["hours"], settings.switch.timezone)
        assert hours.open_at(datetime.now(UTC))
        assert not hours.open_at(ends + timedelta(minutes=1))


async def test_after_its_last_day_it_is_done(engine: AsyncEngine, settings: Settings) -> None:
    id_ = await running(
        engine, settings, 5, most_at_once=2, ends_at=datetime.now(UTC) + timedelta(seconds=90)
    )
    assert (await feed(engine, settings)).listed == 2
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE campaigns SET ends_at = now()"))
    assert (await feed(engine, settings)).ended == 1
    done = await campaign(engine, id_)
    assert done.state is CampaignState.DONE and "last day" in done.why
    assert {c.state for c in await contacts(engine, id_)} == {ContactState.CANCELLED}
    assert not await listed(engine, "waiting")


async def test_nobody_to_call_or_no_time_to_call_is_no_start(
    engine: AsyncEngine, settings: Settings
) -> None:
    empty = await make_campaign(engine, [])
    with pytest.raises(UserError, match="Add contacts first"):
        await do(engine, settings, empty, Step.START)
    late = await make_campaign(engine, PEOPLE[:1], ends_at=datetime.now(UTC))
    with pytest.raises(UserError, match="no moment left"):
        await do(engine, settings, late, Step.START)


async def test_who_is_not_to_be_called_is_kept_and_never_listed(
    engine: AsyncEngine, settings: Settings
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(lambda c: add_do_not_call(c, [PEOPLE[1]], "asked", "IN", "acme"))
    id_ = await make_campaign(engine, PEOPLE[:1])
    sheet = read_contacts("\n".join(PEOPLE[:3]).encode(), "IN")
    async with engine.begin() as connection:
        loaded = await load_contacts(connection, id_, sheet.contacts)
    assert (loaded.added, loaded.there_already, loaded.do_not_call) == (2, 1, 1)
    await do(engine, settings, id_, Step.START)
    await feed(engine, settings)
    assert {row["number"] for row in await listed(engine)} == {PEOPLE[0], PEOPLE[2]}
    states = {c.number: (c.state, c.result) for c in await contacts(engine, id_)}
    assert states[PEOPLE[1]] == (ContactState.REFUSED, "DO_NOT_CALL")


async def test_a_call_whose_row_is_gone_is_settled(engine: AsyncEngine, settings: Settings) -> None:
    id_ = await running(engine, settings, 2, max_attempts=1)
    await feed(engine, settings)
    async with engine.begin() as connection:
        await connection.execute(delete(OutboundRow))
    assert (await feed(engine, settings)).settled == 2
    assert {c.state for c in await contacts(engine, id_)} == {ContactState.FAILED}


async def test_without_workers_nobody_is_rung_and_that_is_said(
    engine: AsyncEngine, settings: Settings, said: Workers
) -> None:
    id_ = await running(engine, settings, 2)
    said.status = "draining"
    assert (await feed(engine, settings)).listed == 0
    assert "No worker answers" in (await campaign(engine, id_)).why
    said.status = "ok"
    assert (await feed(engine, settings)).listed == 2


async def test_workers_that_are_away_or_talk_nonsense_have_no_room(said: Workers) -> None:
    said.capacity, said.calls = 30, 7
    assert (await ask_room([said.url, said.url], 200)).capacity == 30
    room = await ask_room([said.url, "ws://127.0.0.1:1", "ws://127.0.0.1:9/x"], 25)
    assert (room.capacity, room.calls) == (25, 7)
    said.capacity = "many"  # type: ignore[assignment]
    assert (await ask_room([said.url], 200)).capacity == 0


async def test_two_feeders_never_list_a_contact_twice(
    engine: AsyncEngine, settings: Settings, said: Workers
) -> None:
    said.capacity = 100
    await running(engine, settings, 40, most_at_once=10)
    (periodic,) = [entry for entry in PERIODIC if entry.name == "campaigns"]
    runs = [run_alone(engine, settings, periodic), run_alone(engine, settings, periodic)]
    await asyncio.gather(*runs)
    await asyncio.gather(feed(engine, settings), feed(engine, settings))  # without the lock
    rows = await listed(engine)
    assert len(rows) == 10 == len({row["number"] for row in rows})


async def test_an_agent_that_goes_takes_its_campaigns_along(
    engine: AsyncEngine, settings: Settings
) -> None:
    await running(engine, settings, 2)
    await feed(engine, settings)
    async with engine.begin() as connection:
        await connection.execute(delete(AgentRow))
    assert await feed(engine, settings) == Fed()


async def test_any_course_of_events_stays_within_its_limits(
    engine: AsyncEngine, settings: Settings, said: Workers
) -> None:
    """Random looks, ends, pauses and callers: never more under way than may be, and nobody lost."""
    random_ = random.Random(5)
    id_ = await running(engine, settings, 40, most_at_once=6, max_attempts=2, retry_after_s=1)
    for _ in range(60):
        said.calls = random_.randrange(0, 21)
        match random_.randrange(5):
            case 0:
                rows = await listed(engine, "waiting")
                some = random_.sample(rows, min(len(rows), 3))
                await set_state(engine, [row["id"] for row in some], "talking")
            case 1:
                rows = await listed(engine, "waiting", "talking")
                ends = ("done", HUMAN), ("failed", "NO_ANSWER"), ("failed", "GATEWAY_DOWN")
                for row in random_.sample(rows, min(len(rows), 2)):
                    await over(engine, [row["id"]], *random_.choice(ends))
            case 2:
                state = (await campaign(engine, id_)).state
                if state is CampaignState.PAUSED:
                    await do(engine, settings, id_, Step.START)
                elif state is CampaignState.RUNNING and random_.random() < 0.3:
                    await do(engine, settings, id_, Step.PAUSE)
            case _:
                await feed(engine, settings)
        under_way = len(await listed(engine, "waiting", "dialling", "talking"))
        assert under_way <= 6
        found = await contacts(engine, id_)
        assert len(found) == 40 and all(c.attempts <= 2 for c in found)
