"""A browser's end of WebRTC, in Python: a microphone that says what it is given, and an ear."""

from __future__ import annotations

import asyncio
import fractions
from contextlib import suppress

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from appliance.admin.tryit.resampling import BROWSER_HZ, Decimator, Interpolator


class Mouth(MediaStreamTrack):
    """A microphone: silence, and what is put into it. 20 ms a frame, on time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = np.zeros(0, np.int16)
        self._at = 0
        self._began = 0.0

    def say(self, pcm: bytes, rate_hz: int) -> float:
        """L16 at ``rate_hz``, from now on; returns when its first sample is sent (the loop's clock)."""
        wide = Interpolator(rate_hz).feed(np.frombuffer(pcm, "<i2"))
        begins_s = self._began + (self._at + len(self._samples)) / BROWSER_HZ
        self._samples = np.concatenate((self._samples, wide))
        return begins_s

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
        self.arrivals: list[tuple[float, int]] = []
        """Of each packet: when it came out of the jitter buffer (the loop's clock), and where in
        ``heard`` it begins, in bytes."""
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
                self.arrivals.append((asyncio.get_running_loop().time(), len(self.heard)))
                left = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)[:, 0]
                self.heard += self._narrow.feed(left.copy()).tobytes()
