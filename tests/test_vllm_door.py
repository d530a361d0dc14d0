"""vLLM's door, before an application as vLLM makes one (FastAPI behind uvicorn) and put there as vLLM
does: nothing of it is reached without the key but ``/health``. tests/test_vllm.py asks a real one."""

from __future__ import annotations

import importlib
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse

from appliance.engines.key import headers_of
from appliance.engines.vllmdoor import KEY as NAME
from appliance.ops.keeping.look import look
from appliance.ops.llm import DOOR

KEY = "k3y" * 20
WRONG = ({}, headers_of("wrong"), headers_of(KEY[:-1]), headers_of(KEY + "x"), {"Authorization": KEY},
         headers_of("ключ"))  # fmt: skip
PATHS = ("/invocations", "/tokenize", "/metrics", "/version", "/ping", "/load", "/pause", "/docs",
         "/openapi.json", "/v1/models", "/nothing", "/health/", "//health", "/Health",
         "/health%2f")  # fmt: skip
LOAD = 'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 2.0\n'
ENGINE = "appliance.engines"


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> None: ...

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(LOAD)

    @app.post("/invocations")
    async def invocations(request: Request) -> int:
        return len(await request.body())

    @app.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("in")
        await socket.close()

    option, where = DOOR  # as vLLM's register.py does
    assert option == "--middleware"
    module, name = where.rsplit(".", 1)
    app.add_middleware(getattr(importlib.import_module(module), name))
    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NAME, KEY)
        with serving(application()) as found:
            yield found


async def test_nothing_is_reached_without_the_key(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        for brought in WRONG:
            for path in PATHS:
                for method in ("GET", "POST", "OPTIONS"):
                    asked = session.request(method, url + path, headers=brought, data=b"{}")
                    async with asked as response:
                        assert response.status == 401, (method, path, brought)
                        assert response.headers["WWW-Authenticate"] == "Bearer"
                        assert "engines.key" in (await response.json())["error"]["message"]
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(f"{url}/v1/realtime", headers=brought)


async def test_with_it_everything_is(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(headers=headers_of(KEY)) as session:
        async with session.post(f"{url}/invocations", data=b"x" * 100_000) as response:
            assert (response.status, await response.text()) == (200, "100000")
        async with session.get(f"{url}/nothing") as response:
            assert response.status == 404
        async with session.ws_connect(f"{url}/v1/realtime") as websocket:
            assert await websocket.receive_str() == "in"


async def test_who_starts_it_asks_for_its_health_without(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        for brought, status in (({}, 200), (headers_of(KEY), 200), (headers_of("wrong"), 401)):
            url = f"http://127.0.0.1:{port}/health"
            async with session.get(url, headers=brought) as response:
                assert response.status == status


async def test_who_looks_after_it_brings_the_key(port: int) -> None:
    seen = await look("127.0.0.1", port, KEY)
    assert seen is not None and (seen.warm, seen.in_flight) == (True, 5)


def test_who_is_refused_is_not_read(port: int) -> None:
    """The answer comes before the body, and the connection ends with it."""
    with socket.create_connection(("127.0.0.1", port), 5) as caller:
        caller.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{"
        )
        said = b""
        while more := caller.recv(4096):
            said += more
    assert said.startswith(b"HTTP/1.1 401 ") and said.count(b"HTTP/1.1") == 1


async def test_a_stranger_is_told_of_in_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, KEY)
    with serving(application()) as port, caplog.at_level(logging.WARNING, ENGINE):
        async with aiohttp.ClientSession(headers=headers_of("wr0ng")) as session:
            for _ in range(20):
                asked = session.post(f"http://127.0.0.1:{port}/x%0aforged", data=b"words")
                async with asked as response:
                    assert response.status == 401
    (line,) = caplog.messages
    assert line.startswith(r"! POST /x\nforged from 127.0.0.1 refused") and "\n" not in line
    assert not {"wr0ng", "words", KEY} & set(line.split())


def test_without_a_key_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    app = application()
    with pytest.raises(ValueError, match="an empty key"):
        app.build_middleware_stack()


def test_it_wants_nothing_of_ours_in_the_environment() -> None:
    """vLLM's has none of our packages."""
    ours = Path(__file__).parent.parent
    code = f"import sys; sys.path.append({str(ours)!r}); import {DOOR[1].rsplit('.', 1)[0]}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=30)
