"""The emulated recogniser: right words, after a declared delay (docs/wires.md §2).

A word stands in the partials ``partial_ms`` after it was spoken, the final comes ``final_ms``
after speech ended, but never before it was asked for. Time is the arrival of the audio: a word
that lies x ms before the end of what was received was spoken x ms ago.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from appliance.audio import RATES_HZ, bytes_of, ms_of
from appliance.engines.emulated_http import Load, failure
from appliance.engines.emulated_script import (
    LOCATE_HZ,
    Locator,
    Place,
    Track,
    Utterance,
    is_sound,
    to_track,
)

LOG = logging.getLogger(__name__)
CONFIDENCE = 0.95
_BELIEVED = ((160, 0.9), (320, 0.9), (640, 0.5))
"""How like its place the last so many ms of voiced audio must be, shortest first. The longest is for
audio with noise in it; a shorter piece with a frame missing is so like other vowels of the script."""
_LOST_MS = 800
"""Without a place in so much sound, this is no speech of the script: a cough, a noise."""
_HEARD_SHARE = 0.6
"""A word of which so much was received is recognised."""
_HELD_UP_MS = 1000
"""An utterance that is found once more, later by less than this, is not said again."""
_FRAME_MS = 20
"""Audio is heard in such pieces however it arrives: an utterance that is heard again, from a server
that died, comes in one message, and would else be looked for by its last, silent piece alone."""
_OUTBOX = 256
"""Messages waiting for a slow reader."""


@dataclass(frozen=True, slots=True)
class Delays:
    """The declared latency of the recogniser."""

    partial_ms: float = 50
    final_ms: float = 50


class Hearing:
    """One utterance being heard: audio goes in, the words received so far come out.

    Pure: knows no clock; positions are ms of the utterance's own audio.
    """

    def __init__(self, locator: Locator, rate_hz: int) -> None:
        self._locator = locator
        self._rate_hz = rate_hz
        self._pcm = bytearray()
        self._voiced_ms = 0
        self._tried_ms = 0
        self._search_from_ms = 0
        self._words: list[tuple[str, int]] = []
        self._placed: Utterance | None = None
        self._offset_ms = 0

    @property
    def received_ms(self) -> int:
        """Length of the audio received."""
        return ms_of(len(self._pcm), self._rate_hz)

    @property
    def words(self) -> list[tuple[str, int]]:
        """Every word of the recordings heard so far, with the ms at which it ends; those still
        to be spoken are among them."""
        return self._words

    @property
    def speech_end_ms(self) -> int:
        """End of the last word that has been received."""
        return max((end for _, end in self._words if end <= self.received_ms), default=0)

    def feed(self, pcm: bytes) -> bool:
        """Take more audio, of any length; true when new words have been placed by it."""
        step = bytes_of(_FRAME_MS, self._rate_hz)
        placed = [self._hear(pcm[at : at + step]) for at in range(0, len(pcm), step)]
        return any(placed)

    def _hear(self, pcm: bytes) -> bool:
        before_ms = self.received_ms
        self._pcm += pcm
        if before_ms < self._search_from_ms:
            return False  # inside a recording that is already placed
        if is_sound(to_track(pcm, self._rate_hz)):
            self._voiced_ms += ms_of(len(pcm), self._rate_hz)
        if self._voiced_ms < _BELIEVED[0][0] or self._voiced_ms - self._tried_ms < 40:
            return False
        self._tried_ms = self._voiced_ms
        return self._search()

    def text(self, up_to_ms: float) -> str:
        """The words that ended by ``up_to_ms``."""
        return " ".join(_plain(word) for word, end in self._words if end <= up_to_ms)

    def final_text(self) -> str:
        """The words of which enough was received to know them."""
        kept, begin = [], 0
        for word, end in self._words:
            if begin + (end - begin) * _HEARD_SHARE <= self.received_ms:
                kept.append(_plain(word))
            begin = end
        return " ".join(kept)

    def _search(self) -> bool:
        for length_ms, enough in _BELIEVED:
            if self._voiced_ms < length_ms:
                break
            last = bytes(self._pcm[-bytes_of(length_ms, self._rate_hz) :])
            tail = to_track(last, self._rate_hz)
            if not _is_mostly_sound(tail):
                continue
            place = self._locator.find(tail)
            if place is not None and place.likeness >= enough:
                self._settle(place)
                return True
        if self._voiced_ms >= _LOST_MS:
            self._voiced_ms = self._tried_ms = 0
        return False

    def _settle(self, place: Place) -> None:
        offset_ms = self.received_ms - place.end_ms
        words = [(word.text, offset_ms + word.end_ms) for word in place.utterance.words]
        if place.utterance is self._placed and offset_ms < self._offset_ms + _HELD_UP_MS:
            # Its end comes later than it should: the rest was held up on its way.
            self._words[-1] = words[-1]
        else:
            self._words += [(word, end) for word, end in words if end > self._search_from_ms]
        self._placed, self._offset_ms = place.utterance, offset_ms
        self._search_from_ms = words[-1][1]
        self._voiced_ms = self._tried_ms = 0


def _is_mostly_sound(track: Track) -> bool:
    """Of a gap and a first vowel, half a dozen utterances would be very like."""
    step = LOCATE_HZ * _FRAME_MS // 1000
    frames = [is_sound(track[at : at + step]) for at in range(0, len(track), step)]
    return 2 * sum(frames) > len(frames)


def _plain(word: str) -> str:
    return word.strip(".,?!;:").lower()


class Stream:
    """One call's connection: times the partials and finals of its utterances."""

    def __init__(self, locator: Locator, delays: Delays, rate_hz: int) -> None:
        self._locator = locator
        self._delays = delays
        self._rate_hz = rate_hz
        self._loop = asyncio.get_running_loop()
        self._hearing = Hearing(locator, rate_hz)
        self._utterance = -1
        self._shown = ""
        self._next = 0
        self._arrived_s = 0.0
        self._timers: set[asyncio.TimerHandle] = set()
        self.outbox: asyncio.Queue[str] = asyncio.Queue(_OUTBOX)
        """Messages for the worker; full: the next ones are dropped, with a log line."""

    def start(self, utterance: int) -> None:
        """A new utterance; the one before it is forgotten if it was not finished."""
        self.forget()
        self._hearing = Hearing(self._locator, self._rate_hz)
        self._utterance, self._shown, self._next = utterance, "", 0

    def feed(self, pcm: bytes) -> None:
        """Audio of the utterance, as it arrives."""
        if self._utterance < 0:
            return
        self._arrived_s = self._loop.time()
        self._hearing.feed(pcm)
        words = self._hearing.words
        while self._next < len(words) and words[self._next][1] <= self._hearing.received_ms:
            end_ms = words[self._next][1]
            self._at(self._due_s(end_ms, self._delays.partial_ms), self._partial, end_ms)
            self._next += 1

    def finish(self, utterance: int) -> None:
        """Ask for the final of ``utterance``."""
        if utterance != self._utterance:
            return
        due_s = self._due_s(self._hearing.speech_end_ms, self._delays.final_ms)
        self._at(due_s, self._final, utterance, self._hearing)
        self._utterance = -1

    def forget(self) -> None:
        """Drop what was due for the utterance under way."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _due_s(self, end_ms: int, delay_ms: float) -> float:
        spoken_s = self._arrived_s - (self._hearing.received_ms - end_ms) / 1000
        return spoken_s + delay_ms / 1000

    def _at(self, when_s: float, call: object, *args: object) -> None:
        if when_s <= self._loop.time():
            call(*args)  # type: ignore[operator]
        else:
            self._timers.add(self._loop.call_at(when_s, call, *args))  # type: ignore[arg-type]

    def _partial(self, end_ms: int) -> None:
        text = self._hearing.text(end_ms)
        if text == self._shown or self._utterance < 0:
            return
        self._shown = text
        self._say(type="partial", utterance=self._utterance, text=text, audio_ms=end_ms)

    def _final(self, utterance: int, hearing: Hearing) -> None:
        self._say(
            type="final",
            utterance=utterance,
            text=hearing.final_text(),
            audio_ms=hearing.received_ms,
            confidence=CONFIDENCE,
        )

    def _say(self, **message: object) -> None:
        if self.outbox.full():
            LOG.warning("! the worker does not read: a %s was dropped", message["type"])
            return
        self.outbox.put_nowait(orjson.dumps(message).decode())


class SttServer:
    """The recogniser's websocket and its contexts, which it takes and does not need."""

    def __init__(self, locator: Locator, delays: Delays, load: Load) -> None:
        self._locator = locator
        self._delays = delays
        self._load = load
        self._sockets: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/stream", self._stream),
            web.put("/v1/contexts/{name}", self._context),
        ]

    async def _context(self, request: web.Request) -> web.Response:
        body = await request.json(loads=orjson.loads)
        texts = body.get("texts") if isinstance(body, dict) else None
        if not isinstance(texts, list):
            return failure(400, "texts must be a list of strings.")
        words = {word for text in texts for word in str(text).split()}
        return web.json_response({"words": len(words), "sentences": len(texts), "ms": 0})

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, autoping=True)
        await socket.prepare(request)
        self._load.begin()
        self._sockets.add(socket)
        try:
            await self._converse(socket)
        finally:
            self._sockets.discard(socket)
            self._load.end()
        return socket

    async def close(self) -> None:
        """Close every stream: the server is going away."""
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _converse(self, socket: web.WebSocketResponse) -> None:
        first = await socket.receive(timeout=5)
        opened = _message(first.data) if first.type is WSMsgType.TEXT else None
        if not opened or opened.get("type") != "open" or opened.get("rate") not in RATES_HZ:
            await _refuse(socket, "The first message must be an open with a rate of 8000 or 16000.")
            return
        if self._load.in_flight > self._load.slots:
            await _refuse(socket, f"This server carries {self._load.slots} calls.", "full")
            return
        await socket.send_str('{"type":"ready","engine":"emulated"}')
        stream = Stream(self._locator, self._delays, int(str(opened["rate"])))
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(_send(socket, stream))
            try:
                await self._listen(socket, stream)
            finally:
                stream.forget()
                sender.cancel()

    async def _listen(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        async for received in socket:
            if received.type is WSMsgType.BINARY:
                stream.feed(received.data)
            elif received.type is WSMsgType.TEXT and (message := _message(received.data)):
                utterance = message.get("utterance")
                if message.get("type") == "start" and isinstance(utterance, int):
                    stream.start(utterance)
                elif message.get("type") == "finish" and isinstance(utterance, int):
                    stream.finish(utterance)
                else:
                    LOG.warning("! a message that is neither start nor finish was dropped")


async def _send(socket: web.WebSocketResponse, stream: Stream) -> None:
    while True:
        text = await stream.outbox.get()
        with contextlib.suppress(ConnectionError):
            await socket.send_str(text)


async def _refuse(socket: web.WebSocketResponse, message: str, code: str = "bad_request") -> None:
    error = {"type": "error", "code": code, "message": message}
    await socket.send_str(orjson.dumps(error).decode())
    await socket.close()


def _message(text: str) -> dict[str, object] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
