"""Nobody uses an engine server without its key, and the generated key goes to nobody else."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler

from appliance.capacity import servers
from appliance.engines.door import DOOR, WANTED
from appliance.engines.emulated import EmulatedEngines
from appliance.engines.emulated_script import Script
from appliance.engines.key import headers_of, key_for, key_of_ours
from appliance.engines.pool import Health, Pool
from appliance.errors import UserError
from appliance.models import http
from appliance.ops.keeping.look import look
from appliance.ops.sitelook import _stages
from appliance.settings import Engines, Settings, Stt, Tts
from tests.knowledge_servers import KEY, EmbedProcess
from tests.serving import serving

OURS = {"stt": ("stt",), "tts": ("tts", "--engine", "flite"), "turn": ("turn",)}
ASKED = {
    "stt": (("PUT", "/v1/contexts/A.1.1"), ("GET", "/v1/stream"), ("GET", "/nothing")),
    "tts": (("POST", "/v1/audio/speech"), ("GET", "/v1/voices")),
    "turn": (("POST", "/v1/turn?rate=8000"),),
    "embed": (("POST", "/v1/embeddings"),),
}
WRONG = ({}, headers_of("wrong"), headers_of(KEY[:-1]), headers_of(KEY + "x"), {"Authorization": KEY},
         {"Authorization": f"Basic {KEY}"}, headers_of("ключ"))  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def urls(
    tmp_path_factory: pytest.TempPathFactory, embed_process: EmbedProcess
) -> AsyncIterator[dict[str, str]]:
    """One real server of each stage that needs no model of its own."""
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("key")
        starting = [serving(folder, *command) for command in OURS.values()]
        served = await asyncio.gather(*(stack.enter_async_context(one) for one in starting))
        found = {stage: one.url for stage, one in zip(OURS, served, strict=True)}
        yield found | {"embed": embed_process.url}


@pytest.mark.server
@pytest.mark.parametrize("stage", ASKED)
async def test_every_server_refuses_who_brings_no_key(urls: dict[str, str], stage: str) -> None:
    async with aiohttp.ClientSession() as session:
        for method, path in ASKED[stage]:
            for headers in WRONG:
                request = session.request(method, urls[stage] + path, data=b"{}", headers=headers)
                async with request as answer:
                    assert answer.status == 401, (path, headers)
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
            async with session.request(
                method, urls[stage] + path, data=b"{}", headers=headers_of(KEY)
            ) as answer:
                assert answer.status != 401
        async with session.get(urls[stage] + "/health") as answer:
            assert await answer.json() == {"status": "ok", "key": WANTED}
        async with session.get(urls[stage] + "/health", headers=headers_of("wrong")) as answer:
            assert answer.status == 401
        async with session.get(urls[stage] + "/health", headers=headers_of(KEY)) as answer:
            assert (await answer.json())["stage"] == stage


@pytest.mark.server
async def test_no_websocket_opens_without_the_key(urls: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        for headers in WRONG:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(urls["stt"] + "/v1/stream", headers=headers)
            assert refused.value.status == 401
        async with session.ws_connect(urls["stt"] + "/v1/stream", headers=headers_of(KEY)):
            pass


@pytest.mark.server
def test_a_stranger_is_refused_before_any_of_their_words_are_read(urls: dict[str, str]) -> None:
    host, port = urls["tts"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=3) as stranger:
        stranger.sendall(
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 60000\r\n\r\n{"
        )
        assert stranger.recv(100).startswith(b"HTTP/1.1 401")


@pytest.mark.server
async def test_who_keeps_servers_and_who_looks_at_them_bring_it(
    urls: dict[str, str], tmp_path: Path
) -> None:
    port = int(urls["tts"].rpartition(":")[2])
    assert (await look("127.0.0.1", port, KEY)).capacity == 50  # type: ignore[union-attr]
    without = await look("127.0.0.1", port)
    assert without is not None and without.warm and not without.capacity
    engines = Engines(key=KEY, tts=Tts(urls=(urls["tts"],)), stt=Stt(urls=(urls["stt"],)))
    async with aiohttp.ClientSession() as session:
        stages = await _stages(Settings(data_dir=tmp_path, engines=engines), session)
    found = {server.url: server.capacity for stage in stages for server in stage.servers}
    assert found[urls["tts"]] == 50


@pytest.mark.server
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_pool_says_that_a_key_is_wrong(
    urls: dict[str, str], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with aiohttp.ClientSession() as session:
        pool = Pool("tts", (urls["tts"],), session, lambda url: key)
        await pool.check()
        assert pool.servers[0].health is Health.DOWN
        right = Pool("tts", (urls["tts"],), session, lambda url: KEY)
        await right.check()
        assert right.servers[0].health is Health.UP and right.servers[0].engine == "flite"
    assert "another key than ours: see engines.key" in caplog.text


async def test_emulated_servers_ask_for_it_too(script: Script) -> None:
    engines = EmulatedEngines(script, key=KEY)
    await engines.start(["stt", "tts", "llm"])
    try:
        async with aiohttp.ClientSession() as session:
            for stage, path in {
                "stt": "/v1/stream",
                "tts": "/v1/audio/speech",
                "llm": "/v1/models",
            }.items():
                url = engines.urls[stage].replace("ws:", "http:")
                async with session.get(url + path) as answer:
                    assert answer.status == 401
                async with session.get(url + path, headers=headers_of(KEY)) as answer:
                    assert answer.status != 401
                async with session.get(url + "/health") as answer:
                    assert await answer.json() == {"status": "ok", "key": WANTED}
    finally:
        await engines.stop()


async def test_strangers_make_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    app = http.application(http.Load("tts", "x", ("en",), 1))
    app[DOOR].lock(KEY)
    async with TestClient(TestServer(app)) as client:
        for _ in range(50):
            assert (await client.get("/v1/a%0D%0A! toll: forged")).status == 401
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(lines) == 1
    assert "127.0.0.1 refused" in lines[0] and "\n" not in lines[0] and "\r" not in lines[0]


async def test_a_server_that_points_elsewhere_gets_the_key_nowhere_else(tmp_path: Path) -> None:
    heard: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization", ""))
        return web.json_response({"status": "ok"})

    async def pointing(request: web.Request) -> web.Response:
        raise web.HTTPFound(str(other.make_url("/health")))

    other = TestServer(_app(elsewhere))
    async with other, TestServer(_app(pointing)) as first, aiohttp.ClientSession() as session:
        url = str(first.make_url("")).rstrip("/")
        settings = Settings(data_dir=tmp_path, engines=Engines(key=KEY, tts=Tts(urls=(url,))))
        await asyncio.to_thread(servers.ask, settings)
        await Pool("tts", (url,), session, lambda url: KEY).check()
        await _stages(settings, session)
    assert not any(heard)


def _app(answer: Handler) -> web.Application:
    app = web.Application()
    app.router.add_get("/health", answer)
    return app


def test_an_empty_key_is_none() -> None:
    with pytest.raises(ValueError, match="nobody out"):
        http.application(http.Load("tts", "x", ("en",), 1))[DOOR].lock("")


def test_the_generated_key_stays_on_this_machine(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    sent = key_for(settings, settings.engines.tts)
    own = settings.secret("engines")
    here = ("http://127.0.0.1:7201", "ws://localhost:7101", "http://[::1]:7201")
    assert [sent(url) for url in here] == [own] * 3
    for url in ("http://10.0.0.5:7201", "https://api.example.com/v1", "http://127.0.0.1.evil.example",
                "http://user@evil.example:80", "http://[", ""):  # fmt: skip
        assert sent(url) == "", url
    assert key_of_ours(settings, settings.engines.tts) == own
    assert (tmp_path / "secrets" / "engines").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_named_goes_to_the_servers_that_are_named(tmp_path: Path) -> None:
    engines = Engines(key="shared", tts=Tts(urls=("https://a.example",), api_key="theirs"))
    settings = Settings(data_dir=tmp_path, engines=engines)
    assert key_for(settings, engines.stt)("ws://10.0.0.5:7101") == "shared"
    assert key_for(settings, engines.tts)("https://a.example") == "theirs"
    assert key_of_ours(settings, engines.stt) == "shared"
    assert key_of_ours(settings, engines.tts) == "theirs"
    assert not (tmp_path / "secrets").exists()
    assert "shared" not in repr(settings) and "theirs" not in repr(settings)


def test_where_no_key_can_be_made_a_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("in the way")
    with pytest.raises(UserError, match=r"Set engines\.key, or run as"):
        key_of_ours(Settings(data_dir=tmp_path), Stt())
