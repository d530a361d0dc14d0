"""Pools of real servers: least busy first, the dead out and back, the right language."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
import virtualtime
from aiohttp import web
from tinyserver import tiny

from appliance.engines import pool as pools
from appliance.engines.pool import Health, Pool, Server
from appliance.errors import EngineError
from tests.tinyserver import until

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of these servers is slow; the machine may be."""
    monkeypatch.setattr(pools, "HEALTH_TIMEOUT_S", 20.0)


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


@pytest.mark.parametrize(
    "url", ["http://..", "ws://" + "a" * 64 + ":1", "http://[::1", "http://h:99999"]
)
async def test_an_address_that_is_none_is_down_and_ends_nothing(
    http: aiohttp.ClientSession, url: str
) -> None:
    pool = Pool("stt", (url,), http)
    await pool.check()
    assert pool.servers[0].health is Health.DOWN


async def test_a_health_answer_without_end_or_with_absurd_numbers_hurts_nobody(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "HEALTH_BYTES", 5000)
    async with tiny() as liar, tiny() as talker:
        liar.in_flight, talker.languages = -(10**9), ["x" * 6000]
        pool = Pool("tts", (liar.url, talker.url), http)
        await pool.check()
        assert pool.servers[0].reported == 0
        assert pool.servers[1].health is Health.DOWN


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
        async with asyncio.timeout(20):
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


async def test_preferred_engines_go_first_in_their_order(http: aiohttp.ClientSession) -> None:
    async with tiny() as whisper, tiny() as wav2vec2, tiny() as other:
        pool = Pool("stt", (whisper.url, wav2vec2.url, other.url), http)
        await pool.check()
        for server, engine in zip(pool.servers, ("whisper", "wav2vec2", "other"), strict=True):
            server.engine = engine
        first, second, third = pool.servers
        prefer = ("wav2vec2", "whisper")
        second.reported = 40
        assert pool.pick(prefer=prefer) is second  # busier, and still the better ear
        assert pool.pick(avoid=frozenset({second}), prefer=prefer) is first
        assert pool.pick(avoid=frozenset({first, second}), prefer=prefer) is third
        assert pool.pick(prefer=("unheard-of",)) is first  # never refused for a preference
        second.health = Health.DOWN
        assert pool.pick(prefer=prefer) is first
        assert pool.pick(voice="slt", prefer=("other",)) is third


async def test_a_full_server_is_the_last_choice(http: aiohttp.ClientSession) -> None:
    async with tiny() as small, tiny() as big:
        pool = Pool("stt", (small.url, big.url), http)
        await pool.check()
        one, two = pool.servers
        one.capacity, two.capacity = 2, 50
        with pool.use(one), pool.use(one):
            two.reported = 30
            assert one.is_full and pool.pick() is two  # fuller by number, and has places
            two.reported = 50
            assert pool.pick() is one  # all are full: the least busy; it may refuse
        two.capacity = 0
        assert not two.is_full  # it does not say, so it may take any number
        one.reported = 2  # other workers' uses count
        assert one.is_full and pool.pick() is two


async def test_what_a_health_page_says_is_read(http: aiohttp.ClientSession) -> None:
    async def page(_: web.Request) -> web.Response:
        body = {"languages": ["hi"], "in_flight": 3, "engine": "wav2vec2", "capacity": 4}
        return web.json_response(body)

    async with tiny("/own/health", page) as a:
        pool = Pool("stt", (a.url + "/own",), http)
        await pool.check()
        (server,) = pool.servers
        assert (server.engine, server.capacity, server.reported) == ("wav2vec2", 4, 3)
        assert server.languages == {"hi"} and not server.is_full


async def test_what_a_roster_names_is_taken_up_and_dropped(http: aiohttp.ClientSession) -> None:
    pool = Pool("tts", ("http://fixed:1",), http)
    pool.follow(["http://b:1", "http://a:1", "http://a:1"])
    assert [s.url for s in pool.servers] == ["http://fixed:1", "http://a:1", "http://b:1"]
    busy = pool.servers[1]
    with pool.use(busy):
        pool.follow(["http://b:1"])
        assert busy not in pool.servers and busy.in_flight == 1  # goes on where it is
    assert busy.in_flight == 0
    pool.follow(())
    assert [s.url for s in pool.servers] == ["http://fixed:1"]


async def test_a_server_is_taught_before_it_is_used(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    taught: list[str] = []
    slow = asyncio.Event()

    async def teach(server: Server) -> None:
        taught.append(server.url)
        await slow.wait()

    async with tiny() as old, tiny() as new:
        pool = Pool("stt", (old.url,), http)
        pool.teach_by(teach)
        slow.set()
        await pool.check()
        assert pool.pick().url == old.url and taught == [old.url]
        await pool.check()
        assert taught == [old.url]  # once

        slow.clear()
        pool.follow((new.url,))
        running = asyncio.create_task(pool.run())
        while taught != [old.url, new.url]:
            await asyncio.sleep(0.01)
        old.in_flight = 9
        # meanwhile the others are looked after, and it is taught once
        await until(lambda: pool.servers[0].reported == 9)
        assert pool.pick().url == old.url
        slow.set()
        await until(lambda: pool.pick().url == new.url)
        assert len(taught) == 2

        monkeypatch.setattr(pools, "TEACH_TIMEOUT_S", 0.05)
        slow.clear()
        pool.servers[1].health = Health.UNKNOWN
        async with asyncio.timeout(20):
            while pool.servers[1].health is not Health.UP:
                await asyncio.sleep(0.02)
        assert "is slow to learn; it is used" in caplog.text
        running.cancel()
        await asyncio.wait({running})


def test_how_long_first_answers_took_lately() -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            pool = Pool("tts", (), session)
            for tenth in range(pools.FEW_RECENT - 1):
                pool.took(tenth / 10)
            assert pool.recent_s() is None  # too few to say
            pool.took(5.0)
            assert pool.recent_s(1.0) == 5.0 and pool.recent_s(0.5) == 0.3
            await asyncio.sleep(pools.RECENT_S + 0.1)
            assert pool.recent_s() is None
            for _ in range(pools.MOST_RECENT * 2):
                pool.took(0.2)
            assert pool.recent_s() == 0.2

    virtualtime.run(main())


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
