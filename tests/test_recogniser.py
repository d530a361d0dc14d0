"""The recogniser's client against emulated recognisers that die, hang, forget and refuse."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import aiohttp
import orjson
import pytest
from aiohttp import web
from tinyserver import tiny, until

from appliance.audio import bytes_of, silence
from appliance.engines import recogniser as recognisers
from appliance.engines.emulated import EmulatedEngines
from appliance.engines.emulated_script import Script, Utterance
from appliance.engines.pool import Health, Pool
from appliance.engines.recogniser import HttpRecogniser, StreamSession
from appliance.events import Agent, Transcript

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed"),
]

AGENT = Agent("A", 1, "A", knowledge="k", knowledge_version=2)
RATE_HZ = 8000


def plain(utterance: Utterance) -> str:
    return " ".join(word.text.strip(".,?").lower() for word in utterance.words)


class Caller:
    """One call's session, what it heard, and a mouth."""

    def __init__(self, recogniser: HttpRecogniser) -> None:
        self.heard: list[Transcript] = []
        self.session: StreamSession = recogniser.open("c1", AGENT, RATE_HZ, self.heard.append)
        self._number = 0

    @property
    def finals(self) -> list[Transcript]:
        return [t for t in self.heard if t.final]

    async def says(
        self, utterance: Utterance, half_way: Callable[[], object] | None = None, faster: float = 8
    ) -> None:
        """Speak, ``faster`` than real time; ``half_way`` is done in the middle of it."""
        self._number += 1
        pcm = utterance.pcm(RATE_HZ) + silence(120, RATE_HZ)
        step = bytes_of(20, RATE_HZ)
        self.session.start(self._number, pcm[: 10 * step])
        for at in range(10 * step, len(pcm), step):
            if half_way is not None and at >= len(pcm) // 2:
                done, half_way = half_way(), None
                if asyncio.iscoroutine(done):
                    await done
            self.session.feed(pcm[at : at + step])
            await asyncio.sleep(0.02 / faster)
        self.session.finish()

    async def final(self, timeout_s: float = 20) -> Transcript:
        await until(lambda: len(self.finals) >= self._number, timeout_s)
        return self.finals[-1]


@asynccontextmanager
async def site(script: Script, servers: int, timeout_ms: int = 800) -> AsyncIterator[
    tuple[list[EmulatedEngines], Pool, HttpRecogniser]
]:  # fmt: skip
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        engines = [EmulatedEngines(script) for _ in range(servers)]
        for engine in engines:
            await engine.start(("stt",))
            stack.push_async_callback(engine.stop)
        pool = Pool("stt", tuple(e.urls["stt"] for e in engines), http)
        await pool.check()
        yield engines, pool, HttpRecogniser(pool, http, timeout_ms)
        await asyncio.sleep(0.02)


async def test_partials_grow_into_one_final(script: Script) -> None:
    async with site(script, 1) as (engines, pool, recogniser):
        caller = Caller(recogniser)
        for utterance in script.utterances[:2]:
            await caller.says(utterance)
            assert (await caller.final()).text == plain(utterance)
        assert [t.utterance for t in caller.finals] == [1, 2]
        assert all(t.confidence and not t.failed for t in caller.finals)
        assert len([t for t in caller.heard if t.utterance == 1 and not t.final]) >= 2
        assert pool.servers[0].in_flight == 1
        caller.session.close()
        assert pool.servers[0].in_flight == 0
        await until(lambda: engines[0].loads["stt"].in_flight == 0)


async def test_a_server_killed_in_mid_utterance_costs_no_word(script: Script) -> None:
    async with site(script, 2) as (engines, pool, recogniser):
        caller, utterance = Caller(recogniser), script.utterances[0]
        await until(lambda: pool.servers[0].in_flight)
        await caller.says(utterance, half_way=engines[0].stop)
        assert (await caller.final()).text == plain(utterance)
        assert pool.servers[0].health is Health.DOWN and pool.servers[1].in_flight == 1
        assert caller.session.failures == 1
        await caller.says(script.utterances[1])  # and the call stays there
        assert (await caller.final()).text == plain(script.utterances[1])
        caller.session.close()
        assert [s.in_flight for s in pool.servers] == [0, 0]


async def test_a_server_killed_between_utterances_costs_no_word(script: Script) -> None:
    async with site(script, 2) as (engines, pool, recogniser):
        caller = Caller(recogniser)
        await until(lambda: pool.servers[0].in_flight)
        await engines[0].stop()
        await until(lambda: pool.servers[1].in_flight)
        await caller.says(script.utterances[0])
        assert (await caller.final()).text == plain(script.utterances[0])
        caller.session.close()


async def test_all_servers_dead_is_told_as_failed_and_not_as_silence(script: Script) -> None:
    async with site(script, 1) as (engines, _, recogniser):
        caller = Caller(recogniser)
        await caller.says(script.utterances[0], half_way=engines[0].stop)
        final = await caller.final()
        assert final.failed and final.text == ""
        assert len(caller.finals) == 1
        await asyncio.sleep(1.0)  # no timer of that utterance is left
        assert len(caller.finals) == 1
        caller.session.close()


