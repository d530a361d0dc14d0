"""Hosts and URLs: whoever listens is reached, however it was written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from appliance.ops.sitelook import _stages
from appliance.settings import Engines, Settings, Tts, Worker
from appliance.urls import http_of


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1"])
async def test_a_worker_is_reached_on_whatever_it_listens(host: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, host, 0)
    async with server:
        worker = Worker(host=host, port=server.sockets[0].getsockname()[1])
        place = urlsplit(f"ws://{worker.reached}:{worker.port}")
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("ws://127.0.0.1:7101", "http://127.0.0.1:7101"),
        ("wss://stt.example/eu/", "https://stt.example/eu"),
        ("http://[::1]:7201/", "http://[::1]:7201"),
        ("https://ws.example", "https://ws.example"),
    ],
)
def test_plain_requests_go_where_the_websocket_is(url: str, plain: str) -> None:
    assert http_of(url) == plain


async def test_an_engine_server_with_a_slash_behind_it_is_seen(tmp_path: Path) -> None:
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"engine": "flite", "languages": ["en"], "in_flight": 0})

    app = web.Application()
    app.router.add_get("/health", health)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        engines = Engines(key="of-a-test", tts=Tts(urls=(str(server.make_url("/")),)))
        stages = await _stages(Settings(data_dir=tmp_path, engines=engines), session)
    assert [one.engine for stage in stages for one in stage.up] == ["flite"]
