"""Stepping into live calls from the console, with a worker alone: what is allowed, what is noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.access.roles import Permission, Role
from appliance.admin.console import Console
from appliance.admin.live.state import CallState
from appliance.admin.live.switch import NOT_RUNNING
from appliance.admin.services import live as service
from appliance.errors import UserError
from tests.live_kit import LiveWorker, actor, live_place, live_settings, until
from tests.review_console_kit import (
    ACME,
    ADMIN,
    OPERATOR,
    OTHER_ADMIN,
    VIEWER,
    add_tenants,
    agent_in,
    api_as,
    audited,
)

pytestmark = pytest.mark.server


@pytest.fixture
async def place(
    tmp_path: Path, database_url: str, engine: AsyncEngine
) -> AsyncIterator[tuple[Console, LiveWorker, AsyncEngine]]:
    await add_tenants(engine)
    agents = (await agent_in(engine, ACME, "sunrise", greeting="Hello.", silence_prompts=()),)
    settings = live_settings(tmp_path, url=database_url)
    async with live_place(settings, agents) as (hub, worker), aiohttp.ClientSession() as http:
        yield Console(settings, engine, hub, http), worker, engine


async def listening_call(console: Console, worker: LiveWorker) -> str:
    call = await worker.ring("sunrise")
    await until(
        lambda: (v := console.live.look(call.call_id, ADMIN)) and v.state is CallState.LISTENING
    )
    return call.call_id


async def test_without_ivr_switch_what_a_worker_can_do_is_left(
    place: tuple[Console, LiveWorker, AsyncEngine],
) -> None:
    console, worker, engine = place
    call_id = await listening_call(console, worker)
    view = await service.read_call(console, ADMIN, call_id)
    may = service.controls(console, ADMIN, view)
    assert (may.say, may.hang_up, may.listen) == ("", "", "")
    assert {may.transfer, may.take_over, may.ring_listen, may.whisper} == {NOT_RUNNING}
    await service.say(console, ADMIN, call_id, " Offer  them\na refund. ")

    def told() -> list[str]:
        view = console.live.look(call_id, ADMIN)
        assert view is not None
        return [line.text for line in view.lines if line.who == "supervisor"]

    shown = await until(told)
    assert shown[0] == "Offer them a refund."
    with pytest.raises(UserError, match="No ivr switch"):
        await service.transfer(console, ADMIN, call_id, "queue:support", "attended")
    with pytest.raises(UserError, match="No ivr switch"):
        await service.supervise(console, ADMIN, call_id, "2001", "take-over")
    await service.hang_up(console, ADMIN, call_id)
    await until(lambda: console.live.look(call_id, ADMIN).state is CallState.ENDED)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="over"):
        await service.hang_up(console, ADMIN, call_id)
    rows = await audited(engine)
    mine = [(action, subject, tenant) for _, action, subject, tenant in rows if "live" in action]
    assert mine == [("live.say", call_id, ACME), ("live.hangup", call_id, ACME)]


async def test_nobody_else_s_call_is_there(
    place: tuple[Console, LiveWorker, AsyncEngine],
) -> None:
    console, worker, engine = place
    call_id = await listening_call(console, worker)
    assert await service.list_calls(console, OTHER_ADMIN) == ()
    for work in (
        service.read_call(console, OTHER_ADMIN, call_id),
        service.hang_up(console, OTHER_ADMIN, call_id),
        service.say(console, OTHER_ADMIN, call_id, "x"),
        service.transfer(console, OTHER_ADMIN, call_id, "2001", "blind"),
        service.supervise(console, OTHER_ADMIN, call_id, "2001", "listen"),
    ):
        with pytest.raises(NotFoundError):
            await work
    with pytest.raises(NotFoundError):
        async with service.listening(console, OTHER_ADMIN, call_id):
            pass
    assert (await service.board(console, OTHER_ADMIN)).live == 0
    assert (await service.board(console, OPERATOR)).live == 1
    assert not [row for row in await audited(engine) if "live" in row[1]]


async def test_who_looks_does_not_act(place: tuple[Console, LiveWorker, AsyncEngine]) -> None:
    console, worker, _ = place
    call_id = await listening_call(console, worker)
    view = await service.read_call(console, VIEWER, call_id)
    may = service.controls(console, VIEWER, view)
    assert "look" in may.hang_up and "listen" in may.listen
    for work in (
        service.hang_up(console, VIEWER, call_id),
        service.supervise(console, VIEWER, call_id, "2001", "listen"),
    ):
        with pytest.raises(ForbiddenError):
            await work
    nobody = replace(VIEWER, permissions=frozenset({Permission.CALLS_READ}))
    with pytest.raises(ForbiddenError):
        await service.list_calls(console, nobody)


async def test_listening_in_the_browser_is_written_down_before_a_sound_is_heard(
    place: tuple[Console, LiveWorker, AsyncEngine],
) -> None:
    console, worker, engine = place
    call_id = await listening_call(console, worker)
    async with service.listening(console, ADMIN, call_id) as sound, asyncio.timeout(5):
        assert [row[1] for row in await audited(engine) if "live" in row[1]] == ["live.listen"]
        assert len(await anext(sound)) == 3201
    async with engine.begin() as connection:
        from sqlalchemy import text

        await connection.execute(text("ALTER TABLE audit_log RENAME TO gone"))
    with pytest.raises(Exception, match="audit_log"):
        async with service.listening(console, ADMIN, call_id):
            raise AssertionError("it was heard, and nobody knows")


async def test_a_person_has_the_call(place: tuple[Console, LiveWorker, AsyncEngine]) -> None:
    console, worker, _ = place
    call = await worker.ring("sunrise")
    await until(lambda: console.live.look(call.call_id, ADMIN))
    call.give_to_person()
    await until(lambda: console.live.look(call.call_id, ADMIN).state is CallState.PERSON)  # type: ignore[union-attr]
    may = service.controls(console, ADMIN, await service.read_call(console, ADMIN, call.call_id))
    assert "person" in may.say and "person" in may.listen and may.hang_up


async def test_the_api(place: tuple[Console, LiveWorker, AsyncEngine]) -> None:
    console, worker, _ = place
    call_id = await listening_call(console, worker)
    async with api_as(console, ADMIN) as api:
        listed = (await api.get("/live/calls")).json()
        assert [one["call_id"] for one in listed["calls"]] == [call_id]
        assert listed["board"]["live"] == 1
        one = (await api.get(f"/live/calls/{call_id}")).json()
        assert one["call"]["agent_name"] == "Sunrise" and one["controls"]["say"] == ""
        assert one["call"]["lines"][0]["text"] == "Hello."
        said = await api.post(f"/live/calls/{call_id}/say", json={"text": "Be brief."})
        assert said.status_code == 202
        for body in ({}, {"text": ""}, {"text": "x" * 501}, {"text": "x", "more": 1}):
            assert (await api.post(f"/live/calls/{call_id}/say", json=body)).status_code == 422
        refused = await api.post(f"/live/calls/{call_id}/transfer", json={"to": "queue:support"})
        assert refused.status_code == 400 and "ivr switch" in refused.json()["error"]["message"]
        assert (await api.post(f"/live/calls/{call_id}/hangup")).status_code == 202
    async with api_as(console, OTHER_ADMIN) as api:
        assert (await api.get(f"/live/calls/{call_id}")).status_code == 404
    async with api_as(console, actor(Role.OPERATOR)) as api:
        site = (await api.get("/system/status")).json()
        assert [(w["up"], w["status"]) for w in site["site"]["workers"]] == [(True, "ok")]
        codes = {alarm["code"] for alarm in (await api.get("/system/alarms")).json()}
        assert "stage-away" in codes and "no-worker" not in codes
    async with api_as(console, ADMIN) as api:
        assert (await api.get("/system/status")).status_code == 403
