"""The second language model, and what happens to a reply whose server fails, on real small servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from math import inf

import aiohttp
import orjson
import pytest
from aiohttp import web
from test_writer import ASKED, GOOD, PATH, TOKENS, event, writing
from tinyserver import Handler, Tiny, tiny, until

from appliance.engines.llm_failover import FailoverWriter
from appliance.engines.pool import Health, Pool
from appliance.engines.writer import OpenAiWriter
from appliance.errors import EngineError
from appliance.settings import Llm, LlmServers
from tests.pace_kit import Late, on_time

pytestmark = pytest.mark.server

SMALL = (event(content="From"), event(content=" the small one."), b"data: [DONE]\n\n")
SMALL_TEXT = "From the small one."


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Pair:
    """Two models: the first on the servers given, the small one on ``small``."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        small: Tiny,
        *first: Tiny,
        vllm: bool = True,
        **more: object,
    ) -> None:
        urls = tuple(server.url for server in first) or ("http://127.0.0.1:9",)
        timeouts = {"timeout_ms": 300}
        settings = Llm.model_validate(
            {"urls": urls, "model": "big", "priorities": vllm, **timeouts, **more}
        )
        fallback = LlmServers(urls=(small.url,), model="small", priorities=vllm, timeout_ms=300)
        self.pool, self.small_pool = (
            Pool("llm", urls, http),
            Pool("llm.fallback", (small.url,), http),
        )
        self.writer = FailoverWriter(
            OpenAiWriter(self.pool, http, settings),
            OpenAiWriter(self.small_pool, http, settings, fallback),
        )

    async def written(self, model: str = "", within_s: float = 5.0) -> str:
        await asyncio.gather(self.pool.check(), self.small_pool.check())
        texts = self.writer.write(
            ASKED, speculative=True, call_id="c", model=model, within_s=within_s
        )
        async with aclosing(texts):
            return "".join([text async for text in texts])


async def test_the_first_model_answers_while_it_can(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, writing(*GOOD)) as big, tiny(PATH, writing(*SMALL)) as small:
        assert await Pair(http, small, big).written(model="lora") == "".join(TOKENS)
        assert orjson.loads(big.asked[0])["model"] == "lora" and not small.asked


async def test_with_no_server_of_the_first_the_small_one_is_asked_at_once(
    http: aiohttp.ClientSession,
) -> None:
    async with tiny(PATH, writing(*SMALL)) as small:
        pair = Pair(http, small)
        async with asyncio.timeout(10):  # a wait for the first would be a share of the minute
            assert await pair.written(model="lora", within_s=60) == SMALL_TEXT
        body = orjson.loads(small.asked[0])
        assert body["model"] == "small"  # the agent's own is the first model's
        assert body["priority"] == 10 and "continue_final_message" not in body


