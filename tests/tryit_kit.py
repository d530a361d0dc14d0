"""People who try an agent: a console's service, a real worker in this process, and browsers' peers."""

from __future__ import annotations

import asyncio
import fractions
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.admin.console import Console
from appliance.admin.live.hub import LiveHub
from appliance.admin.services import tryit
from appliance.admin.services.tryit import Trying
from appliance.admin.tryit.resampling import BROWSER_HZ, Decimator, Interpolator
from appliance.events import Agent
from appliance.settings import Settings
from tests.live_kit import LiveWorker, actor, live_settings

UNTIL_S = 20.0


class Directory:
    """One agent and its draft."""

    def __init__(self, published: Agent, draft: Agent | None) -> None:
        self.published = published
        self.draft = draft

    async def agent_for(self, did: str) -> Agent:
        return self.published

    async def agent_by_id(self, agent_id: str, version: int = 0) -> Agent:
        return self.published

    async def draft_of(self, agent_id: str) -> Agent:
        assert self.draft is not None
        return self.draft


@asynccontextmanager
async def place(
    settings: Settings, engine: AsyncEngine, published: Agent, draft: Agent | None = None
) -> AsyncIterator[tuple[Console, LiveWorker]]:
    """A console, and a worker that carries real calls with emulated engines."""
    worker = LiveWorker(settings, settings.worker.port, (published,))
    directory: Any = Directory(published, draft)
    worker.phone.directory = directory
    await worker.start()
    async with aiohttp.ClientSession() as http:
        console = Console(settings, engine, LiveHub(settings, engine), http)
        try:
            yield console, worker
        finally:
            await console.test_calls.close()
            await worker.stop()


async def until(
    console: Console, call_id: str, look: Callable[[Trying], object], who: Any = None
) -> Trying:
    """The call, as soon as ``look`` finds it so."""
    async with asyncio.timeout(UNTIL_S):
        async for now in tryit.follow(console, who or actor(), call_id):
            if look(now):
                return now
    raise AssertionError("the call ended before it was so")


class Mouth(MediaStreamTrack):
    """A microphone: silence, and what is put into it. 20 ms a frame, on time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = np.zeros(0, np.int16)
        self._at = 0
        self._began = 0.0

    def say(self, pcm: bytes, rate_hz: int) -> None:
        """L16 at ``rate_hz``, from now on."""
        wide = Interpolator(rate_hz).feed(np.frombuffer(pcm, "<i2"))
        self._samples = np.concatenate((self._samples, wide))

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(self._began + self._at / BROWSER_HZ - loop.time())
        samples = np.zeros(960, np.int16)
        ready, self._samples = self._samples[:960], self._samples[960:]
        samples[: len(ready)] = ready
        frame = AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(samples.tobytes())
        frame.pts, frame.sample_rate = self._at, BROWSER_HZ
        frame.time_base = fractions.Fraction(1, BROWSER_HZ)
        self._at += 960
        return frame


class Peer:
    """A browser: a microphone (or none) and an ear at ``rate_hz``."""

    def __init__(self, rate_hz: int = 8000, *, microphone: bool = True) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.mouth = Mouth()
        self.heard = bytearray()
        """L16 at ``rate_hz``, from the first packet on."""
        self._narrow = Decimator(rate_hz)
        self._listening: asyncio.Task[None] | None = None
        if microphone:
            self.connection.addTrack(self.mouth)
        else:
            self.connection.addTransceiver("audio", direction="recvonly")
        self.connection.on("track", self._on_track)

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp: str = self.connection.localDescription.sdp
        return sdp

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        await self.connection.close()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.create_task(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                left = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)[:, 0]
                self.heard += self._narrow.feed(left.copy()).tobytes()


__all__ = ["actor", "live_settings"]
