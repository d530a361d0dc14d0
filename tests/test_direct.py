"""Our own servers are asked straight, whatever proxy the environment names."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from appliance import direct

DRAINING = {"status": "draining", "calls": 7, "capacity": 20}
ASK = (
    "from appliance.settings import load\n"
    "from appliance.ops.rehearsal.calls import live_calls\n"
    "from appliance.ops.releases.rolling import Roller\n"
    "settings = load()\n"
    "class NoUnits:\n"
    "    running = list\n"
    "roller = Roller(NoUnits(), settings, quiet_s=0, say=print)\n"
    "print(live_calls(settings), roller.spare_port())\n"
)
"""As a person's shell runs it, who sits behind a proxy."""


def _health() -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(DRAINING, status=503)

    app = web.Application()
    app.router.add_get("/health", answer)
    return app


async def test_calls_in_progress_are_seen_from_behind_a_proxy(tmp_path: Path) -> None:
    """Or an upgrade would take a full box for a quiet one, and a port that is held for a free one."""
    async with TestServer(_health()) as worker:
        environment = {
            name: text for name, text in os.environ.items() if "proxy" not in name.lower()
        }
        environment |= {
            "http_proxy": "http://127.0.0.1:9", "IVR_WORKER__PORT": str(worker.port),
            "IVR_WORKER__SPARE_PORT": str(worker.port),
            "IVR_DATA_DIR": str(tmp_path),
        }  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", ASK],
            env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.stdout.strip() == "7 None", done.stderr


async def test_an_answer_is_one_whatever_its_status_and_is_cut() -> None:
    async with TestServer(_health()) as server:
        said = await asyncio.to_thread(
            direct.get, str(server.make_url("/health")), timeout_s=2.0, most_bytes=9
        )
    assert said == direct.Said(503, b'{"status"')


async def test_what_is_no_http_is_no_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for url in (f"http://127.0.0.1:{port}/", "http://127.0.0.1:port/", "nothing"):
            with pytest.raises(OSError):
                await asyncio.to_thread(direct.get, url, timeout_s=2.0, most_bytes=100)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(direct.get, url, timeout_s=0.1, most_bytes=100)