async def hung(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def test_servers_that_hang_leave_the_small_one_its_time(http: aiohttp.ClientSession) -> None:
    async def late() -> Late:
        async with (
            tiny(PATH, hung) as a, tiny(PATH, hung) as b, tiny(PATH, writing(*SMALL)) as small,
        ):  # fmt: skip
            pair = Pair(http, small, a, b)
            loop = asyncio.get_running_loop()
            asked_at = loop.time()
            try:
                assert await pair.written(within_s=0.7) == SMALL_TEXT
            except EngineError:
                return {"answer": inf}
            took_ms = (loop.time() - asked_at) * 1000
            assert len(a.asked) == len(b.asked) == 1
            await until(lambda: a.aborted == b.aborted == 1)
            return {"answer": took_ms - 700}

    await on_time(late, late_ms=0)  # 0.3 s, then 0.1 s of what may be spent on the first


async def test_when_neither_answers_it_says_so_in_time(http: aiohttp.ClientSession) -> None:
    async def late() -> Late:
        async with tiny(PATH, hung) as big, tiny(PATH, hung) as small:
            loop = asyncio.get_running_loop()
            asked_at = loop.time()
            with pytest.raises(EngineError, match="no server answered"):
                await Pair(http, small, big).written(within_s=0.5)
            return {"error": (loop.time() - asked_at) * 1000 - 500}

    await on_time(late, early_ms=200, late_ms=200)


@pytest.mark.parametrize("other_big", [True, False])
async def test_a_reply_whose_server_dies_goes_on_in_mid_sentence(
    http: aiohttp.ClientSession, other_big: bool
) -> None:
    rest = (event(content=" from nine"), event(content=" to six."), b"data: [DONE]\n\n")
    dying = writing(event(content="We are"), event(content=" open"), then="die")
    async with tiny(PATH, dying) as a, tiny(PATH, writing(*rest)) as other:
        pair = Pair(http, other, a, *((other,) if other_big else ()))
        assert await pair.written() == "We are open from nine to six."
        body = orjson.loads(other.asked[0])
        assert body["messages"][-1] == {"role": "assistant", "content": "We are open"}
        assert body["continue_final_message"] and not body["add_generation_prompt"]
        assert body["model"] == ("big" if other_big else "small")


async def test_a_server_that_reports_an_error_in_mid_reply_has_died(
    http: aiohttp.ClientSession,
) -> None:
    error = b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'
    async with (
        tiny(PATH, writing(event(content="We are"), error)) as big,
        tiny(PATH, writing(event(content=" closed."))) as small,
    ):
        pair = Pair(http, small, big)
        assert await pair.written() == "We are closed."
        assert pair.pool.servers[0].health is Health.DOWN


async def test_where_nobody_can_go_on_the_reply_breaks_off(http: aiohttp.ClientSession) -> None:
    dying = writing(event(content="We are"), then="die")
    async with tiny(PATH, dying) as big, tiny(PATH, writing(*SMALL)) as small:
        with pytest.raises(EngineError, match="broke off"):
            await Pair(http, small, big, vllm=False).written()
        assert not small.asked


async def test_a_model_that_only_this_agent_names_and_nobody_has(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    good = writing(*GOOD)

    async def strict(request: web.Request) -> web.StreamResponse:
        if orjson.loads(await request.read())["model"] != "big":
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        return await good(request)

    async with tiny(PATH, strict) as big, tiny(PATH, writing(*SMALL)) as small:
        pair = Pair(http, small, big)
        assert await pair.written(model="lora-of-pune") == "".join(TOKENS)
        assert "no model lora-of-pune" in caplog.text
        assert pair.pool.servers[0].health is Health.UP and not small.asked


async def test_an_answer_that_drips_for_ever_ends(http: aiohttp.ClientSession) -> None:
    drip = writing(*[event(content="and so on, ")] * 1000, gap_s=0.05)
    async with tiny(PATH, drip) as big, tiny(PATH, writing(*SMALL)) as small:
        pair = Pair(http, small, big, answer_timeout_s=0.4)
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        with pytest.raises(EngineError, match="no end"):
            await pair.written()
        assert 0.4 <= loop.time() - asked_at < 10  # of the 50 s that it drips
        await until(lambda: big.aborted == 1)
        assert not small.asked and pair.pool.servers[0].health is Health.UP


async def test_the_time_that_the_listener_takes_is_not_the_models(
    http: aiohttp.ClientSession,
) -> None:
    async with tiny(PATH, writing(*GOOD, gap_s=0.02)) as big, tiny(PATH, hung) as small:
        pair = Pair(http, small, big, answer_timeout_s=0.3)
        await pair.pool.check()
        texts = pair.writer.write(ASKED, speculative=False, call_id="c")
        got = []
        async with aclosing(texts):
            async for text in texts:
                got.append(text)
                await asyncio.sleep(0.15)  # four of them are twice the model's time
        assert got == TOKENS


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_a_refusal_asks_the_small_one_and_leaves_the_server_in(
    http: aiohttp.ClientSession, status: int
) -> None:
    async def refused(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=status)

    handler: Handler = refused
    async with tiny(PATH, handler) as big, tiny(PATH, writing(*SMALL)) as small:
        pair = Pair(http, small, big)
        assert await pair.written() == SMALL_TEXT
        assert len(big.asked) == 1 and pair.pool.servers[0].health is Health.UP
