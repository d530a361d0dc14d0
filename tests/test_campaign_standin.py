"""A whole campaign through ``ivr switch`` and two workers, behind the stand-in for FreeSWITCH."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.ops.keeping.ports import free_ports
from appliance.outreach.campaigns.contacts import read_contacts
from appliance.outreach.campaigns.feeder import feed
from appliance.outreach.campaigns.loading import load_contacts
from appliance.settings import Settings
from appliance.store import campaigns as store
from appliance.store.campaigns import CampaignState, ContactState
from appliance.store.database import open_engine
from appliance.store.outbound import add_do_not_call
from appliance.store.phonebook import Trunk
from tests.appliance_kit import Agents
from tests.campaign_kit import campaign, contacts, listed
from tests.freeswitch_standin import Standin, standin
from tests.sippeer import Answer, Refuse
from tests.standin_party import Party, State
from tests.switch_kit import SwitchSite
from tests.switch_place import DID, agents, script, sound_after, tone, until

__all__ = ["agents", "script"]
pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]
Place = tuple[SwitchSite, Standin]

HERE = tuple(f"+9198222000{n:02d}" for n in range(6))
BUSY, UNKNOWN, BARRED, ASKED_LATER = (f"+9198222001{n:02d}" for n in range(4))
MOST_AT_ONCE = 2
FEED_EVERY_S = 0.3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(open_tmp: Path, script: Path, agents: Agents) -> AsyncIterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="campaign-", dir=open_tmp))
    folder.chmod(0o755)
    async with standin(folder) as fs:
        fs.policies = {number: Answer(0.1) for number in (*HERE, ASKED_LATER)}
        fs.policies |= {BUSY: Refuse(486), UNKNOWN: Refuse(404)}
        fs.add_gateway("carrier")
        switch = {
            "esl_port": str(fs.event_port),
            "conf_dir": str(folder / "conf"),
            "playback_port": str(free_ports(1)[0]),
            "calling_hours": "always",
        }
        site = SwitchSite(folder / "site", open_tmp / "embedded", script, switch, {})
        fs.password = site.settings.secret("event-socket")
        try:
            await asyncio.to_thread(site.open, agents)
            trunk = Trunk("carrier", "127.0.0.1:5999", addresses=("127.0.0.1/32",), caller_id=DID)
            await asyncio.to_thread(site.add_trunk, trunk)
            yield site, fs
        finally:
            await asyncio.to_thread(site.close)


@pytest_asyncio.fixture(loop_scope="module")
async def engine(place: Place) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(place[0].postgres.url)
    yield engine
    await engine.dispose()


def settings_of(site: SwitchSite) -> Settings:
    """The site's, which `ivr jobs` would have."""
    urls = tuple(str(one["url"]) for one in site.api("GET", "/v1/workers")["workers"])
    switch = site.settings.switch.model_copy(update={"worker_urls": urls})
    return site.settings.model_copy(update={"switch": switch})


async def say_hello(party: Party) -> None:
    """Answer with a word, and go when the agent has greeted."""
    party.play(tone(0.5))
    await sound_after(party, 0, 20)
    await party.hang_up()


async def answer_all(fs: Standin) -> None:
    """Whoever has answered says hello, once."""
    talking: set[int] = set()
    async with asyncio.TaskGroup() as tasks:
        while True:
            for place, party in enumerate(list(fs.rung)):
                if party.state is State.UP and place not in talking:
                    talking.add(place)
                    tasks.create_task(say_hello(party))
            await asyncio.sleep(0.05)


async def feed_on(engine: AsyncEngine, settings: Settings, most: list[int]) -> None:
    """What `ivr jobs` does, somewhat more often; ``most`` gets how many were under way each time."""
    while True:
        await feed(engine, settings)
        most.append(len(await listed(engine, "waiting", "dialling", "talking")))
        await asyncio.sleep(FEED_EVERY_S)


