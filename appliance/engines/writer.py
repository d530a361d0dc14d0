"""Client of the language model: OpenAI's streaming chat completions, as vLLM serves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from math import inf

import aiohttp
import orjson

from appliance.engines.http import REFUSALS, RefusedError, TooLongError, stream
from appliance.engines.pool import Health, Pool, Server
from appliance.errors import EngineError, reason_of
from appliance.events import Message
from appliance.settings import Llm, LlmServers

log = logging.getLogger(__name__)

MOST_TRIES = 2
TOKEN_TIMEOUT_S = 3.0
"""Longest wait between two tokens of a reply that has begun."""
LEAST_TIME_S = 0.05
"""With less left of its time a server is not asked: it could only be late, and be blamed for it."""
WARM_TIMEOUT_S = 15.0
"""For reading one prompt unseen, at the lowest priority, on a server that may just have started."""
LONGEST_EVENT_BYTES = 1 << 20
"""Of a server-sent event; what is longer is no chat completion."""
LONGEST_NOTE_LETTERS = 8000
NO_SUCH_MODEL = 404
ABORTED = "abort"
"""vLLM's ``finish_reason`` for what a server that stops has cut off, or has not begun."""
REPLY_PRIORITY = 0
"""vLLM serves lower numbers first: replies that somebody waits for, then speculations, then what
nobody waits for at all."""
SPECULATIVE_PRIORITY = 10
NOTE_PRIORITY = 15
WARM_PRIORITY = 20


@dataclass(frozen=True, slots=True)
class _Request:
    """One completion, whichever server is asked for it."""

    messages: Sequence[Message]
    priority: int
    call_id: str
    model: str
    max_tokens: int


class EndlessReplyError(EngineError):
    """A reply took longer than ``answer_timeout_s``: nobody is asked to go on with it."""