async def stream(request: web.Request, *, mute: bool = False, code: str = "") -> web.StreamResponse:
    """A recogniser that opens and then says nothing, or refuses with ``code``."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.receive()
    if code:
        await socket.send_json({"type": "error", "code": code, "message": code})
    elif not mute:
        await socket.send_json({"type": "ready", "engine": "deaf"})
    async for _ in socket:
        pass
    return socket


async def test_a_server_that_gives_no_final_is_replaced_in_time(script: Script) -> None:
    async with site(script, 1) as (_, good, recogniser), tiny(
        "/v1/stream", stream
    ) as deaf:  # fmt: skip
        pool = Pool("stt", (deaf.url.replace("http", "ws"), good.servers[0].url), recogniser._http)
        await pool.check()
        slow = HttpRecogniser(pool, recogniser._http, 800)
        caller, utterance = Caller(slow), script.utterances[0]
        await until(lambda: pool.servers[0].in_flight)
        await caller.says(utterance)
        assert (await caller.final()).text == plain(utterance)
        assert pool.servers[0].health is Health.DOWN
        await asyncio.sleep(1.0)  # the first timer must not take out the healthy one
        assert pool.servers[1].health is Health.UP and caller.session.failures == 1
        caller.session.close()


@pytest.mark.parametrize("trouble", ["mute", "full", "language", "unknown_context"])
async def test_a_server_that_does_not_open_is_passed_over(
    script: Script, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognisers, "CONNECT_TIMEOUT_S", 0.8)

    async def handler(request: web.Request) -> web.StreamResponse:
        return await stream(request, mute=True, code="" if trouble == "mute" else trouble)

    async with site(script, 1) as (_, good, recogniser), tiny("/v1/stream", handler) as bad:
        pool = Pool("stt", (bad.url.replace("http", "ws"), good.servers[0].url), recogniser._http)
        await pool.check()
        caller, utterance = (
            Caller(HttpRecogniser(pool, recogniser._http, 800)),
            script.utterances[0],
        )
        await caller.says(utterance)  # spoken while it still looks for a server
        assert (await caller.final()).text == plain(utterance)
        assert pool.servers[0].in_flight == 0 and pool.servers[1].in_flight == 1
        # One that refuses this call is there for others.
        assert pool.servers[0].health is (Health.DOWN if trouble == "mute" else Health.UP)
        caller.session.close()


async def test_the_wait_for_a_final_begins_anew_at_each_server(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The utterance is over before a server is found: its first clock must not hit the second."""
    monkeypatch.setattr(recognisers, "CONNECT_TIMEOUT_S", 1.0)

    async def mute(request: web.Request) -> web.StreamResponse:
        return await stream(request, mute=True)

    async with site(script, 1) as (_, good, recogniser), tiny("/v1/stream", mute) as bad:
        pool = Pool("stt", (bad.url.replace("http", "ws"), good.servers[0].url), recogniser._http)
        await pool.check()
        caller, utterance = (
            Caller(HttpRecogniser(pool, recogniser._http, 1400)),
            script.utterances[0],
        )
        await caller.says(utterance, faster=50)
        assert pool.servers[1].in_flight == 0  # still waiting for the mute one
        assert (await caller.final()).text == plain(utterance)
        await asyncio.sleep(0.8)
        assert caller.session.failures == 0 and pool.servers[1].health is Health.UP
        caller.session.close()