async def test_a_whole_campaign(place: Place, engine: AsyncEngine) -> None:
    site, fs = place
    people = "\n".join(["number,name", *HERE, BUSY, UNKNOWN, BARRED, ASKED_LATER, "12,Wrong"])
    sheet = read_contacts(people.encode(), "IN")
    assert len(sheet.contacts) == 10 and sheet.problem_count == 1
    async with engine.begin() as connection:
        await connection.run_sync(lambda c: add_do_not_call(c, [BARRED], "asked us", "IN"))
        fields = {
            "name": "Dues", "agent_id": "quick", "most_at_once": MOST_AT_ONCE, "max_attempts": 2,
            "retry_after_s": 1, "capacity_share": 1.0,
        }  # fmt: skip
        id_ = await store.create_campaign(connection, fields)
        loaded = await load_contacts(connection, id_, sheet.contacts)
    assert (loaded.added, loaded.do_not_call) == (10, 1)
    started = await asyncio.to_thread(site.ivr, "campaign", "start", str(id_), "--json")
    assert orjson.loads(started.stdout)["campaign"]["state"] == "running", started.stderr
    async with engine.begin() as connection:  # after the list was made: asked when it is due
        await connection.run_sync(lambda c: add_do_not_call(c, [ASKED_LATER], "asked us", "IN"))
    most: list[int] = []
    settings = await asyncio.to_thread(settings_of, site)
    helpers = [
        asyncio.create_task(answer_all(fs)),
        asyncio.create_task(feed_on(engine, settings, most)),
    ]
    try:
        async with asyncio.timeout(90):
            while (await campaign(engine, id_)).state is CampaignState.RUNNING:
                for helper in helpers:
                    assert not helper.done(), helper.exception()
                await asyncio.sleep(0.2)
    finally:
        for helper in helpers:
            helper.cancel()
        for helper in helpers:
            with contextlib.suppress(asyncio.CancelledError):
                await helper
    done = await campaign(engine, id_)
    assert done.state is CampaignState.DONE and done.ended_at is not None
    found = {c.number: c for c in await contacts(engine, id_)}
    for number in HERE:
        assert found[number].state is ContactState.REACHED, found[number]
        assert found[number].result.partition(":")[0] in ("human", "uncertain")
        assert found[number].call_id
    assert (found[BUSY].state, found[BUSY].result) == (ContactState.FAILED, "USER_BUSY")
    assert found[BUSY].attempts == 2
    assert found[UNKNOWN].result == "UNALLOCATED_NUMBER" and found[UNKNOWN].attempts == 1
    for number in (BARRED, ASKED_LATER):
        assert (found[number].state, found[number].result) == (ContactState.REFUSED, "DO_NOT_CALL")
    rung = [party.number for party in fs.rung]
    assert sorted(rung) == sorted([*HERE, BUSY, BUSY, UNKNOWN])
    assert 0 < max(most) <= MOST_AT_ONCE
    shown = await asyncio.to_thread(site.ivr, "campaign", "show", str(id_), "--json")
    told = orjson.loads(shown.stdout)
    assert told["counts"] == {"reached": 6, "failed": 2, "refused": 2}
    assert told["results"]["USER_BUSY"] == 1


async def test_a_pause_is_kept_while_telephones_ring(place: Place, engine: AsyncEngine) -> None:
    site, fs = place
    fs.rung.clear()
    settings = await asyncio.to_thread(settings_of, site)
    numbers = [f"+9198222002{n:02d}" for n in range(4)]  # nobody has told them: they ring on
    async with engine.begin() as connection:
        fields = {"name": "Later", "agent_id": "quick", "most_at_once": 4, "capacity_share": 1.0}
        id_ = await store.create_campaign(connection, fields)
        new = [store.NewContact(number, "", {}) for number in numbers]
        await store.add_contacts(connection, id_, new)
    await asyncio.to_thread(site.ivr, "campaign", "start", str(id_))
    await feed(engine, settings)
    await until(lambda: len(fs.rung) == 4)
    paused = await asyncio.to_thread(site.ivr, "campaign", "pause", str(id_), "--json")
    assert orjson.loads(paused.stdout)["campaign"]["state"] == "paused", paused.stderr
    for party in list(fs.rung):
        await party.hang_up()

    async def over() -> bool:
        await feed(engine, settings)
        return not [c for c in await contacts(engine, id_) if c.state is ContactState.QUEUED]

    async with asyncio.timeout(20):
        while not await over():
            await asyncio.sleep(0.2)
    assert len(fs.rung) == 4  # nobody is rung again
    assert {c.attempts for c in await contacts(engine, id_)} == {1}
    cancelled = await asyncio.to_thread(site.ivr, "campaign", "cancel", str(id_), "--json")
    assert orjson.loads(cancelled.stdout)["campaign"]["state"] == "cancelled"
    listing = await asyncio.to_thread(site.ivr, "campaign", "list")
    assert "Later" in listing.stdout and "cancelled" in listing.stdout
