"""A look at engine servers: ours, vLLM's, strange ones, none."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from tinyserver import tiny

from appliance.ops.keeping import probe
from appliance.ops.keeping.look import Look, look
from appliance.ops.keeping.ports import free_port

pytestmark = pytest.mark.server

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0"} 0.5
"""


async def at(pages: dict[str, tuple[int, str]]) -> Look | None:
    """A look at a server with these pages."""

    async def page(request: web.Request) -> web.Response:
        status, text = pages.get(request.path, (404, ""))
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return await look("127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_ours_say_what_they_do() -> None:
    page = '{"status":"ok","in_flight":2,"capacity":16}'
    assert await at({"/health": (200, page)}) == Look(True, 2, 16)
    assert await at({"/health": (503, page)}) == Look(False, 2, 16)


async def test_vllm_says_it_by_its_metrics() -> None:
    pages = {"/health": (200, ""), "/metrics": (200, METRICS)}
    assert await at(pages) == Look(True, 5, 0)
    assert await at({"/health": (200, "")}) == Look(True, 0, 0)
    assert await at({"/health": (503, ""), "/metrics": (200, METRICS)}) == Look(False, 0, 0)


@pytest.mark.parametrize("figure", ["1e999", "1.2.3", "e"])
async def test_an_absurd_figure_stops_nobody(figure: str) -> None:
    metrics = f"vllm:num_requests_running {figure}\n"
    assert await at({"/health": (200, ""), "/metrics": (200, metrics)}) == Look(True, 0, 0)
    page = '{"in_flight":1e308,"capacity":-7}'
    assert await at({"/health": (200, page)}) == Look(True, 1_000_000, 0)


@pytest.mark.parametrize("page", ["[]", "null", '{"in_flight":"many"}', "<html>"])
async def test_a_strange_page_is_warm_and_idle(page: str) -> None:
    assert await at({"/health": (200, page)}) == Look(True, 0, 0)


async def test_nobody_and_somebody_mute_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await look("127.0.0.1", free_port()) is None
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 0.2)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    for handler in (mute, nonsense):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        seen = await look("127.0.0.1", port)
        assert seen is None or not seen.warm
        server.close()
        await server.wait_closed()


async def test_a_tiny_server_of_the_tests_is_looked_at() -> None:
    async with tiny() as server:
        assert await look("127.0.0.1", int(server.url.rpartition(":")[2])) == Look(True, 0, 0)
