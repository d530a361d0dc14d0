"""The way to a browser: WebRTC audio by aiortc, Opus at 48 kHz.

ICE with host candidates only: no STUN or TURN server is asked, so that nothing leaves the network. The
browser's packets of 10 ms are asked for (``a=ptime``, RFC 8866 §6.4), since aiortc's jitter buffer
holds four of them back, whatever their length.
"""

from __future__ import annotations

import asyncio
import fractions
import logging
import re
from collections.abc import Callable

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from appliance.admin.tryit.resampling import BROWSER_HZ, Decimator, Interpolator
from appliance.errors import UserError

log = logging.getLogger(__name__)
logging.getLogger("aioice").setLevel(logging.WARNING)  # a line for each address that it tries

LONGEST_SDP = 64_000
"""Letters; a browser's offer of audio has some 3 000."""
MOST_CANDIDATES = 64
"""Addresses that the offer may have us ask; each gets a few STUN packets."""
ANSWER_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
PACKET_MS = 10
MOST_FRAMES = 10
"""20 ms each that wait for the encoder, when this process stood still: the oldest go."""
_TIME_BASE = fractions.Fraction(1, BROWSER_HZ)
_MEDIA = re.compile(r"^m=(\S+)", re.MULTILINE)
_CANDIDATE = re.compile(r"^a=candidate:", re.MULTILINE)


class BrowserLeg:
    """One browser's sound, both ways. ``answer`` once; ``close`` ends it."""

    def __init__(
        self, rate_hz: int, heard: Callable[[bytes], None], on_state: Callable[[str], None]
    ) -> None:
        """``heard``: gets what the person says, L16 at ``rate_hz``; ``on_state``: ``connected``, and
        at last ``closed``."""
        self._rate_hz = rate_hz
        self._heard = heard
        self._on_state = on_state
        self._voice = AgentTrack(rate_hz)
        self._reading: asyncio.Task[None] | None = None
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.on("track", self._on_track)
        self._connection.on("connectionstatechange", self._on_change)
        self.has_microphone = False
        """Whether the browser offers sound of its own."""

    async def answer(self, sdp: str) -> str:
        """The answer to a browser's offer, with our candidates. Raises UserError: it is none that we
        can take."""
        check_offer(sdp)
        connection = self._connection
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
                connection.addTrack(self._voice)
                answer = await connection.createAnswer()
                await connection.setLocalDescription(answer)
        except Exception as e:  # the parser's and the codecs' own errors: it came from outside
            log.info("x an offer of sound: %s: %.200s", type(e).__name__, e)
            raise UserError(
                "The browser's offer of sound cannot be taken. Reload the page, or use a current"
                " browser."
            ) from e
        text: str = connection.localDescription.sdp
        if "a=candidate:" not in text:
            raise UserError(
                "This machine has no network address that a browser could send sound to."
            )
        return with_packets_of(text, PACKET_MS)

    def play(self, frame: bytes) -> None:
        """20 ms of the agent, L16 at the call's rate."""
        self._voice.put(frame)

    async def close(self) -> None:
        """No more sound."""
        self._voice.stop()
        if self._reading is not None:
            self._reading.cancel()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._connection.close()
        except TimeoutError:
            log.warning("! a browser's connection did not close in time")

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio" and self._reading is None:
            self.has_microphone = True
            self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        narrow = Decimator(self._rate_hz)
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            samples = frame.to_ndarray()
            channels = frame.layout.nb_channels
            mono = samples.reshape(-1, channels).astype(np.int32).sum(axis=1) // channels
            self._heard(narrow.feed(mono.astype(np.int16)).tobytes())

    def _on_change(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._on_state("connected")
        elif state in ("failed", "closed"):
            self._on_state("closed")


class AgentTrack(MediaStreamTrack):
    """What the browser hears, paced by the frames as they come."""

    kind = "audio"

    def __init__(self, rate_hz: int) -> None:
        super().__init__()
        self._wide = Interpolator(rate_hz)
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_FRAMES)
        self._at = 0

    def put(self, frame: bytes) -> None:
        """The next 20 ms."""
        if self._frames.full():
            self._frames.get_nowait()
            self._at += BROWSER_HZ // 50
        self._frames.put_nowait(frame)

    def stop(self) -> None:
        """End whoever waits for a frame, too."""
        super().stop()
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(None)

    async def recv(self) -> AudioFrame:
        """A frame at 48 kHz, mono, as soon as it is there."""
        if self.readyState != "live":
            raise MediaStreamError
        pcm = await self._frames.get()
        if pcm is None:
            raise MediaStreamError
        samples = self._wide.feed(np.frombuffer(pcm, "<i2"))
        frame = AudioFrame(format="s16", layout="mono", samples=len(samples))
        frame.planes[0].update(samples.tobytes())
        frame.pts, frame.sample_rate, frame.time_base = self._at, BROWSER_HZ, _TIME_BASE
        self._at += len(samples)
        return frame


def check_offer(sdp: str) -> None:
    """Raises UserError for what is no offer of one audio stream."""
    media = _MEDIA.findall(sdp)
    if not media or len(sdp) > LONGEST_SDP or not sdp.startswith("v=0"):
        raise UserError("That is no offer of sound (SDP).")
    if media.count("audio") != 1 or set(media) - {"audio", "application"} or len(media) > 2:
        raise UserError("Offer one audio stream, and nothing else.")
    if len(_CANDIDATE.findall(sdp)) > MOST_CANDIDATES:
        raise UserError(f"The offer names more than {MOST_CANDIDATES} addresses.")


def with_packets_of(sdp: str, ms: int) -> str:
    """The answer, asking the browser for packets of ``ms``."""
    lines = sdp.split("\r\n")
    at = next(index for index, line in enumerate(lines) if line.startswith("m=audio"))
    return "\r\n".join([*lines[: at + 2], f"a=ptime:{ms}", *lines[at + 2 :]])
