"""The hub against a real worker's websocket: calls met in the middle, workers that go, slow readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import NotFoundError
from appliance.access.roles import Role
from appliance.admin.live import hub as hubs
from appliance.admin.live import workers as links
from appliance.admin.live.hub import LiveHub
from appliance.admin.live.state import CallState
from appliance.admin.live.subscription import MOST_CHUNKS, Listener
from appliance.admin.live.view import Change
from appliance.errors import UserError
from appliance.settings import Settings
from appliance.store.access_models import TenantRow
from appliance.store.agents import publish_agent
from appliance.store.models import MAIN_TENANT, AgentRow
from tests.live_kit import (
    LiveWorker,
    actor,
    agent_with,
    hub_running,
    live_place,
    live_settings,
    the_call,
    until,
)

pytestmark = pytest.mark.server

AGENTS = (agent_with(), agent_with(id="B", name="Bela"))


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return live_settings(tmp_path, url=database_url)


@pytest.fixture
async def place(settings: Settings) -> AsyncIterator[tuple[LiveHub, LiveWorker]]:
    async with live_place(settings, AGENTS) as found:
        yield found


async def state_of(hub: LiveHub, call_id: str, state: CallState) -> None:
    def look() -> bool:
        view = the_call(hub, call_id)
        return view is not None and view.state is state

    await until(look)


async def test_a_call_from_ringing_to_its_end(place: tuple[LiveHub, LiveWorker]) -> None:
    hub, worker = place
    async with hub.subscribe(actor(), None) as changes:
        assert (await anext(changes)) == Change((), ())
        call = await worker.ring()
        await state_of(hub, call.call_id, CallState.SPEAKING)  # the greeting
        await state_of(hub, call.call_id, CallState.LISTENING)
        await call.say("what are your hours")
        await state_of(hub, call.call_id, CallState.SPEAKING)
        view = the_call(hub, call.call_id)
        assert view is not None and (view.agent_name, view.did) == ("Asha", "1001")
        assert view.last_caller == "what are your hours" and view.last_agent
        assert len(view.gaps_ms) == 1 and hub.gap_p95(actor()) == view.gaps_ms[0]
        call.hang_up()
        await state_of(hub, call.call_id, CallState.ENDED)
        seen: list[CallState] = []
        async with asyncio.timeout(5):
            async for change in changes:
                seen += [one.state for one in change.calls]
                if seen[-1] is CallState.ENDED:
                    break
        assert (await until(lambda: the_call(hub, call.call_id))).ended_by == "caller"


async def test_the_words_under_way_come_to_who_has_opened_the_call_alone(
    place: tuple[LiveHub, LiveWorker],
) -> None:
    hub, worker = place
    call = await worker.ring()
    await state_of(hub, call.call_id, CallState.LISTENING)
    heard: list[str] = []

    async def follow() -> None:
        async with hub.subscribe(actor(), call.call_id) as changes:
            async for change in changes:
                heard.extend(one.hearing for one in change.calls if one.hearing)

    async with hub.subscribe(actor()):
        saying = asyncio.create_task(call.say("when are you open"))
        await asyncio.sleep(0.8)
        assert (view := the_call(hub, call.call_id)) and not view.hearing
        await saying
    following = asyncio.create_task(follow())
    await until(lambda: not worker.desk.is_watched("another", "partial"))
    await until(lambda: worker.desk.is_watched(call.call_id, "partial"))
    await state_of(hub, call.call_id, CallState.LISTENING)
    await call.say("and where is it")
    await until(lambda: any("and where" in words for words in heard))
    following.cancel()
    await asyncio.wait({following})
    await until(lambda: not worker.desk.is_watched(call.call_id, "partial"))


async def test_a_hub_that_comes_in_mid_call_knows_it(settings: Settings) -> None:
    async with live_place(settings, AGENTS) as (hub, worker):
        call = await worker.ring()
        await state_of(hub, call.call_id, CallState.LISTENING)
        async with hub_running(settings) as second:
            view = await until(lambda: the_call(second, call.call_id))
            assert (view.state, view.agent_id, view.turns) == (CallState.LISTENING, "A", 1)


async def test_a_worker_that_goes_and_comes_back(
    place: tuple[LiveHub, LiveWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "LONGEST_WAIT_S", 0.2)
    hub, worker = place
    kept, over = await worker.ring(), await worker.ring()
    for call in (kept, over):
        await state_of(hub, call.call_id, CallState.LISTENING)
    await worker.cut()
    await state_of(hub, kept.call_id, CallState.LOST)
    with pytest.raises(UserError, match="does not answer"):
        link = hub.link(f"ws://127.0.0.1:{worker.port}")
        assert link is not None
        await link.hang_up(kept.call_id)
    over.hang_up()
    await asyncio.sleep(0.2)
    await worker.start()
    await state_of(hub, kept.call_id, CallState.LISTENING)
    await state_of(hub, over.call_id, CallState.ENDED)  # it ended while nobody looked
    view = the_call(hub, kept.call_id)
    assert view is not None and view.lines  # what was said before stands there still


async def test_a_call_whose_worker_stays_away_is_taken_for_over(
    place: tuple[LiveHub, LiveWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "LOST_SHOWN_S", 0.2)
    monkeypatch.setattr(hubs, "ENDED_SHOWN_S", 0.2)
    monkeypatch.setattr(hubs, "SWEEP_S", 0.1)
    hub, worker = place
    call = await worker.ring()
    await until(lambda: the_call(hub, call.call_id))
    await worker.cut()
    await until(lambda: the_call(hub, call.call_id) is None)


async def test_each_tenant_sees_its_own_calls_alone(
    place: tuple[LiveHub, LiveWorker], engine: AsyncEngine
) -> None:
    hub, worker = place
    async with engine.begin() as connection:
        await connection.execute(TenantRow.__table__.insert().values(id="other", name="Other"))
    for agent in AGENTS:
        await publish_agent(engine, agent)
    async with engine.begin() as connection:
        rows = AgentRow.__table__.update().where(AgentRow.id == "B").values(tenant="other")
        await connection.execute(rows)
    theirs, staff = actor(Role.ADMIN, "other"), actor()
    async with hub.subscribe(theirs) as changes:
        assert (await anext(changes)).calls == ()
        ours, others = await worker.ring("A"), await worker.ring("B")
        await until(lambda: {v.call_id for v in hub.snapshot(staff)} >= {ours.call_id})
        await until(lambda: hub.snapshot(theirs))
        assert [view.call_id for view in hub.snapshot(theirs)] == [others.call_id]
        assert hub.look(ours.call_id, theirs) is None
        with pytest.raises(NotFoundError):
            async with hub.listen(theirs, ours.call_id):
                pass
        async with asyncio.timeout(5):
            change = await anext(changes)
        assert {view.call_id for view in change.calls} == {others.call_id}
        async with hub.subscribe(theirs, ours.call_id) as spied:
            assert await anext(spied) == Change((), ())
        async with engine.begin() as connection:  # the agent is given to somebody else
            back = AgentRow.__table__.update().where(AgentRow.id == "B").values(tenant=MAIN_TENANT)
            await connection.execute(back)
        async with asyncio.timeout(10):
            async for change in changes:
                if change.gone:
                    break
        assert change.gone == (others.call_id,)


async def test_a_slow_page_costs_nobody_anything_and_sees_how_it_ended(
    place: tuple[LiveHub, LiveWorker],
) -> None:
    hub, worker = place
    async with hub.subscribe(actor()) as slow:
        await anext(slow)
        call = await worker.ring()
        await state_of(hub, call.call_id, CallState.LISTENING)
        for _ in range(5000):  # far more than anybody could read
            worker.desk.tell(call.call_id, {"event": "whisper", "ms": 1, "text": "x" * 50})
        worker.desk.tell(call.call_id, {"event": "whisper", "ms": 2, "text": "the last"})
        await until(lambda: (v := the_call(hub, call.call_id)) and v.lines[-1].text == "the last")
        assert slow.waiting == 1
        change = await anext(slow)
        assert [view.lines[-1].text for view in change.calls] == ["the last"]


async def test_actions_reach_the_worker(place: tuple[LiveHub, LiveWorker]) -> None:
    hub, worker = place
    call = await worker.ring()
    await state_of(hub, call.call_id, CallState.LISTENING)
    link = hub.link(f"ws://127.0.0.1:{worker.port}")
    assert link is not None
    await link.whisper(call.call_id, "Offer them a refund.")
    await until(lambda: (v := the_call(hub, call.call_id)) and v.lines[-1].who == "supervisor")
    with pytest.raises(UserError, match="not here"):
        await link.whisper("call-none", "Hello.")
    with pytest.raises(UserError, match="control characters"):
        await link.whisper(call.call_id, "a\nb")
    await link.hang_up(call.call_id)
    await state_of(hub, call.call_id, CallState.ENDED)
    assert call.stream.cause == "NORMAL_CLEARING"


async def test_listening_in(place: tuple[LiveHub, LiveWorker]) -> None:
    hub, worker = place
    call = await worker.ring()
    await until(lambda: the_call(hub, call.call_id))
    async with hub.listen(actor(), call.call_id) as first, hub.listen(actor(), call.call_id) as two:
        async with asyncio.timeout(5):
            pieces = [await anext(first) for _ in range(3)]
            await anext(two)
            assert all(piece[0] == 8 and len(piece) == 1 + 3200 for piece in pieces)
            call.hang_up()
            async for _ in first:  # it ends with the call
                pass
    await until(lambda: not any(w.heard for w in worker.desk._watchers))


async def test_a_listener_who_falls_behind_hears_the_latest() -> None:
    listener = Listener("c1")
    for number in range(2 * MOST_CHUNKS):
        listener.put(bytes([number]))
    assert listener.dropped == MOST_CHUNKS and (await anext(listener)) == bytes([MOST_CHUNKS])


async def test_what_no_worker_of_ours_would_say_changes_nothing(
    place: tuple[LiveHub, LiveWorker],
) -> None:
    hub, worker = place
    for message in (b"[]", b"{", b'{"event":"call"}', b'{"event":"call","call_id":7}',
                    b'{"event":"calls","call_ids":3}', b'{"event":"end","call_id":"never"}',
                    b'{"event":"done","id":[],"why":2}'):  # fmt: skip
        for watcher in worker.desk._watchers:
            watcher.tell(message)
    call = await worker.ring()
    assert (await until(lambda: the_call(hub, call.call_id))).call_id == call.call_id
    assert len(hub.snapshot(actor())) == 1
