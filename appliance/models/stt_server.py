"""``ivr stt``: the recogniser's server. The wire is docs/wires.md, section 2."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from appliance.audio import RATES_HZ, ms_of
from appliance.languages import primary
from appliance.models import http
from appliance.models.batching import DeviceLost, Stuck
from appliance.models.ending import HUNG_S, end
from appliance.models.engine import (
    ModelOptions,
    SttEngine,
    SttSession,
    UnknownContext,
    UnknownLanguage,
)
from appliance.models.stt_engines import load_engine
from appliance.settings import Settings
from appliance.telemetry import CallLog

_log = logging.getLogger(__name__)

LONGEST_UTTERANCE_MS = 30_000
"""Then the final comes by itself: nobody waits for words behind 30 s of a television."""
OPEN_TIMEOUT_S = 5.0
HEARTBEAT_S = 20.0
MESSAGE_BYTES = 2 * 16_000 * 40
"""40 s at 16 kHz: a whole utterance sent again after its first server died."""
CONTEXT_BYTES = 8 << 20
_CONTEXT_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Phase(Enum):
    """Where one connection stands with its utterance."""

    IDLE = auto()
    HEARING = auto()
    ENDED = auto()
    """Final sent by us at the longest length; the worker's ``finish`` is still to come."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first message of a connection."""

    call_id: str
    language: str
    context: str
    rate_hz: int


class NotOpened(Exception):
    """An ``open`` that gets an error; ``code`` as in docs/wires.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BadMessage(Exception):
    """A message out of the protocol: dropped with one log line."""


class Stream:
    """One call's connection: utterances in, words out."""

    def __init__(
        self, socket: web.WebSocketResponse, session: SttSession, rate_hz: int, log: CallLog
    ) -> None:
        self._socket = socket
        self._session = session
        self._rate_hz = rate_hz
        self._log = log
        self._phase = Phase.IDLE
        self._utterance = 0
        self._heard_bytes = 0
        self._said = ""
        self.bad = 0
        """Messages that were dropped."""

    @property
    def idle(self) -> bool:
        """No utterance is under way."""
        return self._phase is not Phase.HEARING

    async def audio(self, pcm: bytes) -> None:
        """Decode; tell the words when they change; end an utterance that is too long."""
        if len(pcm) % 2:
            raise BadMessage(f"audio of an odd length ({len(pcm)} bytes)")
        if self._phase is Phase.IDLE:
            raise BadMessage("audio outside of an utterance")
        if self._phase is Phase.ENDED:
            return
        self._heard_bytes += len(pcm)
        text = await self._session.accept(pcm)
        if text and text != self._said:
            self._said = text
            await self._tell("partial", text=text)
        if ms_of(self._heard_bytes, self._rate_hz) >= LONGEST_UTTERANCE_MS:
            await self._final()
            self._phase = Phase.ENDED

    async def command(self, text: str) -> None:
        """``start`` or ``finish``."""
        message = _json(text)
        utterance = message.get("utterance")
        if not isinstance(utterance, int):
            raise BadMessage("a message without an utterance number")
        if message.get("type") == "start":
            self._session.start()
            self._phase, self._utterance = Phase.HEARING, utterance
            self._heard_bytes, self._said = 0, ""
        elif message.get("type") == "finish" and utterance == self._utterance:
            if self._phase is Phase.HEARING:
                await self._final()
            self._phase = Phase.IDLE
        else:
            raise BadMessage(f"{message.get('type')!r} for utterance {utterance}")

    async def _final(self) -> None:
        words = await self._session.finish()
        self._log.debug("> final %d %r %s", self._utterance, words.text, words.confidence)
        await self._tell("final", text=words.text, confidence=words.confidence)

    async def _tell(self, kind: str, **fields: object) -> None:
        ms = ms_of(self._heard_bytes, self._rate_hz)
        message = {"type": kind, "utterance": self._utterance, "audio_ms": ms, **fields}
        await _send(self._socket, message)

    def close(self) -> None:
        """The connection is over."""
        self._session.close()


def _json(text: str) -> dict[str, Any]:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as e:
        raise BadMessage("text that is not JSON") from e
    if not isinstance(message, dict):
        raise BadMessage("JSON that is not an object")
    return message


