"""The TTS client against real small servers that are slow, wrong or die in mid-phrase."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import aiohttp
import numpy as np
import orjson
import pytest
from aiohttp import web
from tinyserver import Tiny, tiny, until

from appliance.engines import voice as voices
from appliance.engines.pool import Health, Pool
from appliance.engines.voice import HttpVoice
from appliance.errors import EngineError
from appliance.events import Agent

pytestmark = pytest.mark.server

PATH = "/v1/audio/speech"
AGENT = Agent("a", 1, "A", language="en", voice="slt")
PCM = np.arange(8000, dtype="<i2").tobytes()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def speaking(*, dies_after: int | None = None, chunk: int = 1001, delay_s: float = 0.0):  # type: ignore[no-untyped-def]
    """A server's handler: PCM in chunks of an odd length, cut off after ``dies_after`` bytes."""

    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(delay_s)
        response = web.StreamResponse()
        await response.prepare(request)
        for at in range(0, len(PCM), chunk):
            if dies_after is not None and at >= dies_after:
                assert request.transport is not None
                await asyncio.sleep(0.02)
                request.transport.abort()
                raise ConnectionResetError
            await response.write(PCM[at : at + chunk])
            await asyncio.sleep(0)
        return response

    return handler


async def voice_of(http: aiohttp.ClientSession, *servers: Tiny, timeout_ms: int = 400) -> HttpVoice:
    pool = Pool("tts", tuple(s.url for s in servers), http)
    await pool.check()
    return HttpVoice(pool, http, timeout_ms)


async def spoken(voice: HttpVoice) -> list[bytes]:
    async with aclosing(voice.speak("Hello there.", AGENT, 8000)) as chunks:
        return [chunk async for chunk in chunks]


async def test_the_request_is_openais_and_samples_stay_whole(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, speaking()) as server:
        chunks = await spoken(await voice_of(http, server))
    assert b"".join(chunks) == PCM
    assert all(len(chunk) % 2 == 0 for chunk in chunks)
    assert orjson.loads(server.asked[0]) == {
        "model": "tts",
        "input": "Hello there.",
        "voice": "slt",
        "language": "en",
        "response_format": "pcm",
        "sample_rate": 8000,
    }


@pytest.mark.parametrize("dies_after", [0, 3003, 15000])
async def test_a_server_that_dies_in_mid_phrase_is_carried_on_without_repeating(
    http: aiohttp.ClientSession, dies_after: int
) -> None:
    async with tiny(PATH, speaking(dies_after=dies_after)) as a, tiny(PATH, speaking()) as b:
        voice = await voice_of(http, a, b)
        assert b"".join(await spoken(voice)) == PCM
        assert a.asked and b.asked  # the first in the list was tried first
        assert b"".join(await spoken(voice)) == PCM
        assert len(a.asked) == 1  # and is out now


async def test_a_server_without_a_first_byte_in_time_is_replaced(
    http: aiohttp.ClientSession,
) -> None:
    async with tiny(PATH, speaking(delay_s=60)) as slow, tiny(PATH, speaking()) as quick:
        voice = await voice_of(http, slow, quick, timeout_ms=200)
        async with asyncio.timeout(20):  # long before it speaks
            assert b"".join(await spoken(voice)) == PCM
        assert len(slow.asked) == len(quick.asked) == 1
        await until(lambda: slow.aborted == 1)  # and is told to stop


async def test_a_server_that_stops_in_mid_phrase_is_replaced(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices, "CHUNK_TIMEOUT_S", 0.2)

    async def stuck(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(PCM[:999])
        await asyncio.sleep(10)
        return response

    async with tiny(PATH, stuck) as a, tiny(PATH, speaking()) as b:
        assert b"".join(await spoken(await voice_of(http, a, b))) == PCM


@pytest.mark.parametrize(
    ("agent", "written", "sent"),
    [
        (AGENT, "Pay ₹499.", "Pay four hundred and ninety-nine rupees."),
        (replace(AGENT, language="hi"), "आपका plan ₹5 का", "आपका प्लान पाँच रुपये का"),
        (replace(AGENT, pronunciations={"Jio": "jee-o"}), "JIO", "jee-o"),
    ],
)
async def test_the_server_gets_what_is_spoken(
    http: aiohttp.ClientSession, agent: Agent, written: str, sent: str
) -> None:
    async with tiny(PATH, speaking()) as server:
        async with aclosing((await voice_of(http, server)).speak(written, agent, 8000)) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == PCM
    assert orjson.loads(server.asked[0])["input"] == sent


async def test_what_cannot_be_spoken_is_not_asked_for(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, speaking()) as server:
        async with aclosing((await voice_of(http, server)).speak("*** 😀", AGENT, 8000)) as chunks:
            assert [chunk async for chunk in chunks] == []
    assert server.asked == []


async def test_none_left_is_an_engine_error(http: aiohttp.ClientSession) -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=500)

    async with tiny(PATH, broken) as a, tiny(PATH, speaking(dies_after=2000)) as b:
        voice = await voice_of(http, a, b)
        with pytest.raises(EngineError, match="tts"):
            await spoken(voice)


@pytest.mark.parametrize("status", [400, 413, 429, 503])
async def test_a_phrase_that_is_refused_takes_no_server_from_the_other_calls(
    http: aiohttp.ClientSession, status: int
) -> None:
    """No English voice can say that one phrase."""

    async def choosy(request: web.Request) -> web.StreamResponse:
        if orjson.loads(await request.read())["input"] == "\u0928\u092e":
            return web.json_response({"error": {"message": "no"}}, status=status)
        answer: web.StreamResponse = await speaking()(request)
        return answer

    async with tiny(PATH, choosy) as a, tiny(PATH, choosy) as b:
        voice = await voice_of(http, a, b)
        with pytest.raises(EngineError, match="tts"):
            async with aclosing(voice.speak("\u0928\u092e", AGENT, 8000)) as chunks:
                async for _ in chunks:
                    pass
        assert len(a.asked) == len(b.asked) == 1
        assert b"".join(await spoken(voice)) == PCM  # another call, at once


async def test_closing_stops_the_synthesis_and_keeps_the_server(
    http: aiohttp.ClientSession,
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(PCM)
            await asyncio.sleep(0.01)

    async with tiny(PATH, endless) as server:
        pool = Pool("tts", (server.url,), http)
        await pool.check()
        stream = HttpVoice(pool, http, 400).speak("Hello.", AGENT, 8000)
        await anext(stream)
        assert pool.servers[0].in_flight == 1
        await stream.aclose()
        assert pool.servers[0].in_flight == 0 and pool.servers[0].health is Health.UP
        await until(lambda: server.aborted == 1)


async def test_a_consumer_that_takes_its_time_is_not_a_slow_server(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices, "CHUNK_TIMEOUT_S", 0.1)
    async with tiny(PATH, speaking()) as server:
        voice, got = await voice_of(http, server, timeout_ms=100), b""
        async with aclosing(voice.speak("Hello.", AGENT, 8000)) as chunks:
            async for chunk in chunks:
                got += chunk
                if len(got) == len(chunk):
                    await asyncio.sleep(0.3)
        assert got == PCM
