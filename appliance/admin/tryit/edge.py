"""One test call's way to a worker, as an edge has it: the websocket of docs/wires.md §1, and the
datagrams that come back.

The worker's own clock paces the call: a frame comes every 20 ms and is passed on as it comes, for
the browser has a jitter buffer of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import orjson
from picows import WSCloseCode, WSHandshakeError, WSMsgType, WSTransport

from appliance.audio import frame_bytes
from appliance.errors import UserError
from appliance.events import Dtmf, Hangup, Hold, Offer, Transfer, TransferFailed, Typed
from appliance.media import protocol
from appliance.media.workerlink import NO_TRANSFERS, WorkerRefused, ask_health, reach
from appliance.telemetry import CallLog

HEALTH_TIMEOUT_S = 0.5
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
DID = "console"
"""What a test call's row has in place of a dialled number."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Which agent is tried, and by whom."""

    call_id: str
    agent: str
    draft: bool
    caller: str
    rate_hz: int


class Party(Protocol):
    """Who is at this end. Called on the loop."""

    def on_frame(self, frame: bytes) -> None:
        """20 ms of the agent, L16 at the call's rate."""

    def on_transfer(self, to: str) -> None:
        """A caller would be connected to ``to`` now."""

    def on_ended(self, cause: str) -> None:
        """The worker ended the call, or is gone; told once."""


class Edge:
    """Carries one test call. ``connect`` once, then the rest; ``close`` ends it."""

    def __init__(self, trial: Trial, secret: str, party: Party) -> None:
        self._trial = trial
        self._secret = secret
        self._party = party
        self._log = CallLog(__name__, trial.call_id)
        self._transport: WSTransport | None = None
        self._playback: asyncio.DatagramTransport | None = None
        self._ended = False
        self.worker = ""
        """URL of the worker that has the call."""
        self.congested = False
        """The worker does not read; what it gets later must not be old. Set by the websocket."""
        self.lost = 0
        """Packets of the person's sound, while it was congested."""

    async def connect(self, http: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        """Offer the call to the workers, the least busy first, until one answers.

        Raises UserError with one sentence when none does.
        """
        places = await survey(http, urls)
        trouble = [f"{place.url}: {place.why}" for place in places if place.why]
        for place in sorted(places, key=lambda place: place.load):
            if place.why:
                continue
            try:
                await self._offer(place.url)
            except WorkerRefused as e:
                trouble.append(f"{place.url}: {e}")
                self._log.warning("! worker %s: %s", place.url, e)
            else:
                self.worker = place.url
                return
        raise UserError(_sentence(places, trouble))

    async def _offer(self, url: str) -> None:
        trial = self._trial
        try:
            link = await reach(self, url, trial.call_id, self._secret, CONNECT_TIMEOUT_S)
        except WorkerRefused as e:
            raise WorkerRefused(_why(e.__cause__)) from e
        try:
            playback = await self._listen(link.transport)
            await link.offer(self._offer_text(playback), ANSWER_TIMEOUT_S)
        except BaseException as e:
            link.give_up()
            self._close_playback()
            if isinstance(e, OSError):
                raise WorkerRefused(f"there is no port for its sound ({type(e).__name__})") from e
            raise
        self._transport = link.transport
        self._log.info("= tried at %s, %d Hz", url, trial.rate_hz)

    async def _listen(self, transport: WSTransport) -> tuple[str, int]:
        """A UDP port at the address by which we reach the worker."""
        of_websocket = transport.underlying_transport.get_extra_info
        (here, *_), (there, *_) = of_websocket("sockname"), of_websocket("peername")
        size = frame_bytes(self._trial.rate_hz)
        self._playback, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Playback(there, size, self._party.on_frame), local_addr=(here, 0)
        )
        host, port = self._playback.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def _offer_text(self, playback: tuple[str, int]) -> bytes:
        trial = self._trial
        return protocol.offer(
            Offer(
                trial.call_id, DID, trial.caller, trial.rate_hz, playback,
                agent=trial.agent, direction="test", draft=trial.draft,
            )
        )  # fmt: skip

    # --- what the person does ---------------------------------------------------------------------

    def speak(self, sound: bytes) -> None:
        """What the person said, as the browser packets it: L16 at the call's rate."""
        if self._transport is None or self._ended:
            return
        if self.congested:
            self.lost += 1
        else:
            self._transport.send(WSMsgType.BINARY, sound)

    def type(self, text: str) -> None:
        """A whole turn in writing. Raises ProtocolError for what is no line of 1 to 500 letters."""
        self._send(protocol.typed(Typed(text)))

    def press(self, digit: str) -> None:
        """A key of the telephone."""
        self._send(protocol.dtmf(Dtmf(digit, 100)))

    def hold(self, on: bool) -> None:
        """Whether nobody is at the microphone: the agent then does not ask who is there."""
        self._send(protocol.hold(Hold(on)))

    def close(self) -> None:
        """Hang up, if the worker has not."""
        if not self._ended:
            self._send(protocol.hangup("NORMAL_CLEARING"))
            self._ended = True
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
            self._transport = None
        self._close_playback()

    # --- what the worker says ---------------------------------------------------------------------

    def worker_said(self, message: protocol.WorkerEvent | None) -> None:
        """A text message of the worker after its ``answer``."""
        if isinstance(message, Hangup):
            self._finish(message.cause)
        elif isinstance(message, Transfer):
            self._party.on_transfer(message.to)
            self._send(protocol.transfer_failed(TransferFailed(NO_TRANSFERS)))

    def worker_gone(self) -> None:
        """Its websocket has closed or broken."""
        if not self._ended:
            self._log.warning("! the worker's websocket broke")
            self._finish("NORMAL_TEMPORARY_FAILURE")

    def _finish(self, cause: str) -> None:
        if not self._ended:
            self._ended = True
            self._party.on_ended(cause)

    def _send(self, message: bytes) -> None:
        if self._transport is not None and not self._ended:
            self._transport.send(WSMsgType.TEXT, message)

    def _close_playback(self) -> None:
        if self._playback is not None:
            self._playback.close()
            self._playback = None