class Server:
    """The routes of the recogniser's server."""

    def __init__(self, engine: SttEngine) -> None:
        self._engine = engine
        self._load = http.Load("stt", engine.name, engine.languages, engine.capacity)
        self._healing: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        app = http.application(self._load, request_bytes=CONTEXT_BYTES)
        app.router.add_put("/v1/contexts/{name}", self._put_context)
        app.router.add_get("/v1/stream", self._stream)
        return app

    async def _put_context(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not _CONTEXT_NAME.fullmatch(name):
            raise http.Refused(400, "A context's name has 1-128 letters, digits, dots or dashes.")
        value = await http.json_object(request)
        language, texts = http.text_field(value, "language"), value.get("texts")
        if not self._speaks(language):
            raise http.Refused(400, self._no_language(language))
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise http.Refused(400, "The field texts must be a list of strings.")
        try:
            stats = await self._engine.build_context(name, language, texts)
        except UnknownLanguage as e:
            raise http.Refused(400, self._no_language(language)) from e
        return http.reply(stats)

    def _speaks(self, language: str) -> bool:
        return "*" in self._engine.languages or primary(language) in self._engine.languages

    def _no_language(self, language: str) -> str:
        listed = [name for name in self._engine.languages if name != "*"]
        known = f"; it knows {', '.join(listed)}" if listed else ""
        return f"{self._engine.name} does not know the language {language!r}{known}."

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            compress=False, heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES
        )
        if not socket.can_prepare(request):
            raise http.Refused(400, "This address is for websockets.")
        await socket.prepare(request)
        await self._carry(socket)
        return socket

    async def _carry(self, socket: web.WebSocketResponse) -> None:
        try:
            stream, log = await self._open(socket)
        except NotOpened as e:
            _log.info("! open refused: %s: %s", e.code, e)
            await _send(socket, {"type": "error", "code": e.code, "message": str(e)})
            await socket.close()
            return
        self._load.in_flight += 1
        drain = asyncio.create_task(self._drained(socket, stream))
        try:
            await _send(socket, {"type": "ready", "engine": self._engine.name})
            async for message in socket:
                await self._message(stream, message, log)
                if self._load.draining.is_set() and stream.idle:
                    await socket.close(code=WSCloseCode.GOING_AWAY)
        except ConnectionError:
            log.debug("= the worker went away")
        except (DeviceLost, Stuck) as e:  # the worker goes to another server
            self._trouble(e)
            await socket.close(code=WSCloseCode.INTERNAL_ERROR)
        except Exception:  # the border of a call; the worker goes to another server
            log.exception("! the engine failed")
            await socket.close(code=WSCloseCode.INTERNAL_ERROR)
        finally:
            self._load.in_flight -= 1
            drain.cancel()
            stream.close()

    def _trouble(self, error: DeviceLost | Stuck) -> None:
        """Nothing can be decoded: say so in /health; end the process when that stays so."""
        if not self._load.ready:
            return
        self._load.ready = False
        _log.error("! unhealthy: %s", error)
        if isinstance(error, DeviceLost):
            end("the GPU is gone, which only a new process can use again")
        else:
            self._healing = asyncio.create_task(self._heal(error))

    async def _heal(self, stuck: Stuck) -> None:
        """Healthy again when the engine is; the end of the process when it stays stuck."""
        try:
            await asyncio.wait_for(stuck.over.wait(), HUNG_S)
        except TimeoutError:
            end(f"the engine is stuck for {HUNG_S:g} s")
        self._load.ready = True
        _log.info("= healthy again")

    async def _message(self, stream: Stream, message: WSMessage, log: CallLog) -> None:
        try:
            if message.type is WSMsgType.BINARY:
                await stream.audio(message.data)
            elif message.type is WSMsgType.TEXT:
                await stream.command(message.data)
        except BadMessage as e:
            stream.bad += 1
            if stream.bad == 1:  # a broken peer repeats itself
                log.warning("! dropped %.200s", e)

    async def _drained(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        """When the server is told to stop: close at once between utterances, else after 5 s."""
        await self._load.draining.wait()
        if not stream.idle:
            await asyncio.sleep(http.DRAIN_S * 0.9)
        await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _open(self, socket: web.WebSocketResponse) -> tuple[Stream, CallLog]:
        """Read ``open`` and open a session. Raises NotOpened."""
        try:
            opening = _opening(await socket.receive_str(timeout=OPEN_TIMEOUT_S))
        except (BadMessage, TypeError, TimeoutError) as e:
            raise NotOpened("bad_request", str(e) or "No open message came.") from e
        if not self._speaks(opening.language):
            raise NotOpened("language", self._no_language(opening.language))
        if self._load.full or self._load.draining.is_set():
            raise NotOpened("full", f"This server carries {self._load.capacity} calls.")
        try:
            session = self._engine.open(opening.context, opening.language, opening.rate_hz)
        except UnknownContext as e:
            raise NotOpened("unknown_context", f"Put the context {e} first.") from e
        except UnknownLanguage as e:
            raise NotOpened("language", self._no_language(opening.language)) from e
        log = CallLog(__name__, opening.call_id)
        return Stream(socket, session, opening.rate_hz, log), log


def _opening(text: str) -> Opening:
    message = _json(text)
    rate, names = message.get("rate"), ("call_id", "language", "context")
    values = [message.get(name) for name in names]
    if message.get("type") != "open":
        raise BadMessage("The first message is not open.")
    if rate not in RATES_HZ or not all(isinstance(value, str) for value in values):
        raise BadMessage("open needs call_id, language, context, and rate 8000 or 16000.")
    call_id, language, context = map(str, values)
    return Opening(call_id, language, context, int(rate))


async def _send(socket: web.WebSocketResponse, message: dict[str, object]) -> None:
    await socket.send_str(http.body(message).decode())


def run(
    settings: Settings, engine: str, host: str, port: int, options: ModelOptions | None = None
) -> None:
    """Serve ``engine`` until SIGTERM. Raises UserError.

    When the engine's GPU is gone, or it stays stuck, the process ends with ``ending.LOST_STATUS``:
    whoever keeps it starts another.
    """

    async def build() -> web.Application:
        return Server(load_engine(engine, settings, options or ModelOptions())).application()

    http.run(build, host, port, partial(http.access_of, settings, settings.engines.stt))
