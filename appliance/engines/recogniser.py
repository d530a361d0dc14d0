"""Client of the STT servers: one websocket a call, moved to another server when one fails.

The audio of the utterance under way is kept here, so that a server that dies or is late in mid-word
is replaced by another, which hears the utterance again from its start: faster than real time, for it
need not wait for the caller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import aiohttp
import orjson
import picows

from appliance.engines.base import Heard
from appliance.engines.pool import Pool, Server
from appliance.errors import EngineError
from appliance.events import Agent, Transcript
from appliance.telemetry import CallLog

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 1.0
PREPARE_TIMEOUT_S = 30.0
MOST_TRIES = 4
"""Servers tried for one utterance before the call is told that it was not heard."""
LONGEST_UTTERANCE_BYTES = 16000 * 2 * 35


class HttpRecogniser:
    """Speech to text by a pool of servers; holds what they must know of each agent."""

    def __init__(
        self,
        pool: Pool,
        http: aiohttp.ClientSession,
        timeout_ms: int,
        preferred: Callable[[str, str], tuple[str, ...]] = lambda language, context: (),
    ) -> None:
        """``preferred(language, speech_context)``: engines, the best first."""
        self._pool = pool
        self._http = http
        self._preferred = preferred
        self.final_timeout_s = timeout_ms / 1000
        self._contexts: dict[str, bytes] = {}
        self._languages: dict[str, str] = {}
        """Of each context."""
        self._prepared: dict[str, None] = {}
        """Contexts that the servers were given, the latest last."""
        self._learn: Callable[[Agent], Awaitable[object]] | None = None
        self._learning: dict[str, asyncio.Task[None]] = {}
        """By context; as many as agents were published in the last seconds."""
        pool.teach_by(self._teach)

    def learn_by(self, learn: Callable[[Agent], Awaitable[object]]) -> None:
        """Have ``learn`` prepare an agent that a call names before anybody has: a version that was
        published a second ago."""
        self._learn = learn

    async def prepare(self, agent: Agent, texts: Sequence[str]) -> None:
        """Give every server that is up the agent's vocabulary; others get it when they ask."""
        body = orjson.dumps({"language": agent.language, "texts": list(texts)})
        self._contexts[agent.context] = body
        self._languages[agent.context] = agent.language
        able = [s for s in self._pool.servers if s.serves(agent.language)]
        await asyncio.gather(*(self._try_put(server, agent.context) for server in able))
        self._prepared[agent.context] = None

    def keep(self, contexts: Collection[str]) -> None:
        """Forget the vocabularies of all contexts but these."""
        self._contexts = {name: body for name, body in self._contexts.items() if name in contexts}
        self._languages = {name: said for name, said in self._languages.items() if name in contexts}
        self._prepared = {name: None for name in self._prepared if name in contexts}

    def open(self, call_id: str, agent: Agent, rate_hz: int, heard: Heard) -> StreamSession:
        """Open a session for one call; it connects at once, in the background."""
        return StreamSession(self, self._pool, call_id, agent, rate_hz, heard)

    def engines_for(self, agent: Agent) -> tuple[str, ...]:
        """The engines that hear this agent's callers, the best first."""
        table = self._preferred(agent.language, agent.speech_context)
        return (agent.stt_engine, *table) if agent.stt_engine else table

    async def teach(self, server: Server, agent: Agent) -> None:
        """Teach one server what a call needs that is about to begin there.

        Raises as :meth:`put_context`.
        """
        if (learning := self.learn(agent)) is not None:
            await asyncio.shield(learning)
        await self.put_context(server, agent.context)

    def learn(self, agent: Agent) -> asyncio.Task[None] | None:
        """Begin to prepare an agent that nobody has; None when somebody has begun to."""
        if agent.context in self._contexts or self._learn is None:
            return None
        learning = self._learning.get(agent.context)
        if learning is None:  # several calls may ask for it at once
            learning = asyncio.create_task(self._learned(agent))
            self._learning[agent.context] = learning
        return learning

    def stand_in(self, agent: Agent) -> str:
        """The context of this agent's version before, while its own is being built: a caller who
        speaks into a newly published version is heard by the words of the last. Empty: none."""
        if agent.context in self._prepared:
            return ""
        before = (name for name in reversed(self._prepared) if _agent_id(name) == agent.id)
        return next((name for name in before if self._languages[name] == agent.language), "")

    async def _learned(self, agent: Agent) -> None:
        assert self._learn is not None
        try:
            async with asyncio.timeout(PREPARE_TIMEOUT_S):
                await self._learn(agent)
        except Exception:  # the border of a job: the call is refused by this server, and tells so
            log.exception("! %s version %d was not learnt", agent.name, agent.version)
        finally:
            del self._learning[agent.context]

    async def put_context(self, server: Server, context: str) -> None:
        """Teach one server one context.

        Raises EngineError when it refuses, aiohttp.ClientError or TimeoutError when it is ill.
        """
        url = f"{server.http_url}/v1/contexts/{context}"
        body = self._contexts.get(context)
        if body is None:
            raise EngineError("stt", f"the context {context} is not known here yet")
        async with asyncio.timeout(PREPARE_TIMEOUT_S):
            async with self._http.put(url, data=body, headers=server.json_headers) as response:
                if response.status >= 300:
                    raise EngineError("stt", f"context refused: {await response.text():.200}")

    async def _teach(self, server: Server) -> None:
        """All that is known, to a server that is new or was started again."""
        for context, language in list(self._languages.items()):
            if context in self._contexts and server.serves(language):
                await self._try_put(server, context)

    async def _try_put(self, server: Server, context: str) -> None:
        try:
            await self.put_context(server, context)
        except (EngineError, aiohttp.ClientError, TimeoutError) as e:
            log.warning("! %s did not take a context: %s", server.url, str(e) or type(e).__name__)


