"""A worker in this process for those who look on: real desk, media server and calls, emulated engines.

Its callers are scripted (tests/telephone.py); what is told of them goes over real websockets.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Role
from appliance.admin.live.hub import LiveHub
from appliance.admin.live.view import LiveCallView
from appliance.call.desk import Desk
from appliance.call.life import PERSON_HAS_IT
from appliance.events import Agent, Offer
from appliance.media.server import MediaServer
from appliance.ops.keeping.ports import free_ports
from appliance.settings import MEDIA_SECRET, Settings
from appliance.store.database import open_engine
from tests.telephone import AGENT, FakeStream, Telephone, agent_with, speech

UNTIL_S = 10.0
_numbers = itertools.count(1)


def actor(role: Role = Role.OPERATOR, tenant: str | None = None) -> Actor:
    return Actor("tester", role, tenant, PERMISSIONS[role])


def live_settings(folder: Any, workers: int = 1, url: str = "") -> Settings:
    """Settings of a console whose workers are on free ports, without ``ivr switch``."""
    first, *others = free_ports(workers + 1)
    urls = tuple(f"ws://127.0.0.1:{port}" for port in (first, *others[:-1]))
    return Settings.model_validate(
        {
            "data_dir": folder,
            "database": {"url": url or "postgresql://a:b@127.0.0.1:1/c"},
            "worker": {"port": first, "agent_timeout_ms": 10_000},
            "sip": {"worker_urls": urls},
            "switch": {"worker_urls": urls, "api_port": others[-1]},
        }
    )


class Directory:
    """Agents by their id."""

    def __init__(self, agents: tuple[Agent, ...]) -> None:
        self.agents = {agent.id: agent for agent in agents}

    async def agent_for(self, did: str) -> Agent:
        return next(iter(self.agents.values()))

    async def agent_by_id(self, agent_id: str, version: int = 0) -> Agent:
        return self.agents[agent_id]


class OneCall:
    """A scripted caller on the line."""

    def __init__(self, worker: LiveWorker, offer: Offer, session: int) -> None:
        self.call_id = offer.call_id
        self.stream: Any = FakeStream()
        self._worker = worker
        self._offer = offer
        self._session = session
        self._mouth = bytearray()
        self.lobby = worker.desk.admit(offer, self.stream)
        self._task = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        while True:
            frame = bytes(self._mouth[:320]).ljust(320, b"\0")
            del self._mouth[:320]
            self.lobby.on_audio(frame)
            await asyncio.sleep(0.02)

    async def say(self, text: str) -> None:
        """Speak, 300 ms a word."""
        words = text.split()
        self._mouth += speech(300 * len(words))
        for word in words:
            await asyncio.sleep(0.3)
            self._worker.phone.recogniser.sessions[self._session].spoken(word)

    def hang_up(self, cause: str = "NORMAL_CLEARING") -> None:
        self._task.cancel()
        self.lobby.on_hangup(cause)

    def give_to_person(self) -> None:
        self.hang_up(sorted(PERSON_HAS_IT)[0])


class LiveWorker:
    """One worker; it can go and come back on the same port."""

    def __init__(self, settings: Settings, port: int, agents: tuple[Agent, ...]) -> None:
        self._settings = settings
        self.port = port
        self.phone = Telephone(agents[0])
        self.phone.writer.answer = "We are open."
        directory: Any = Directory(agents)
        self.phone.directory = directory
        self.desk = Desk(100)
        self._calls: list[OneCall] = []
        self._server: MediaServer | None = None
        self._pacing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        services = self.phone.services()
        object.__setattr__(services, "watch", self.desk.tell)
        object.__setattr__(services, "is_watched", self.desk.is_watched)
        self.desk.open(services)
        self._pacing = self._pacing or asyncio.create_task(self.phone.pacer.run())
        self._server = MediaServer(self.desk, self._settings.secret(MEDIA_SECRET))
        await self._server.start("127.0.0.1", self.port)

    async def cut(self) -> None:
        """Nobody can reach it any more; its calls go on."""
        assert self._server is not None
        self._server.close()
        for watcher in list(self.desk._watchers):
            watcher._transport.disconnect(graceful=False)
        await asyncio.sleep(0.05)

    async def stop(self) -> None:
        for call in self._calls:
            call.hang_up()
        await asyncio.sleep(0.1)
        await self.desk.drain(2)
        await self.cut()
        if self._pacing is not None:
            self._pacing.cancel()
            await asyncio.wait({self._pacing})

    async def ring(self, agent: str = "", part: int = 1, call_id: str = "") -> OneCall:
        """A call that has been answered."""
        call_id = call_id or f"call-{next(_numbers):04d}"
        offer = Offer(
            call_id, "1001", "+919800000001", 8000, ("127.0.0.1", 9), agent=agent, part=part
        )
        call = OneCall(self, offer, len(self.phone.recogniser.sessions))
        self._calls.append(call)
        await until(lambda: call.stream.answered)
        return call


async def until(look: Callable[[], Any], timeout_s: float = UNTIL_S) -> Any:
    """What ``look`` finds, as soon as it is something."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def hub_running(settings: Settings) -> AsyncIterator[LiveHub]:
    """The hub, watching, on the settings' database."""
    engine = open_engine(settings.database.url)
    hub = LiveHub(settings, engine)
    task = asyncio.create_task(hub.run())
    try:
        yield hub
    finally:
        await hub.close()
        task.cancel()
        await asyncio.wait({task})
        await engine.dispose()
    assert task.cancelled(), task.exception()


@asynccontextmanager
async def live_place(
    settings: Settings, agents: tuple[Agent, ...] = (AGENT,)
) -> AsyncIterator[tuple[LiveHub, LiveWorker]]:
    """A hub that watches one worker."""
    worker = LiveWorker(settings, settings.worker.port, agents)
    await worker.start()
    try:
        async with hub_running(settings) as hub:
            await until(lambda: hub.workers()[f"ws://127.0.0.1:{worker.port}"])
            yield hub, worker
    finally:
        await worker.stop()


def the_call(hub: LiveHub, call_id: str, who: Actor | None = None) -> LiveCallView | None:
    return hub.look(call_id, who or actor())


__all__ = ["AGENT", "agent_with"]