async def test_a_restarted_server_is_taught_again() -> None:
    taught: list[dict[str, object]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            assert request.path.endswith("/contexts/A.1.2")
            taught.append(orjson.loads(await request.read()))
            return web.json_response({"words": 1})
        return await stream(request, code="" if taught else "unknown_context")

    async with tiny("/v1/{rest:.*}", handler) as server, aiohttp.ClientSession() as http:
        pool = Pool("stt", (server.url.replace("http", "ws"),), http)
        await pool.check()
        recogniser = HttpRecogniser(pool, http, 500)
        await recogniser.prepare(AGENT, ["opening hours"])
        assert taught == [{"language": "en", "texts": ["opening hours"]}]
        taught.clear()  # it is restarted and knows nothing
        caller = Caller(recogniser)
        await until(lambda: pool.servers[0].in_flight == 1 and taught)
        assert taught == [{"language": "en", "texts": ["opening hours"]}]
        caller.session.close()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def forgetful() -> AsyncIterator[tuple[list[dict[str, object]], Pool]]:
    """A server that takes no call before it was taught; what it was taught, and its pool."""
    taught: list[dict[str, object]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            taught.append(orjson.loads(await request.read()))
            return web.json_response({"words": 1})
        return await stream(request, code="" if taught else "unknown_context")

    async with tiny("/v1/{rest:.*}", handler) as server, aiohttp.ClientSession() as http:
        pool = Pool("stt", (server.url.replace("http", "ws"),), http)
        await pool.check()
        yield taught, pool


async def test_an_agent_published_a_moment_ago_is_learnt_when_its_first_calls_come() -> None:
    learnt: list[str] = []
    async with forgetful() as (taught, pool), aiohttp.ClientSession() as http:
        recogniser = HttpRecogniser(pool, http, 500)

        async def learn(agent: Agent) -> None:
            learnt.append(agent.context)
            await asyncio.sleep(0.1)  # Postgres
            await recogniser.prepare(agent, ["opening hours"])

        recogniser.learn_by(learn)
        callers = [Caller(recogniser), Caller(recogniser)]
        await until(lambda: pool.servers[0].in_flight == 2 and taught)
        await asyncio.gather(*(caller.session._connecting for caller in callers))
        assert learnt == ["A.1.2"]
        assert taught[0] == {"language": "en", "texts": ["opening hours"]}
        for caller in callers:
            assert caller.session._transport is not None
            caller.session.close()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_version_published_a_moment_ago_is_heard_by_the_words_of_the_last(
    restarted: bool,
) -> None:
    contexts: dict[str, object] = {}
    built = asyncio.Event()
    opened: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            name = request.path.rpartition("/")[2]
            if name == AGENT.context:
                await built.wait()
            contexts[name] = await request.read()
            return web.json_response({"words": 1})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        context = (await socket.receive_json())["context"]
        known = context in contexts
        opened.extend([context] if known else [])
        await socket.send_json({"type": "ready"} if known else {"code": "unknown_context"})
        async for _ in socket:
            pass
        return socket

    async with tiny("/v1/{rest:.*}", handler) as server, aiohttp.ClientSession() as http:
        pool = Pool("stt", (server.url.replace("http", "ws"),), http)
        await pool.check()
        recogniser = HttpRecogniser(pool, http, 500)
        recogniser.learn_by(lambda agent: recogniser.prepare(agent, ["opening hours"]))
        others = (replace(AGENT, knowledge_version=1), replace(AGENT, id="A.1", version=2))
        for other in (replace(AGENT, knowledge_version=0), *others):
            await recogniser.prepare(other, ["opening hours"])
        if restarted:
            contexts.clear()
        caller = Caller(recogniser)
        await until(lambda: opened or restarted)
        assert opened == ([] if restarted else ["A.1.1"])
        built.set()
        await until(lambda: AGENT.context in contexts)
        await until(lambda: opened)
        caller.session.close()
        later = Caller(recogniser)
        await until(lambda: opened[-1] == AGENT.context)
        later.session.close()
        await asyncio.sleep(0.02)


async def test_an_agent_that_cannot_be_learnt_is_told_as_not_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with forgetful() as (_, pool), aiohttp.ClientSession() as http:
        recogniser = HttpRecogniser(pool, http, 500)

        async def learn(agent: Agent) -> None:
            raise OSError("Postgres is away")

        recogniser.learn_by(learn)
        caller = Caller(recogniser)
        caller.session.start(1, silence(300, RATE_HZ))
        caller._number = 1
        caller.session.finish()
        assert (await caller.final()).failed
        assert "was not learnt" in caplog.text and pool.servers[0].health is Health.UP
        caller.session.close()


async def test_a_server_that_cannot_be_taught_does_not_stop_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with aiohttp.ClientSession() as http:
        pool = Pool("stt", ("ws://127.0.0.1:1",), http)
        await HttpRecogniser(pool, http, 500).prepare(AGENT, ["x"])
    assert [r.levelno for r in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("nonsense", ["no json at all", "[1]", "null"])
async def test_nonsense_from_a_server_moves_the_call_on(script: Script, nonsense: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_json({"type": "ready"})
        await socket.receive()
        await socket.send_str(nonsense)
        async for _ in socket:
            pass
        return socket

    async with site(script, 1) as (_, good, recogniser), tiny("/v1/stream", handler) as bad:
        pool = Pool("stt", (bad.url.replace("http", "ws"), good.servers[0].url), recogniser._http)
        await pool.check()
        caller, utterance = (
            Caller(HttpRecogniser(pool, recogniser._http, 800)),
            script.utterances[0],
        )
        await until(lambda: pool.servers[0].in_flight)
        await caller.says(utterance)
        assert (await caller.final()).text == plain(utterance)
        assert pool.servers[0].in_flight == 0
        caller.session.close()


async def test_nothing_is_told_of_an_utterance_that_was_abandoned(script: Script) -> None:
    async with site(script, 1) as (_, _, recogniser):
        caller = Caller(recogniser)
        first, second = script.utterances[:2]
        await caller.says(first)
        caller.heard.clear()
        await caller.says(second)  # a new start without waiting for the final
        await until(lambda: any(t.utterance == 2 for t in caller.finals))
        assert caller.finals[-1].text == plain(second)
        caller.session.close()
        told = len(caller.heard)
        caller.session.feed(bytes(320))
        caller.session.finish()
        await asyncio.sleep(0.1)
        assert len(caller.heard) == told
