"""Connections that are only held open, by a real uvicorn: headers in drops, without end, too many."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from appliance.admin import connections, gate
from appliance.admin.connections import LARGEST_HEAD_BYTES, Connection
from appliance.admin.gate import Bounded
from appliance.ops.keeping.ports import free_port

HEAD_S = 0.5
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers, after the whole body where one is asked for."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * HEAD_S)
    if scope["path"] == "/body":
        bounded = Bounded(receive, 1 << 20)
        while (message := await bounded())["type"] == "http.request" and message.get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
    await PlainTextResponse("yes")(scope, receive, send)


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, Counter[str]]]:
    """The port, and how many connections there are of each address."""
    monkeypatch.setattr(connections, "HEAD_S", HEAD_S)
    monkeypatch.setattr(gate, "LONGEST_SILENCE_S", HEAD_S)
    monkeypatch.setattr(connections, "MOST_OF_ONE_ADDRESS", 5)
    port, known = free_port(), Counter[str]()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, http=partial(Connection, known),
        log_config=None, log_level="error", lifespan="off", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield port, known
    server.should_exit = True
    await task


async def ended(pair: Pair, within_s: float = 20) -> bytes:
    """What came until the other side closed; who is not let go of would stay for ever."""
    try:
        async with asyncio.timeout(within_s):
            return await pair[0].read()
    except ConnectionError:
        return b""
    finally:
        pair[1].close()


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: h\r\n", b"\r\n"])
async def test_who_says_nothing_is_not_waited_for(
    served: tuple[int, Counter[str]], beginning: bytes
) -> None:
    pair = await asyncio.open_connection("127.0.0.1", served[0])
    pair[1].write(beginning)
    assert b"200" not in await ended(pair)


async def test_headers_in_drops_and_headers_without_end(served: tuple[int, Counter[str]]) -> None:
    async def drip(pair: Pair, piece: bytes, pause_s: float) -> None:
        while not pair[1].is_closing():
            pair[1].write(piece)
            await asyncio.sleep(pause_s)

    for piece, pause_s in ((b"X-A: b\r\n", 0.05), (b"X-Long: " + b"y" * 4000 + b"\r\n", 0)):
        pair = await asyncio.open_connection("127.0.0.1", served[0])
        pair[1].write(b"GET / HTTP/1.1\r\nHost: h\r\n")
        task = asyncio.create_task(drip(pair, piece, pause_s))
        assert b"200" not in await ended(pair)
        task.cancel()
        await asyncio.wait({task})
    assert LARGEST_HEAD_BYTES < 65_536


async def test_the_rest_of_a_request_that_is_answered_already(
    served: tuple[int, Counter[str]],
) -> None:
    pair = await asyncio.open_connection("127.0.0.1", served[0])
    pair[1].write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx")

    async def drip() -> None:
        while True:
            pair[1].write(b"x")
            await asyncio.sleep(0.05)

    task = asyncio.create_task(drip())
    assert b"yes" in await ended(pair)
    task.cancel()
    await asyncio.wait({task})


async def test_a_body_in_drops(served: tuple[int, Counter[str]]) -> None:
    pair = await asyncio.open_connection("127.0.0.1", served[0])
    pair[1].write(b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")

    async def drip() -> None:  # never silent for long: 200 bytes a second
        while True:
            pair[1].write(b"x" * 10)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(drip())
    assert b"yes" not in await ended(pair)
    task.cancel()
    await asyncio.wait({task})


async def test_who_waits_for_an_answer_is_left_alone_and_may_ask_again(
    served: tuple[int, Counter[str]],
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served[0])
    for path in (b"/slow", b"/", b"/slow"):
        writer.write(GET.replace(b"/ ", path + b" ", 1))
        async with asyncio.timeout(10):
            assert b"200 OK" in await reader.readuntil(b"yes")
    writer.close()


async def test_one_address_has_so_many_and_they_are_counted_back(
    served: tuple[int, Counter[str]],
) -> None:
    port, known = served
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    for reader, writer in pairs:
        writer.write(GET)
        assert await reader.readuntil(b"yes")
    assert await ended(await asyncio.open_connection("127.0.0.1", port)) == b""
    for _, writer in pairs:
        writer.close()
    async with asyncio.timeout(20):
        while known:
            await asyncio.sleep(0.02)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    assert await reader.readuntil(b"yes")
    writer.close()
