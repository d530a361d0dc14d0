"""The roster: what replicas tell, what the driver serves, what a worker's pools follow."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import aiohttp
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from talkers import AGENT, Caller, plain
from tinyserver import tiny, until

from appliance.capacity.roster import FRESH_S, HEARD_AFTER_S, Board, Entry, RosterServer
from appliance.engines import roster as rosters
from appliance.engines.emulated import EmulatedEngines
from appliance.engines.emulated_script import Script
from appliance.engines.pool import Pool
from appliance.engines.recogniser import HttpRecogniser
from appliance.engines.roster import Roster, read_roster
from appliance.errors import UserError
from tests.metrics_kit import assert_known, parsed


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def entry(url: str, stage: str = "stt", warm: bool = True) -> Entry:
    return Entry(f"{stage}.0", stage, url, warm, in_flight=1, capacity=4)


# -- the board -----------------------------------------------------------------------------------


def test_the_last_word_of_a_replica_counts_until_it_is_old() -> None:
    clock = Clock()
    board = Board(clock)
    board.tell("a", entry("ws://a:1", warm=False))
    board.tell("b", entry("ws://b:1"))
    board.tell("a", entry("ws://a:1"))
    assert [(e.url, e.warm) for e in board.entries()] == [("ws://a:1", True), ("ws://b:1", True)]
    clock.now_s += FRESH_S
    board.tell("b", entry("ws://b:1"))
    clock.now_s += 0.1
    assert [e.url for e in board.entries()] == ["ws://b:1"]
    board.leave("b")
    board.leave("nobody")
    assert board.entries() == []


def test_a_young_board_has_not_heard_of_everybody() -> None:
    clock = Clock()
    board = Board(clock)
    assert not board.has_heard()
    clock.now_s += HEARD_AFTER_S
    assert board.has_heard()


# -- the server ----------------------------------------------------------------------------------


@pytest.mark.server
async def test_only_the_warm_are_on_the_roster_and_old_news_are_none() -> None:
    clock, server = Clock(), None
    server = RosterServer(clock)
    port = await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

            async def ask(path: str) -> tuple[int, object]:
                async with http.get(path) as answer:
                    return answer.status, await answer.json()

            assert (await ask("/roster"))[0] == 503
            cold = entry("ws://c:1", warm=False)
            server.show([entry("ws://b:1"), entry("ws://a:1"), cold], {"pools": {}})
            assert await ask("/") == (200, {"stt": ["ws://a:1", "ws://b:1"]})
            status, facts = await ask("/status")
            assert isinstance(facts, dict) and status == 200 and len(facts["servers"]) == 3
            assert facts["known"] is True and facts["pools"] == {}
            async with http.get("/metrics") as answer:
                told = parsed(await answer.text())
            assert_known(told, "cluster")
            assert told.value("ivr_pool_servers", pool=cold.pool, state="warm") == 2
            assert told.value("ivr_pool_servers", pool=cold.pool, state="starting") == 1
            clock.now_s += FRESH_S + 0.1  # the cluster does not answer: no reason to leave servers
            assert (await ask("/roster"))[0] == 503
        with pytest.raises(UserError, match=r"cluster\.port"):
            await RosterServer().start("127.0.0.1", port)
    finally:
        await server.stop()


# -- the worker ----------------------------------------------------------------------------------


def test_a_roster_is_read() -> None:
    body = b'{"stt":["ws://10.0.0.5:41001"],"tts":[]}'
    assert read_roster(body) == {"stt": ("ws://10.0.0.5:41001",), "tts": ()}
    urls = ["wss://gpu-1.example", "http://[fd00::1]:8000/v1", "http://gpu_2:80/"]
    assert read_roster(orjson.dumps({"llm": urls})) == {"llm": tuple(urls)}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"stt":"ws://a:1"}', b'{"stt":[7]}', b'{"stt":["ftp://a"]}',
     b'{"stt":["file:///etc/passwd"]}', b'{"stt":["ws://.."]}', b'{"stt":["ws://u:pw@a:1"]}',
     b'{"stt":["ws://a:99999"]}', b'{"stt":["ws://a b"]}', b'{"stt":["ws://a:1\\r\\nX: y"]}',
     b'{"stt":["ws://a:1?q"]}', orjson.dumps({"stt": ["ws://" + "a" * 64]}),
     orjson.dumps({"stt": ["ws://a:1"] * 5000}), b"\xff"],
)  # fmt: skip
def test_what_is_no_roster_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_roster(body)


@given(st.binary(max_size=200))
def test_nothing_else_comes_of_reading_one(body: bytes) -> None:
    try:
        found = read_roster(body)
    except ValueError:
        return
    assert all(isinstance(url, str) for urls in found.values() for url in urls)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.server
async def test_pools_follow_and_the_last_answer_holds(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    named: dict[str, list[str]] = {"stt": ["ws://b:1", "ws://a:1"], "other": ["http://x:1"]}
    status = 200

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(named, status=status)

    async with tiny("/roster", answer) as server:
        stt, tts = Pool("stt", ("ws://fixed:1",), http), Pool("tts", (), http)
        roster = Roster(server.url + "/roster", (stt, tts), http)
        assert await roster.ask()
        assert [s.url for s in stt.servers] == ["ws://fixed:1", "ws://a:1", "ws://b:1"]
        kept = stt.servers[2]
        named = {"stt": ["ws://b:1"], "tts": ["http://c:1"]}
        assert await roster.ask()
        assert [s.url for s in stt.servers] == ["ws://fixed:1", "ws://b:1"]
        assert stt.servers[1] is kept  # with its load and its health
        assert [s.url for s in tts.servers] == ["http://c:1"]
        status = 503
        assert not await roster.ask() and not await roster.ask()
        assert [s.url for s in tts.servers] == ["http://c:1"]
    assert not await roster.ask()
    assert len(stt.servers) == 2
    told = [r.getMessage() for r in caplog.records if "roster" in r.getMessage()]
    assert len(told) == 1 and "the last one holds" in told[0]


@pytest.mark.server
async def test_a_roster_in_pieces_is_one_and_one_without_end_or_from_elsewhere_is_none(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rosters, "LARGEST_ANSWER_BYTES", 100_000)

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"stt":["ws://10.0', b'.0.5:1"]}'):
            await response.write(piece)
            await asyncio.sleep(0.05)
        return response

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b" " * 60_000)
        return response

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("/pieces")

    async with (
        tiny("/pieces", pieces) as good,
        tiny("/endless", endless) as hostile,
        tiny("/away", elsewhere) as away,
    ):
        pool = Pool("stt", (), http)
        assert not await Roster(hostile.url + "/endless", (pool,), http).ask()
        assert not await Roster(away.url + "/away", (pool,), http).ask()
        assert pool.servers == []
        assert await Roster(good.url + "/pieces", (pool,), http).ask()
        assert [server.url for server in pool.servers] == ["ws://10.0.0.5:1"]


@pytest.mark.server
@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
async def test_a_call_survives_the_servers_that_come_and_go(
    http: aiohttp.ClientSession, script: Script
) -> None:
    """One server dies in mid-utterance, one leaves the roster with a call on it."""
    board = RosterServer()
    port = await board.start("127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(board.stop)
        engines = [EmulatedEngines(script) for _ in range(3)]
        for engine in engines:
            await engine.start(("stt",))
            stack.push_async_callback(engine.stop)
        urls = [engine.urls["stt"] for engine in engines]
        board.show([entry(urls[0])], {})
        pool = Pool("stt", (), http)
        roster = Roster(f"http://127.0.0.1:{port}", (pool,), http)
        assert await roster.ask()
        await pool.check()
        caller = Caller(HttpRecogniser(pool, http, 2000), script)
        await until(lambda: pool.servers[0].in_flight)
        said = script.utterances[0]

        board.show([entry(urls[0]), entry(urls[1])], {})
        assert await roster.ask()
        await pool.check()
        saying = asyncio.create_task(caller.say(said, 1))
        await asyncio.sleep(0.3)
        await engines[0].stop()
        assert await saying == plain(said)

        board.show([entry(urls[2])], {})
        saying = asyncio.create_task(caller.say(said, 2))
        await asyncio.sleep(0.1)
        assert await roster.ask()
        await pool.check()
        assert [server.url for server in pool.servers] == [urls[2]]
        assert await saying == plain(said)  # heard to its end where it was
        assert engines[1].loads["stt"].in_flight == 1 and engines[2].loads["stt"].in_flight == 0
        await engines[1].stop()
        assert await caller.say(said, 3) == plain(said)
        caller.session.close()
        assert AGENT.language == "en" and [s.in_flight for s in pool.servers] == [0]
