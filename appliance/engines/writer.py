"""Client of the language model: OpenAI's streaming chat completions, as vLLM serves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import aiohttp
import orjson

from appliance.engines.http import RefusedError, stream
from appliance.engines.pool import Pool, Server
from appliance.errors import EngineError
from appliance.events import Message
from appliance.settings import Llm

log = logging.getLogger(__name__)

MOST_TRIES = 2
TOKEN_TIMEOUT_S = 3.0
"""Longest wait between two tokens of a reply that has begun."""
LONGEST_EVENT_BYTES = 1 << 20
"""Of a server-sent event; what is longer is no chat completion."""
SPECULATIVE_PRIORITY = 10
"""vLLM serves lower numbers first; replies that somebody waits for have 0."""


class OpenAiWriter:
    """The language model by a pool of servers; a server that fails before its first token is
    replaced by the next, one that fails later ends the reply."""

    def __init__(self, pool: Pool, http: aiohttp.ClientSession, settings: Llm) -> None:
        self._pool = pool
        self._http = http
        self._settings = settings

    async def write(
        self, messages: Sequence[Message], *, speculative: bool, call_id: str
    ) -> AsyncGenerator[str, None]:
        """Stream the reply's text. Closing the iterator closes the connection, which aborts the
        generation on the server. Raises EngineError when no server answers."""
        tried: set[Server] = set()
        for _ in range(MOST_TRIES):
            server = self._pool.pick(avoid=frozenset(tried))
            tried.add(server)
            begun = False
            with self._pool.use(server):
                try:
                    asked_at = asyncio.get_running_loop().time()
                    texts = self._stream(server, messages, speculative, call_id)
                    async with aclosing(texts):
                        async for text in texts:
                            if not begun:
                                self._pool.took(asyncio.get_running_loop().time() - asked_at)
                            begun = True
                            yield text
                    return
                except RefusedError as e:
                    log.warning("! llm %s refused a reply: %s", server.url, e)
                except (aiohttp.ClientError, TimeoutError) as e:
                    self._pool.failed(server, f"{type(e).__name__} while writing")
                    if begun:
                        raise EngineError("llm", "the reply broke off") from e
        raise EngineError("llm", "no server answered")

    async def _stream(
        self, server: Server, messages: Sequence[Message], speculative: bool, call_id: str
    ) -> AsyncGenerator[str, None]:
        body: dict[str, object] = {
            "model": self._settings.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
            "max_tokens": self._settings.max_tokens,
            "temperature": self._settings.temperature,
            "user": call_id,
        }
        if self._settings.priorities:
            body["priority"] = SPECULATIVE_PRIORITY if speculative else 0
        key = self._settings.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = server.http_url + "/v1/chat/completions"
        first_s = self._settings.timeout_ms / 1000
        rest = b""
        answer = stream(self._http, url, orjson.dumps(body), headers, first_s, TOKEN_TIMEOUT_S)
        async with aclosing(answer):
            async for chunk in answer:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if text := _delta(line):
                        yield text
                if len(rest) > LONGEST_EVENT_BYTES:
                    raise aiohttp.ClientPayloadError("not an event stream")


def _delta(line: bytes) -> str:
    """The text of one server-sent event, or an empty string (comments, role, usage, [DONE])."""
    if not line.startswith(b"data: {"):
        return ""
    try:
        choices = orjson.loads(line[6:])["choices"]
        return choices[0]["delta"].get("content") or "" if choices else ""
    except (orjson.JSONDecodeError, KeyError, IndexError, AttributeError, TypeError):
        log.warning("! llm: an event that is not OpenAI's shape was dropped")
        return ""
