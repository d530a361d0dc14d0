"""The console behind the real ``ivr switch`` and two real workers: what it shows, what it does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from appliance.admin.console import Console
from appliance.admin.live.hub import LiveHub
from appliance.admin.live.state import CallState
from appliance.admin.live.view import LiveCallView
from appliance.admin.services import live as service
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_ports
from appliance.ops.sitelook import look
from appliance.settings import load
from appliance.store.database import open_engine
from appliance.store.phonebook import Extension, Trunk
from tests.appliance_kit import Agents
from tests.freeswitch_standin import Standin, standin
from tests.review_console_kit import OPERATOR, audited
from tests.sippeer import Answer
from tests.standin_party import Party
from tests.switch_kit import SwitchSite
from tests.switch_place import DID, PERSON, agents, quiet, script, until

__all__ = ["agents", "script"]
pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]
EXTENSION = "2001"
_numbers = iter(range(10_000, 99_999))
Place = tuple[SwitchSite, Standin, Console]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(open_tmp: Path, script: Path, agents: Agents) -> AsyncIterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="live-", dir=open_tmp))
    folder.chmod(0o755)
    async with standin(folder) as fs, aiohttp.ClientSession() as http:
        fs.policies = {PERSON: Answer(0.2), EXTENSION: Answer(0.2)}
        fs.add_gateway("carrier")
        fs.phones.add(EXTENSION)
        switch = {
            "esl_port": str(fs.event_port),
            "conf_dir": str(folder / "conf"),
            "playback_port": str(free_ports(1)[0]),
        }
        site = SwitchSite(folder / "site", open_tmp / "embedded", script, switch, {})
        fs.password = site.settings.secret("event-socket")
        try:
            await asyncio.to_thread(site.open, agents)
            trunk = Trunk("carrier", "127.0.0.1:5999", addresses=("127.0.0.1/32",), caller_id=DID)
            await asyncio.to_thread(site.add_trunk, trunk)
            await asyncio.to_thread(site.add_extension, Extension(EXTENSION, "0" * 32, "Desk"))
            settings = load(environ=site._environment)
            engine = open_engine(site.postgres.url)
            hub = LiveHub(settings, engine)
            running = asyncio.create_task(hub.run())
            yield site, fs, Console(settings, engine, hub, http)
            running.cancel()
            await asyncio.wait({running})
            await engine.dispose()
        finally:
            await asyncio.to_thread(site.close)


@pytest_asyncio.fixture(loop_scope="module")
async def site(place: Place) -> AsyncIterator[Place]:
    yield place
    site, fs, _ = place
    for channel in list(fs.channels.values()):
        channel.hangup("NORMAL_CLEARING")
    await asyncio.to_thread(site.mend)
    await until(lambda: not site.live())


async def ring(place: Place) -> tuple[Party, str]:
    """A call whose agent has greeted it, and its id."""
    site, fs, _ = place
    caller = await fs.call(DID, f"+9199800{next(_numbers)}")
    await caller.final()
    await quiet(caller)
    (live,) = await asyncio.to_thread(site.live)
    return caller, str(live["call_id"])


async def shown(place: Place, call_id: str, state: CallState) -> LiveCallView:
    hub = place[2].live

    def found() -> LiveCallView | None:
        view = hub.look(call_id, OPERATOR)
        return view if view is not None and view.state is state else None

    view: LiveCallView = await until(found, 20)
    return view


async def test_what_is_shown_and_what_may_be_done(site: Place) -> None:
    console = site[2]
    await until(lambda: all(console.live.workers().values()))
    _, call_id = await ring(site)
    await shown(site, call_id, CallState.LISTENING)
    view = await until(lambda: (v := console.live.look(call_id, OPERATOR)) and v.on_switch and v)
    assert (view.trunk, view.did, view.agent_id, view.direction) == ("carrier", DID, "quick", "in")
    may = service.controls(console, OPERATOR, view)
    assert may == service.Controls("", "", service.NOBODY_TO_COACH, "", "", "", "")
    await service.say(console, OPERATOR, call_id, "It's Sunday today.")
    await until(lambda: console.live.look(call_id, OPERATOR).lines[-1].text == "It's Sunday today.")
    with pytest.raises(UserError, match="refused"):
        await service.transfer(console, OPERATOR, call_id, "nowhere at all", "attended")
    await service.hang_up(console, OPERATOR, call_id)
    await shown(site, call_id, CallState.ENDED)
    site_look = await look(console.settings, console.http, console.engine)
    assert site_look.switch.up and site_look.switch.freeswitch
    assert [trunk.name for trunk in site_look.switch.trunks] == ["carrier"]
    assert [worker.up for worker in site_look.workers] == [True, True]
    noted = [
        action for _, action, subject, _ in await audited(console.engine) if subject == call_id
    ]
    assert noted == ["live.say", "live.transfer", "live.hangup"]


async def test_a_person_gets_the_call_and_stays_on_the_page(site: Place) -> None:
    _, fs, console = site
    _, call_id = await ring(site)
    await service.transfer(console, OPERATOR, call_id, PERSON, "attended")
    view = await shown(site, call_id, CallState.PERSON)
    may = service.controls(console, OPERATOR, view)
    assert may.whisper == "" and may.hang_up == "" and may.say == service.A_PERSON_HAS_IT
    person = await fs.person(PERSON)
    await service.supervise(console, OPERATOR, call_id, EXTENSION, "listen")
    await until(lambda: any(channel.listeners for channel in fs.channels.values()))
    await person.hang_up()
    await shown(site, call_id, CallState.ENDED)


async def test_a_supervisor_takes_the_caller_over(site: Place) -> None:
    console = site[2]
    _, call_id = await ring(site)
    await shown(site, call_id, CallState.LISTENING)
    await until(lambda: (v := console.live.look(call_id, OPERATOR)) and v.on_switch)
    await service.supervise(console, OPERATOR, call_id, EXTENSION, "take-over")
    await shown(site, call_id, CallState.PERSON)
    told = await until(lambda: (v := console.live.look(call_id, OPERATOR)) and v.to)
    assert EXTENSION in told


async def test_a_worker_dies_and_the_call_goes_on_with_its_words(site: Place) -> None:
    place, _, console = site
    caller, call_id = await ring(site)
    view = await shown(site, call_id, CallState.LISTENING)
    await asyncio.to_thread(place.kill, place.worker_of(view.worker))
    view = await until(
        lambda: (v := console.live.look(call_id, OPERATOR)) and v.part == 2 and v, 20
    )
    await shown(site, call_id, CallState.LISTENING)
    assert "Hello." in [line.text for line in view.lines]
    await caller.hang_up()
    await shown(site, call_id, CallState.ENDED)
    await asyncio.to_thread(place.mend)
    await until(lambda: all(console.live.workers().values()), 20)