class OpenAiWriter:
    """One language model by a pool of servers.

    A server that fails before its first token is replaced by the next. One that fails later is
    replaced too where the next can go on in mid-sentence, which vLLM can; else the reply ends.
    """

    def __init__(
        self,
        pool: Pool,
        http: aiohttp.ClientSession,
        settings: Llm,
        servers: LlmServers | None = None,
    ) -> None:
        """``settings`` bound a reply; ``servers`` say whom to ask, where it is not they."""
        self._pool = pool
        self._http = http
        self._limits = settings
        self._servers = servers or settings
        self._asked_at: dict[str, float] = {}

    @property
    def timeout_s(self) -> float:
        """To the first token of one server."""
        return self._servers.timeout_ms / 1000

    async def write(
        self,
        messages: Sequence[Message],
        *,
        speculative: bool,
        call_id: str,
        model: str = "",
        within_s: float = inf,
        after: str = "",
    ) -> AsyncGenerator[str, None]:
        """Stream the reply's text. Closing the iterator closes the connection, which aborts the
        generation on the server.

        ``model`` goes before that of the settings; ``within_s`` bounds the wait for the first token;
        ``after`` is what another server has written of the reply: only the rest is yielded.
        Raises EngineError when no server answers, or none can go on.
        """
        loop = asyncio.get_running_loop()
        deadline_s, written = loop.time() + within_s, after
        priority = SPECULATIVE_PRIORITY if speculative else REPLY_PRIORITY
        name = model or self._servers.served_model
        request = _Request(messages, priority, call_id, name, self._limits.max_tokens)
        tried: set[Server] = set()
        while len(tried) < MOST_TRIES:
            first_s = self.timeout_s if written else min(self.timeout_s, deadline_s - loop.time())
            if first_s < LEAST_TIME_S:
                break
            try:
                server = self._pool.pick(avoid=frozenset(tried))
            except EngineError:
                if not written:
                    raise
                break
            if written and not self.is_vllm(server):
                break
            tried.add(server)
            try:
                async with aclosing(self._use(server, request, written, first_s)) as texts:
                    async for text in texts:
                        written += text
                        yield text
                return
            except RefusedError as e:
                if e.status == NO_SUCH_MODEL and request.model != self._servers.served_model:
                    log.error("! llm %s has no model %s", server.url, request.model)
                    request = replace(request, model=self._servers.served_model)
                    tried.discard(server)
                else:
                    log.warning("! llm %s refused a reply: %s", server.url, e)
            except TooLongError as e:
                raise EndlessReplyError("llm", "the reply found no end") from e
            except (aiohttp.ClientError, TimeoutError) as e:
                self._pool.failed(server, f"{type(e).__name__} while writing")
        raise EngineError("llm", "the reply broke off" if written else "no server answered")

    def servers_up(self) -> list[Server]:
        """Those that can be asked now."""
        return [server for server in self._pool.servers if server.health is Health.UP]

    def is_vllm(self, server: Server) -> bool:
        """Whether it is known to take what is vLLM's own: ``priority``, ``continue_final_message``.
        What we start ourselves is; of what the settings name they say so."""
        return self._servers.priorities or server.url not in self._servers.urls

    def idle_s(self, server: Server) -> float:
        """How long this process has asked it nothing; endless when it never did."""
        asked_at = self._asked_at.get(server.url)
        if server.in_flight:
            return 0.0
        return inf if asked_at is None else asyncio.get_running_loop().time() - asked_at

    @property
    def heeds_priorities(self) -> bool:
        """Whether every server that is up serves replies before notes."""
        return all(self.is_vllm(server) for server in self.servers_up())

    def has_room(self) -> bool:
        """Whether a server is up that heeds priorities, or does nothing for us now."""
        return bool(self._with_room())

    async def note(
        self,
        messages: Sequence[Message],
        *,
        call_id: str,
        model: str = "",
        max_tokens: int,
        within_s: float,
    ) -> str:
        """The whole text of what nobody waits for, by one server that has room for it.

        Neither its failing nor its time counts against the server. Raises EngineError.
        """
        found = self._with_room()
        if not found:
            raise EngineError("llm", "no server has room for notes")
        server = min(found, key=lambda s: (s.is_full, max(s.in_flight, s.reported)))
        name = model or self._servers.served_model
        request = _Request(messages, NOTE_PRIORITY, call_id, name, max_tokens)
        try:
            async with asyncio.timeout(within_s):
                try:
                    return await self._whole(server, request, within_s)
                except RefusedError as e:
                    if e.status != NO_SUCH_MODEL or name == self._servers.served_model:
                        raise
                    own = replace(request, model=self._servers.served_model)
                    return await self._whole(server, own, within_s)
        except (RefusedError, TooLongError, aiohttp.ClientError, TimeoutError) as e:
            raise EngineError("llm", f"{server.url} wrote no notes: {reason_of(e)}") from e

    async def _whole(self, server: Server, request: _Request, within_s: float) -> str:
        text = ""
        async with aclosing(self._use(server, request, "", within_s, False)) as texts:
            async for more in texts:
                text += more
                if len(text) > LONGEST_NOTE_LETTERS:  # it heeds no ``max_tokens``
                    break
        return text

    def _with_room(self) -> list[Server]:
        return [s for s in self.servers_up() if self.is_vllm(s) or not s.in_flight]

    async def warm(self, server: Server, messages: Sequence[Message], model: str = "") -> None:
        """Let one server read a prompt, so that its prefix cache holds it and a connection is open.

        Raises RefusedError, aiohttp.ClientError or TimeoutError; none of them puts the server out of
        its pool: this was nobody's call.
        """
        name = model or self._servers.served_model
        request = _Request(messages, WARM_PRIORITY, "", name, max_tokens=1)
        async with aclosing(self._use(server, request, "", WARM_TIMEOUT_S, False)) as texts:
            async for _ in texts:
                pass

    async def _use(
        self, server: Server, request: _Request, written: str, first_s: float, counts: bool = True
    ) -> AsyncGenerator[str, None]:
        """One server's text; how long its first took goes to the pool if it ``counts``."""
        now = asyncio.get_running_loop().time
        asked_at, begun = now(), False
        with self._pool.use(server):
            try:
                async with aclosing(self._stream(server, request, written, first_s)) as texts:
                    async for text in texts:
                        if counts and not begun:
                            self._pool.took(now() - asked_at)
                        begun = True
                        yield text
            finally:
                self._asked_at[server.url] = now()

    async def _stream(
        self, server: Server, request: _Request, written: str, first_s: float
    ) -> AsyncGenerator[str, None]:
        url = server.http_url + "/v1/chat/completions"
        body = orjson.dumps(self._body(server, request, written))
        rest = b""
        answer = stream(
            self._http, url, body, server.json_headers, first_s, TOKEN_TIMEOUT_S,
            self._limits.answer_timeout_s, REFUSALS | {NO_SUCH_MODEL},
        )  # fmt: skip
        async with aclosing(answer):
            async for chunk in answer:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if text := _delta(line):
                        yield text
                if len(rest) > LONGEST_EVENT_BYTES:
                    raise aiohttp.ClientPayloadError("not an event stream")

    def _body(self, server: Server, request: _Request, written: str) -> dict[str, object]:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        body: dict[str, object] = {
            "model": request.model,
            "messages": messages,
            "stream": True,
            "max_tokens": request.max_tokens,
            "temperature": self._limits.temperature,
            "user": request.call_id,
        }
        if self.is_vllm(server):
            body["priority"] = request.priority
        if written:  # the server goes on where the text stops, with no turn of its own
            messages.append({"role": "assistant", "content": written})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body


def _delta(line: bytes) -> str:
    """The text of one server-sent event, or an empty string (comments, role, usage, [DONE]).

    Raises aiohttp.ClientPayloadError for one that tells of an error (vLLM's engine died in mid-reply)
    or that the reply was given up: vLLM was told to stop.
    """
    if not line.startswith(b"data: {"):
        return ""
    try:
        event = orjson.loads(line[6:])
        if isinstance(event, dict) and isinstance(event.get("error"), dict):
            raise aiohttp.ClientPayloadError("the server reports an error")
        choices = event["choices"]
        if choices and choices[0].get("finish_reason") == ABORTED:
            raise aiohttp.ClientPayloadError("the server gives the reply up")
        return choices[0]["delta"].get("content") or "" if choices else ""
    except (orjson.JSONDecodeError, KeyError, IndexError, AttributeError, TypeError):
        log.warning("! llm: an event that is not OpenAI's shape was dropped")
        return ""
