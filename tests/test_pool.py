"""Pools of real servers: least busy first, the dead out and back, the right language."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tinyserver import tiny

from appliance.engines import pool as pools
from appliance.engines.pool import Health, Pool, Server
from appliance.errors import EngineError

pytestmark = pytest.mark.server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_the_least_busy_is_picked(http: aiohttp.ClientSession) -> None:
    async with tiny() as a, tiny() as b:
        pool = Pool("tts", (a.url, b.url), http)
        await pool.check()
        assert pool.is_up()
        first = pool.pick()
        with pool.use(first):
            second = pool.pick()
            assert second is not first
            with pool.use(second), pool.use(second):
                assert pool.pick() is first
        assert [s.in_flight for s in pool.servers] == [0, 0]


async def test_what_others_use_counts_too(http: aiohttp.ClientSession) -> None:
    async with tiny() as a, tiny() as b:
        a.in_flight = 7
        pool = Pool("tts", (a.url, b.url), http)
        await pool.check()
        with pool.use(pool.servers[1]):
            assert pool.pick().url == b.url


async def test_a_use_that_fails_is_given_back(http: aiohttp.ClientSession) -> None:
    pool = Pool("tts", ("http://127.0.0.1:1",), http)
    with pytest.raises(ZeroDivisionError), pool.use(pool.servers[0]):
        raise ZeroDivisionError
    assert pool.servers[0].in_flight == 0


async def test_only_servers_of_the_language(http: aiohttp.ClientSession) -> None:
    async with tiny() as english, tiny() as indian:
        english.languages, indian.languages = ["en"], ["hi", "ta"]
        pool = Pool("tts", (english.url, indian.url), http)
        await pool.check()
        assert pool.pick("en-IN").url == english.url
        assert pool.pick("ta").url == indian.url
        with pytest.raises(EngineError, match="'fr'") as e:
            pool.pick("fr")
        assert e.value.stage == "tts"


async def test_a_voice_is_asked_of_the_server_that_has_it(http: aiohttp.ClientSession) -> None:
    async with tiny() as flite, tiny() as espeak:
        flite.voices, espeak.voices, flite.in_flight = ["slt"], ["en", "hi"], 40
        pool = Pool("tts", (flite.url, espeak.url), http)
        await pool.check()
        own = pool.pick("en", voice="slt")
        assert own.url == flite.url  # busier, but it sounds like the agent
        assert pool.pick("en", frozenset({own}), voice="slt").url == espeak.url
        assert pool.pick("en", voice="unheard-of").url == espeak.url


async def test_those_tried_are_avoided(http: aiohttp.ClientSession) -> None:
    async with tiny() as a, tiny() as b:
        pool = Pool("tts", (a.url, b.url), http)
        await pool.check()
        tried = {pool.pick()}
        tried.add(pool.pick(avoid=frozenset(tried)))
        assert len(tried) == 2
        with pytest.raises(EngineError):
            pool.pick(avoid=frozenset(tried))


async def test_unknown_is_used_only_when_none_is_up(http: aiohttp.ClientSession) -> None:
    async with tiny() as a:
        pool = Pool("tts", (a.url, "http://127.0.0.1:1"), http)
        assert pool.pick().health is Health.UNKNOWN and not pool.is_up()
        await pool.check()
        assert pool.pick().url == a.url
        assert pool.servers[1].health is Health.DOWN


async def test_a_dead_server_is_out_at_once_and_comes_back(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pools, "FIRST_REST_S", 0.05)
    monkeypatch.setattr(pools, "GOOD_FOR_S", 0.0)
    caplog.set_level(logging.INFO)
    async with tiny() as a, tiny() as b:
        pool = Pool("tts", (a.url, b.url), http)
        await pool.check()
        await a.stop()
        pool.failed(pool.servers[0], "ClientError while speaking")
        pool.failed(pool.servers[0], "ClientError while speaking")
        for _ in range(5):
            assert pool.pick().url == b.url
        await pool.check()
        assert pool.servers[0].health is Health.DOWN
        await a.start_again()
        async with asyncio.timeout(3):
            while pool.servers[0].health is not Health.UP:
                await pool.check()
                await asyncio.sleep(0.02)
    told = [r.getMessage() for r in caplog.records if a.url in r.getMessage()]
    assert len(told) == 2 and "is out" in told[0] and "is back" in told[1]


async def test_a_server_that_loads_is_not_used(http: aiohttp.ClientSession) -> None:
    async with tiny() as a:
        a.status = 503
        pool = Pool("tts", (a.url,), http)
        await pool.check()
        assert not pool.is_up()
        a.status = 200
        await pool.check()
        assert pool.is_up()
        a.status = 503
        await pool.check()
        assert not pool.is_up()


async def test_failing_again_soon_rests_longer_up_to_a_limit(http: aiohttp.ClientSession) -> None:
    pool = Pool("tts", ("http://127.0.0.1:1",), http)
    (server,) = pool.servers
    server.failed_at = -1000.0
    rests = []
    for _ in range(8):
        pool.failed(server, "slow")
        rests.append(server.rest_s)
    assert rests[0] == pools.FIRST_REST_S
    assert rests == sorted(rests) and rests[-1] == pools.LONGEST_REST_S


async def test_a_failed_server_rests_although_its_health_page_is_fine(
    http: aiohttp.ClientSession,
) -> None:
    async with tiny() as a:
        pool = Pool("tts", (a.url,), http)
        await pool.check()
        pool.failed(pool.servers[0], "no audio in 2 s")
        await pool.check()
        assert pool.servers[0].health is Health.DOWN


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"languages":5,"in_flight":1}', b'{"in_flight":"many"}', b"\xff"],
)
async def test_a_strange_health_page_is_still_up(body: bytes, http: aiohttp.ClientSession) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with tiny("/odd/health", page) as a:
        pool = Pool("llm", (a.url + "/odd",), http)
        await pool.check()
        assert pool.is_up() and pool.pick("hi")


def test_websocket_urls_have_health_pages_too() -> None:
    assert Server("ws://h:1/").http_url == "http://h:1"
    assert Server("wss://h:1").http_url == "https://h:1"
