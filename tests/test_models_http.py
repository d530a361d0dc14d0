"""What every engine server has in common."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest
from aiohttp import web

from appliance.models import http
from appliance.models.http import tell_if_open


@pytest.mark.parametrize(
    ("address", "is_open"),
    [("127.0.0.1", False), ("127.0.0.2", False), ("::1", False), ("0.0.0.0", True), ("::", True),
     ("10.0.0.5", True), ("fe80::1%eth0", True)],
)  # fmt: skip
def test_a_server_that_others_reach_says_so(
    address: str, is_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert tell_if_open(address, 7101) is is_open
    told = [record.getMessage() for record in caplog.records]
    assert [f"{address}:7101" in text and "not encrypted" in text for text in told] == [
        True
    ] * is_open


@pytest.mark.server
async def test_who_connects_and_says_nothing_whole_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "SILENT_S", 0.3)
    monkeypatch.setattr(http, "SWEEP_EVERY_S", 0.05)
    app = http.application(http.Load("tts", "x", ("en",), 1))
    took: list[dict[str, object]] = []

    async def order(request: web.Request) -> web.Response:
        took.append(await http.json_object(request))
        return http.reply(took[-1])

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(1.0)  # longer than anybody may be silent: the answer's time is its own
        return http.reply({"done": True})

    app.router.add_post("/order", order)
    app.router.add_get("/slow", slow)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert runner.server is not None
    sweeping = asyncio.create_task(http.close_silent(runner.server, app[http.SPOKEN]))
    port = runner.addresses[0][1]

    async def say(words: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(words)
        async with asyncio.timeout(20):
            answer = await reader.read(4000)
        writer.close()
        return answer

    head = b"POST /order HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    try:
        nothing, half, body, patient = await asyncio.gather(
            say(b""),
            say(b"GET /health HTTP/1.1\r\nHost: x\r\nX-"),
            say(head + b"Content-Length: 99\r\n\r\n{"),
            say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"),
        )
        assert (nothing, half) == (b"", b"")
        assert b" 408 " in body and took == []
        assert b" 200 " in patient
        assert b" 200 " in await say(head + b"Content-Length: 2\r\n\r\n{}")
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await runner.cleanup()
