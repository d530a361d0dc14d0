"""The LLM client against real small servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import orjson
import pytest
from aiohttp import web
from tinyserver import Handler, Tiny, tiny, until

from appliance.engines.pool import Health, Pool
from appliance.engines.writer import OpenAiWriter
from appliance.errors import EngineError
from appliance.events import Message
from appliance.settings import Llm

pytestmark = pytest.mark.server

PATH = "/v1/chat/completions"
ASKED = [Message("system", "Be brief."), Message("user", "When are you open?")]
TOKENS = ["We", " are", " open — हाँ", "\nnow."]


def event(**delta: object) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": delta}]}) + b"\n\n"


def writing(*events: bytes, gap_s: float = 0.0, then: str = "end", first_s: float = 0.0) -> Handler:
    """A handler that sends ``events``, then ends, dies or waits for ever."""

    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(first_s)
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in events:
            await response.write(piece)
            await asyncio.sleep(gap_s)
        if then == "wait":
            await asyncio.sleep(30)
        if then == "die":
            assert request.transport is not None
            await asyncio.sleep(0.02)
            request.transport.abort()
            raise ConnectionResetError
        return response

    return handler


GOOD = (
    b": comment\n\n",
    event(role="assistant", content=""),
    *(event(content=token) for token in TOKENS),
    b'data: {"choices":[],"usage":{"total_tokens":9}}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def writer_of(
    http: aiohttp.ClientSession, *servers: Tiny, **settings: object
) -> tuple[OpenAiWriter, Pool]:
    llm = Llm(**{"urls": tuple(s.url for s in servers), "timeout_ms": 400, **settings})  # type: ignore[arg-type]
    pool = Pool("llm", llm.urls, http, lambda url: llm.api_key)
    await pool.check()
    return OpenAiWriter(pool, http, llm), pool


async def written(writer: OpenAiWriter, *, speculative: bool = False) -> list[str]:
    async with aclosing(writer.write(ASKED, speculative=speculative, call_id="c1")) as texts:
        return [text async for text in texts]


async def test_text_as_it_is_generated(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, writing(*GOOD)) as server:
        writer, _ = await writer_of(http, server, model="m", max_tokens=9, api_key="k3y")
        assert await written(writer) == TOKENS
    body = orjson.loads(server.asked[0])
    assert body["stream"] is True and body["model"] == "m" and body["max_tokens"] == 9
    assert body["messages"][1] == {"role": "user", "content": "When are you open?"}
    assert "priority" not in body
    assert server.headers[0]["Authorization"] == "Bearer k3y"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_events_cut_anywhere_by_the_network(http: aiohttp.ClientSession, size: int) -> None:
    whole = b"".join(GOOD)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    async with tiny(PATH, writing(*pieces)) as server:
        writer, _ = await writer_of(http, server)
        assert await written(writer) == TOKENS


async def test_what_nobody_waits_for_has_a_lower_priority(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, writing(*GOOD)) as server:
        writer, _ = await writer_of(http, server, priorities=True)
        await written(writer, speculative=True)
        await written(writer)
    first, second = (orjson.loads(body)["priority"] for body in server.asked)
    assert first > second == 0


async def test_events_of_another_shape_are_dropped(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [b'data: {"error":1}\n', b"data: {bad\n", b'data: {"choices":5}\n',
           b'data: {"choices":[{"delta":null}]}\n', b'data: {"choices":[{}]}\n']  # fmt: skip
    async with tiny(PATH, writing(*odd, *GOOD)) as server:
        writer, _ = await writer_of(http, server)
        assert await written(writer) == TOKENS
    assert len([r for r in caplog.records if "dropped" in r.getMessage()]) == len(odd)


async def test_closing_aborts_the_generation_on_the_server(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, writing(*GOOD[:3], then="wait")) as server:
        writer, pool = await writer_of(http, server)
        texts = writer.write(ASKED, speculative=True, call_id="c1")
        assert await anext(texts) == "We"
        await texts.aclose()
        await until(lambda: server.aborted == 1)
        assert pool.servers[0].in_flight == 0 and pool.servers[0].health is Health.UP


async def test_cancelling_before_the_first_token_aborts_too(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, writing(first_s=30)) as server:
        writer, pool = await writer_of(http, server, timeout_ms=20_000)
        task = asyncio.create_task(written(writer))
        await until(lambda: server.asked)
        task.cancel()
        await asyncio.wait({task})
        await until(lambda: server.aborted == 1)
        assert pool.servers[0].in_flight == 0


@pytest.mark.parametrize("bad", [writing(then="die"), writing(first_s=5)])
async def test_a_server_that_fails_before_its_first_token_is_replaced(
    http: aiohttp.ClientSession, bad: Handler
) -> None:
    async with tiny(PATH, bad) as a, tiny(PATH, writing(*GOOD)) as b:
        writer, pool = await writer_of(http, a, b, timeout_ms=200)
        assert await written(writer) == TOKENS
        assert pool.servers[0].health is Health.DOWN


async def test_a_stream_that_breaks_off_is_not_begun_again_elsewhere(
    http: aiohttp.ClientSession,
) -> None:
    async with tiny(PATH, writing(*GOOD[:4], then="die")) as a, tiny(PATH, writing(*GOOD)) as b:
        writer, _ = await writer_of(http, a, b)
        got: list[str] = []
        with pytest.raises(EngineError, match="broke off"):
            async with aclosing(writer.write(ASKED, speculative=False, call_id="c")) as texts:
                async for text in texts:
                    got.append(text)
        assert got == TOKENS[: len(got)] and got and not b.asked


def ending(reason: str) -> bytes:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": reason}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


async def test_a_reply_that_a_stopping_server_gives_up_is_not_whole(
    http: aiohttp.ClientSession,
) -> None:
    cut = (*GOOD[:4], ending("abort"), b"data: [DONE]\n\n")
    rest = (*(event(content=token) for token in TOKENS[2:]), ending("stop"), b"data: [DONE]\n\n")
    async with tiny(PATH, writing(*cut)) as a, tiny(PATH, writing(*rest)) as b:
        writer, pool = await writer_of(http, a, b, priorities=True)
        assert await written(writer) == TOKENS
        assert pool.servers[0].health is Health.DOWN
    none = (ending("abort"), b"data: [DONE]\n\n")  # what it is asked while it stops
    async with tiny(PATH, writing(*none)) as a, tiny(PATH, writing(*GOOD)) as b:
        writer, pool = await writer_of(http, a, b)
        assert await written(writer) == TOKENS


async def test_no_server_is_an_engine_error(http: aiohttp.ClientSession) -> None:
    async def refused(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "overloaded"}}, status=429)

    async with tiny(PATH, refused) as a, tiny(PATH, refused) as b:
        writer, _ = await writer_of(http, a, b)
        with pytest.raises(EngineError, match="llm"):
            await written(writer)
        assert len(a.asked) == len(b.asked) == 1
        with pytest.raises(EngineError, match="no server answered"):  # they are asked again at once
            await written(writer)
        assert len(a.asked) == len(b.asked) == 2


# --- notes ----------------------------------------------------------------------------------------


async def noted(writer: OpenAiWriter, model: str = "") -> str:
    return await writer.note(ASKED, call_id="c1", model=model, max_tokens=77, within_s=0.5)


async def test_notes_come_whole_after_every_reply_and_are_nobodys_time(
    http: aiohttp.ClientSession,
) -> None:
    async with tiny(PATH, writing(*GOOD)) as server:
        writer, pool = await writer_of(http, server, priorities=True)
        assert await noted(writer) == "".join(TOKENS)
        await written(writer, speculative=True)
        for _ in range(10):
            await noted(writer)
    notes, speculation = map(orjson.loads, server.asked[:2])
    assert notes["priority"] > speculation["priority"] > 0 and notes["max_tokens"] == 77
    assert pool.recent_s() is None  # eight uses would count


async def test_a_server_that_fails_at_notes_is_not_put_out(http: aiohttp.ClientSession) -> None:
    async with tiny(PATH, writing(*GOOD[:2], then="wait")) as server:
        writer, pool = await writer_of(http, server)
        with pytest.raises(EngineError, match="no notes"):
            await noted(writer)
        await until(lambda: server.aborted == 1)
        assert pool.servers[0].health is Health.UP and pool.servers[0].in_flight == 0
    with pytest.raises(EngineError):  # it is gone
        await noted(writer)
    assert pool.servers[0].health is Health.UP


async def test_a_server_without_priorities_takes_notes_only_when_idle(
    http: aiohttp.ClientSession,
) -> None:
    async with tiny(PATH, writing(*GOOD[:3], then="wait")) as server:
        plain, _ = await writer_of(http, server)
        heeding, _ = await writer_of(http, server, priorities=True)
        for writer, room in ((plain, False), (heeding, True)):
            assert writer.has_room() and writer.heeds_priorities == room
            texts = writer.write(ASKED, speculative=False, call_id="c1")
            await anext(texts)
            assert writer.has_room() == room
            if not room:
                with pytest.raises(EngineError, match="no server has room"):
                    await noted(writer)
            await texts.aclose()


async def test_an_adapter_that_is_not_served_takes_no_notes_the_model_does(
    http: aiohttp.ClientSession,
) -> None:
    async def only_m(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        if body["model"] != "m":
            return web.json_response({"error": "no such model"}, status=404)
        return await writing(*GOOD)(request)

    async with tiny(PATH, only_m) as server:
        writer, _ = await writer_of(http, server, model="m")
        assert await noted(writer, "lora") == "".join(TOKENS)