async def survey(http: aiohttp.ClientSession, urls: Sequence[str]) -> list[Place]:
    """What each worker says of itself now."""
    return await asyncio.gather(*(_place(http, url) for url in urls))


def require_place(places: Sequence[Place]) -> None:
    """Raises UserError when no worker could take a call."""
    if all(place.why for place in places):
        raise UserError(_sentence(places, [f"{place.url}: {place.why}" for place in places]))


@dataclass(frozen=True, slots=True)
class Place:
    """A worker, and whether it could take a call."""

    url: str
    load: float = 0.0
    why: str = ""
    """Why no call can go there."""
    full: bool = False


async def _place(http: aiohttp.ClientSession, url: str) -> Place:
    """What a worker says of itself."""
    health = await ask_health(http, url, HEALTH_TIMEOUT_S)
    if health is None:
        return Place(url, why="it does not answer")
    if health.status != "ok":
        return Place(url, why=f"it is {health.status:.20}")
    if not health.takes_calls:
        return Place(url, why=f"it carries its limit of {health.capacity} calls", full=True)
    return Place(url, health.calls / health.capacity)


def _sentence(places: Sequence[Place], trouble: Sequence[str]) -> str:
    if places and all(place.full or place.why for place in places):
        if any(place.full for place in places):
            return "All lines are busy. Try again when a call has ended."
        if any("starting" in place.why for place in places):
            return "The worker is starting. Try again in a few seconds."
    detail = "; ".join(trouble) or "none is configured"
    return f"No worker could take the call ({detail}). Look at ivr worker and its log."


def _why(e: BaseException | None) -> str:
    if isinstance(e, WSHandshakeError) and e.raw_body:
        try:
            return str(orjson.loads(e.raw_body)["error"])[:200]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            pass
    return f"it cannot be reached ({type(e).__name__})"


class _Playback(asyncio.DatagramProtocol):
    """Frames from one host, of one size; anything else is nobody's."""

    def __init__(self, host: str, size: int, take: Callable[[bytes], None]) -> None:
        self._host = host
        self._size = size
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) == self._size and addr[0] == self._host:
            self._take(data)