def _agent_id(context: str) -> str:
    """Whose context it is: ``ID.VERSION.KNOWLEDGE``."""
    return context.rsplit(".", 2)[0]


def _object(payload: bytes) -> dict[str, object] | None:
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) else None


class _Wire(picows.WSListener):
    """Passes one connection's messages on to its session."""

    def __init__(self, session: StreamSession) -> None:
        super().__init__()
        self._session = session
        self.ready: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                transport.disconnect()
            return
        message = _object(frame.get_payload_as_bytes())
        if message is None:
            log.warning("! stt: a message that is not a JSON object; its server is left")
            transport.disconnect(graceful=False)
        elif not self.ready.done():
            self.ready.set_result(message)
        else:
            self._session.on_message(self, message)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed before it was ready"))
            self.ready.exception()  # seen, also when nobody waits any more
        self._session.on_lost(self)


class StreamSession:
    """Streaming recognition for one call."""

    def __init__(
        self,
        recogniser: HttpRecogniser,
        pool: Pool,
        call_id: str,
        agent: Agent,
        rate_hz: int,
        heard: Heard,
    ) -> None:
        self._recogniser = recogniser
        self._pool = pool
        self._agent = agent
        self._engines = recogniser.engines_for(agent)
        self._open = {
            "type": "open",
            "call_id": call_id,
            "rate": rate_hz,
            "language": agent.language,
            "context": agent.context,
        }
        self._log = CallLog(__name__, call_id)
        self._heard = heard
        self._server: Server | None = None
        self._wire: _Wire | None = None
        self._transport: picows.WSTransport | None = None
        self._utterance = 0
        self._audio = bytearray()
        self._finished = False
        self._asked_at = 0.0
        self._tried: set[Server] = set()
        self._final_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.failures = 0
        """Servers that failed this call so far."""
        self._connecting = asyncio.create_task(self._connect())

    def start(self, utterance: int, pcm: bytes) -> None:
        """Begin an utterance with its pre-roll."""
        self._cancel_timer()
        self._utterance, self._finished = utterance, False
        self._audio = bytearray(pcm)
        self._tried.clear()
        self._send_json({"type": "start", "utterance": utterance})
        self._send_audio(pcm)
        self._reconnect_if_lost()

    def feed(self, pcm: bytes) -> None:
        """Pass audio on, and keep it for a retry."""
        if not self._utterance or self._finished:
            return
        if len(self._audio) < LONGEST_UTTERANCE_BYTES:
            self._audio += pcm
        self._send_audio(pcm)

    def finish(self) -> None:
        """Ask for the final transcript; another server is asked when it does not come in time."""
        if not self._utterance or self._finished:
            return
        self._finished = True
        self._asked_at = asyncio.get_running_loop().time()
        self._send_json({"type": "finish", "utterance": self._utterance})
        self._arm_timer()
        self._reconnect_if_lost()

    def close(self) -> None:
        """The call is over."""
        self._closed = True
        self._cancel_timer()
        self._connecting.cancel()
        self._drop_wire()

    def on_message(self, wire: _Wire, message: dict[str, object]) -> None:
        """A message of the connection in use."""
        if wire is not self._wire or message.get("utterance") != self._utterance:
            return
        kind = message.get("type")
        if kind not in ("partial", "final"):
            return
        final = kind == "final"
        if final:
            self._cancel_timer()
            if self._finished:
                self._pool.took(asyncio.get_running_loop().time() - self._asked_at)
            self._finished = True
        confidence, audio_ms = message.get("confidence"), message.get("audio_ms")
        self._heard(
            Transcript(
                self._utterance,
                str(message.get("text", "")),
                final,
                audio_ms if isinstance(audio_ms, int) else 0,
                float(confidence) if isinstance(confidence, (int, float)) else None,
            )
        )
        if final:
            self._utterance = 0
            self._audio.clear()

    def on_lost(self, wire: _Wire) -> None:
        """The connection in use broke."""
        if wire is self._wire and not self._closed:
            self._fail("the connection broke")

    def _fail(self, why: str) -> None:
        self.failures += 1
        self._cancel_timer()
        if self._server is not None:
            self._pool.failed(self._server, why)
        self._log.warning("! stt: %s; moving on", why)
        self._drop_wire()
        self._reconnect_if_lost()

    def _drop_wire(self) -> None:
        transport, self._transport, self._wire = self._transport, None, None
        if self._server is not None:
            self._server.in_flight -= 1
            self._server = None
        if transport is not None:
            transport.disconnect(graceful=False)  # a hung server would never take what is left

    def _reconnect_if_lost(self) -> None:
        if self._transport is None and self._connecting.done() and not self._closed:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        """Find a server, open there, and tell it all of the utterance under way."""
        for _ in range(MOST_TRIES):
            try:
                server = self._pool.pick(
                    self._agent.language, frozenset(self._tried), prefer=self._engines
                )
            except EngineError:
                break
            self._tried.add(server)
            server.in_flight += 1  # from now on: calls that arrive together go to different servers
            try:
                wire, transport = await self._open_on(server)
            except BaseException as e:
                server.in_flight -= 1
                if isinstance(e, EngineError):  # it is well, and refuses this call: others stay
                    self._log.warning("! stt: %s refused this call: %s", server.url, e)
                elif isinstance(e, (OSError, TimeoutError, picows.WSError, aiohttp.ClientError)):
                    self._pool.failed(server, f"open: {e or type(e).__name__}")
                else:
                    raise
                continue
            self._server, self._wire, self._transport = server, wire, transport
            self._replay()
            return
        self._log.error("! stt: no server takes this call")
        self._cancel_timer()
        if self._utterance and self._finished:
            utterance, self._utterance = self._utterance, 0
            self._heard(Transcript(utterance, "", True, 0, failed=True))

    async def _open_on(
        self, server: Server, taught: bool = False, instead: str = ""
    ) -> tuple[_Wire, picows.WSTransport]:
        """``instead``: the context to open with, where it is not the agent's own."""
        wire = _Wire(self)
        opening = self._open | ({"context": instead} if instead else {})
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, _ = await picows.ws_connect(
                lambda: wire,
                server.url.rstrip("/") + "/v1/stream",
                extra_headers=server.headers,
                max_redirects=0,  # else whoever it points to is sent the key
            )
            try:
                transport.send(picows.WSMsgType.TEXT, orjson.dumps(opening))
                reply = await wire.ready
            except BaseException:
                transport.disconnect(graceful=False)  # it takes connections and says nothing
                raise
        if reply.get("type") == "ready":
            return wire, transport
        transport.disconnect()
        if reply.get("code") == "unknown_context" and not taught:
            if not instead and (before := self._recogniser.stand_in(self._agent)):
                self._recogniser.learn(self._agent)
                self._log.info("= heard by the words of %s until its own are there", before)
                return await self._open_on(server, instead=before)
            await self._recogniser.teach(server, self._agent)
            return await self._open_on(server, taught=True)
        raise EngineError("stt", str(reply.get("message", "not ready")))

    def _replay(self) -> None:
        if not self._utterance:
            return
        self._send_json({"type": "start", "utterance": self._utterance})
        self._send_audio(bytes(self._audio))
        if self._finished:
            self._send_json({"type": "finish", "utterance": self._utterance})
            self._arm_timer()

    def _send_json(self, message: dict[str, object]) -> None:
        if self._transport is not None:
            self._transport.send(picows.WSMsgType.TEXT, orjson.dumps(message))

    def _send_audio(self, pcm: bytes) -> None:
        if self._transport is not None:
            self._transport.send(picows.WSMsgType.BINARY, pcm)

    def _arm_timer(self) -> None:
        self._cancel_timer()  # asked again of another server, which gets its full time
        loop = asyncio.get_running_loop()
        self._final_timer = loop.call_later(
            self._recogniser.final_timeout_s, self._fail, "no final transcript in time"
        )

    def _cancel_timer(self) -> None:
        if self._final_timer is not None:
            self._final_timer.cancel()
            self._final_timer = None
