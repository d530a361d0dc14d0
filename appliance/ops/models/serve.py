"""An engine server for the length of a self-test, and what is asked of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from appliance.audio import bytes_of
from appliance.engines.key import headers_of, key_for
from appliance.errors import UserError, reason_of
from appliance.ops.keeping.groups import engine_program
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.ports import free_port
from appliance.settings import ENV_PREFIX, Place, Run, Settings, Stage
from appliance.urls import http_of

RATE_HZ = 8000
"""As a telephone delivers it."""
PIECE_MS, PIECE_PAUSE_S = 100, 0.02
"""Five times as fast as it is spoken: a wire's servers take that when they hear a call again."""
SILENCE_MS = 300
"""Before and after the speech, as a detector leaves."""
START_S = 300.0
"""Loading 16 GB from a cold disk, and compiling."""
ANSWER_S = 60.0
CONTEXT = "SELFTEST.1.1"


@dataclass(frozen=True, slots=True)
class At:
    """An engine server, and what it asks for."""

    url: str
    """Base URL, of HTTP."""
    key: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: Settings, stage: Stage, url: str) -> At:
        """One of the settings' servers, or of their roster's; waits for the disk."""
        key = key_for(settings, stage, make=False)(url)
        return cls(http_of(url), key)


@asynccontextmanager
async def served(stage: str, run: Run) -> AsyncIterator[At]:
    """Run one server of ``run``, with a key of its own. Raises UserError with its last words."""
    place, key = Place(run, 0, free_port()), secrets.token_urlsafe()
    program = engine_program(stage, 0, place, warm_up_s=START_S / 2)
    named = f"{ENV_PREFIX}ENGINES__{stage.upper()}__API_KEY"
    program = replace(program, environment=program.environment | {named: key})
    keeper = Keeper(program, lambda line: None)
    keeping = asyncio.create_task(keeper.keep())
    at_once = asyncio.Event()
    try:
        await keeper.healthy()
        yield At(f"http://127.0.0.1:{place.port}", key)
    finally:
        await keeper.stop(at_once)
        with suppress(asyncio.CancelledError):
            keeping.cancel()
            await keeping


async def voices(at: At) -> list[dict[str, str]]:
    """What a TTS server offers: ``id`` and ``language`` of each voice."""
    async with _session(at) as session, session.get(f"{at.url}/v1/voices") as response:
        found: list[dict[str, str]] = (await _checked(response))["voices"]
        return found


async def say(at: At, text: str, *, voice: str, language: str) -> bytes:
    """``text`` as L16 at 8 kHz. Raises UserError."""
    body = {
        "model": "tts",
        "input": text,
        "voice": voice,
        "response_format": "pcm",
        "language": language,
        "sample_rate": RATE_HZ,
    }
    async with _session(at) as session:
        try:
            async with session.post(f"{at.url}/v1/audio/speech", json=body) as response:
                if response.status != 200:
                    await _checked(response)
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as e:
            raise UserError(f"It does not speak: {reason_of(e)}.") from e


async def hear(at: At, pcm: bytes, *, language: str, texts: list[str]) -> str:
    """What an STT server hears in L16 at 8 kHz. Raises UserError.

    ``texts`` is the vocabulary that it is given: none, but for a recogniser that knows no other.
    """
    quiet = bytes(bytes_of(SILENCE_MS, RATE_HZ))
    context = {"language": language, "texts": texts}
    opening = {
        "type": "open",
        "call_id": "selftest",
        "rate": RATE_HZ,
        "language": language,
        "context": CONTEXT,
    }
    try:
        async with asyncio.timeout(ANSWER_S), _session(at) as session:
            async with session.put(f"{at.url}/v1/contexts/{CONTEXT}", json=context) as response:
                await _checked(response)
            async with session.ws_connect(f"{at.url}/v1/stream") as socket:
                await socket.send_json(opening)
                _ready(await socket.receive_json())
                await _speak(socket, quiet + pcm + quiet)
                return await _final(socket)
    except (aiohttp.ClientError, TimeoutError, ValueError, TypeError) as e:
        raise UserError(f"It does not answer: {reason_of(e)}.") from e


async def complete(at: At, prompt: str, tokens: int) -> str:
    """What an LLM server writes after ``prompt``. Raises UserError."""
    try:
        async with asyncio.timeout(ANSWER_S), _session(at) as session:
            async with session.get(f"{at.url}/v1/models") as response:
                model = (await _checked(response))["data"][0]["id"]
            body = {
                "model": model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": tokens,
                "temperature": 0,
            }
            async with session.post(f"{at.url}/v1/chat/completions", json=body) as response:
                answer = await _checked(response)
    except (aiohttp.ClientError, TimeoutError, ValueError, LookupError) as e:
        raise UserError(f"It does not answer: {reason_of(e)}.") from e
    return str(answer["choices"][0]["message"].get("content") or "")


def _session(at: At) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    return aiohttp.ClientSession(timeout=timeout, headers=headers_of(at.key))


async def _checked(response: aiohttp.ClientResponse) -> dict[str, Any]:
    value = await response.json(content_type=None)
    if response.status == 200:
        return dict(value)
    said = value.get("error", {}) if isinstance(value, dict) else {}
    raise UserError(f"It answers {response.status}: {said.get('message', 'no reason')}")


def _ready(message: Any) -> None:
    if message.get("type") != "ready":
        raise UserError(f"It does not take the call: {message.get('message', message)}")


async def _speak(socket: aiohttp.ClientWebSocketResponse, pcm: bytes) -> None:
    size = bytes_of(PIECE_MS, RATE_HZ)
    await socket.send_json({"type": "start", "utterance": 1})
    for start in range(0, len(pcm), size):
        await socket.send_bytes(pcm[start : start + size])
        await asyncio.sleep(PIECE_PAUSE_S)
    await socket.send_json({"type": "finish", "utterance": 1})


async def _final(socket: aiohttp.ClientWebSocketResponse) -> str:
    while True:
        message = await socket.receive_json()
        if message.get("type") == "final":
            return str(message["text"])
        if message.get("type") == "error":
            raise UserError(f"It gives up: {message.get('message')}")
