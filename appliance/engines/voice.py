"""Client of the TTS servers (OpenAI's /v1/audio/speech, PCM streamed)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
import orjson

from appliance.audio import bytes_of
from appliance.engines.http import RefusedError, stream
from appliance.engines.pool import Pool, Server
from appliance.errors import EngineError
from appliance.events import Agent
from appliance.speech.spoken_form import spoken_form

log = logging.getLogger(__name__)

MOST_TRIES = 3
LONGEST_PHRASE_MS, LONGEST_LETTER_MS = 5000, 500
"""Far slower than anybody speaks: a server that goes on beyond this has run away."""
CHUNK_TIMEOUT_S = 3.0
"""Longest wait between two chunks of a phrase that has begun."""


class HttpVoice:
    """Text to speech by a pool of servers; a phrase cut off by one goes on at the next."""

    def __init__(self, pool: Pool, http: aiohttp.ClientSession, timeout_ms: int) -> None:
        self._pool = pool
        self._http = http
        self._first_timeout_s = timeout_ms / 1000

    async def speak(self, text: str, agent: Agent, rate_hz: int) -> AsyncGenerator[bytes, None]:
        """Stream L16 at ``rate_hz``: ``text`` as the agent's language and dictionary have it spoken.

        Nothing, where nothing of it can be. Raises EngineError when no server could speak it all.
        """
        text = spoken_form(text, agent.language, agent.pronunciations)
        if not text:
            return
        sent, most = 0, bytes_of(LONGEST_PHRASE_MS + len(text) * LONGEST_LETTER_MS, rate_hz)
        tried: set[Server] = set()
        for _ in range(MOST_TRIES):
            engines = (agent.tts_engine,) if agent.tts_engine else ()
            server = self._pool.pick(agent.language, frozenset(tried), agent.voice, engines)
            tried.add(server)
            with self._pool.use(server):
                try:
                    asked_at = asyncio.get_running_loop().time()
                    skip = sent  # synthesis is repeatable: the next server's first bytes were heard
                    async with aclosing(self._stream(server, text, agent, rate_hz)) as chunks:
                        async for chunk in chunks:
                            fresh, skip = chunk[skip:], max(0, skip - len(chunk))
                            if sent > most:
                                log.warning("! tts %s does not end a phrase", server.url)
                                return
                            if fresh:
                                if not sent:
                                    self._pool.took(asyncio.get_running_loop().time() - asked_at)
                                sent += len(fresh)
                                yield fresh
                    return
                except RefusedError as e:
                    log.warning("! tts %s refused a phrase: %s", server.url, e)
                except (aiohttp.ClientError, TimeoutError) as e:
                    self._pool.failed(server, f"{type(e).__name__} while speaking")
        raise EngineError("tts", "no server could speak a phrase")

    async def _stream(
        self, server: Server, text: str, agent: Agent, rate_hz: int
    ) -> AsyncGenerator[bytes, None]:
        body = {
            "model": "tts",
            "input": text,
            "voice": agent.voice,
            "language": agent.language,
            "response_format": "pcm",
            "sample_rate": rate_hz,
        }
        url = server.http_url + "/v1/audio/speech"
        half = b""
        answer = stream(
            self._http, url, orjson.dumps(body), server.json_headers,
            self._first_timeout_s, CHUNK_TIMEOUT_S,
        )  # fmt: skip
        async with aclosing(answer):
            async for chunk in answer:
                chunk = half + chunk
                half = chunk[len(chunk) & ~1 :]  # never hand on half a sample
                yield chunk[: len(chunk) & ~1]
