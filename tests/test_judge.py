"""The turn judge's client: a verdict in time, or EngineError and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tinyserver import Handler, tiny, until

from appliance.audio import bytes_of
from appliance.engines.judge import HttpTurnJudge
from appliance.engines.pool import Health, Pool
from appliance.errors import EngineError

pytestmark = pytest.mark.server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def saying(body: bytes, status: int = 200, delay_s: float = 0.0) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        assert request.query["rate"] in ("8000", "16000")
        await asyncio.sleep(delay_s)
        return web.Response(body=body, status=status)

    return handler


@pytest.mark.parametrize("rate_hz", [8000, 16000])
async def test_the_last_eight_seconds_are_judged(http: aiohttp.ClientSession, rate_hz: int) -> None:
    pcm = bytes(bytes_of(1000, rate_hz)) + b"\x01\x02" * (8 * rate_hz)
    async with tiny("/v1/turn", saying(b'{"complete":0.93,"ms":25.1}')) as server:
        judge = HttpTurnJudge(Pool("turn", (server.url,), http), http, 1000)
        assert await judge.complete(pcm, rate_hz) == 0.93
        assert server.asked == [b"\x01\x02" * (8 * rate_hz)]
        assert await judge.complete(b"", rate_hz) == 0.93


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 200),
        (b"", 200),
        (b"[1]", 200),
        (b'{"complete":"very"}', 200),
        (b'{"complete":null}', 200),
        (b'{"complete":0.9}', 500),
        (b"", 404),
    ],
)
async def test_what_is_no_verdict_takes_the_server_out(
    http: aiohttp.ClientSession, body: bytes, status: int
) -> None:
    async with tiny("/v1/turn", saying(body, status)) as server:
        pool = Pool("turn", (server.url,), http)
        with pytest.raises(EngineError, match="turn"):
            await HttpTurnJudge(pool, http, 1000).complete(bytes(320), 8000)
        assert pool.servers[0].health is Health.DOWN and pool.servers[0].in_flight == 0


async def test_late_is_as_good_as_never(http: aiohttp.ClientSession) -> None:
    async with tiny("/v1/turn", saying(b'{"complete":1}', delay_s=5)) as server:
        judge = HttpTurnJudge(Pool("turn", (server.url,), http), http, 100)
        with pytest.raises(EngineError, match="in time"):
            await judge.complete(bytes(320), 8000)
        await until(lambda: server.aborted == 1)


async def test_an_overloaded_server_stays_in_the_pool(http: aiohttp.ClientSession) -> None:
    async with tiny("/v1/turn", saying(b"", 503)) as server:
        pool = Pool("turn", (server.url,), http)
        await pool.check()
        with pytest.raises(EngineError, match="overloaded"):
            await HttpTurnJudge(pool, http, 1000).complete(bytes(320), 8000)
        assert pool.servers[0].health is Health.UP
