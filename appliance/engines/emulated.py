"""Emulated engines: real servers on the real wires that keep declared latencies.

For rehearsals: what is measured with them is the appliance, not a model. Any number of stages
share one process; each has a port of its own, like the engine servers they stand in for.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop
from aiohttp import web

from appliance.engines.door import DOOR, asking
from appliance.engines.emulated_http import CAPACITY, MAX_BODY_BYTES, Load, failure, health, metrics
from appliance.engines.emulated_llm import LlmServer, Pace
from appliance.engines.emulated_script import Locator, Script, load_script
from appliance.engines.emulated_small import EmbedServer, TurnServer
from appliance.engines.emulated_stt import Delays, SttServer
from appliance.engines.emulated_tts import Speed, TtsServer
from appliance.engines.lock import Lock
from appliance.errors import UserError

STAGES = ("stt", "tts", "llm", "turn", "embed")
HOST = "127.0.0.1"
_SHUTDOWN_S = 5


@dataclass(frozen=True, slots=True)
class Latencies:
    """The declared latency of every stage."""

    stt: Delays = field(default_factory=Delays)
    llm: Pace = field(default_factory=Pace)
    tts: Speed = field(default_factory=Speed)
    turn_ms: float = 30
    embed_ms: float = 5


class EmulatedEngines:
    """The emulated servers of one process: ``start``, read ``urls`` and ``loads``, ``stop``."""

    def __init__(
        self,
        script: Script,
        latencies: Latencies | None = None,
        slots: Mapping[str, int] | None = None,
        key: str = "",
    ) -> None:
        """``slots``: what a stage works on at once; one that is not named, on all. ``key``: what they
        ask for, as engine servers do; empty: nothing."""
        self._key = key
        self._slots = slots or {}
        self._script = script
        self._locator = Locator(script)
        self._latencies = latencies or Latencies()
        self._runners: list[web.AppRunner] = []
        self.urls: dict[str, str] = {}
        """Where each stage is served: ``{"stt": "ws://127.0.0.1:40001", …}``."""
        self.loads: dict[str, Load] = {}

    async def start(self, stages: Sequence[str] = STAGES, port: int = 0) -> None:
        """Serve ``stages`` on ``port``, ``port`` + 1, … (0: free ports)."""
        for offset, stage in enumerate(stages):
            await self._serve(stage, port and port + offset)

    async def stop(self) -> None:
        """Stop accepting, let requests under way finish (5 s at most)."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _serve(self, stage: str, port: int) -> None:
        load = self.loads[stage] = Load(self._slots.get(stage, CAPACITY))
        app = web.Application(middlewares=[asking(failure)], client_max_size=MAX_BODY_BYTES)
        app[DOOR] = Lock()
        if self._key:
            app[DOOR].lock(self._key)
        app.add_routes(self._routes(stage, load, app))
        app.router.add_get("/health", health(stage, load))
        app.router.add_get("/metrics", metrics(stage, load))  # on loopback: open, as all others'
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )
        await runner.setup()
        self._runners.append(runner)
        listener = _listen(port)
        await web.SockSite(runner, listener).start()
        scheme = "ws" if stage == "stt" else "http"
        self.urls[stage] = f"{scheme}://{HOST}:{listener.getsockname()[1]}"

    def _routes(self, stage: str, load: Load, app: web.Application) -> list[web.RouteDef]:
        latencies = self._latencies
        match stage:
            case "stt":
                server = SttServer(self._locator, latencies.stt, load)
                app.on_shutdown.append(lambda _: server.close())
                return server.routes()
            case "tts":
                return TtsServer(latencies.tts, load).routes()
            case "llm":
                return LlmServer(self._script, latencies.llm, load).routes()
            case "turn":
                return TurnServer(self._locator, latencies.turn_ms, load).routes()
            case "embed":
                return EmbedServer(latencies.embed_ms, load).routes()
        raise UserError(f"There is no stage {stage!r}; name any of {', '.join(STAGES)}.")


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=512)
    except OSError as e:
        raise UserError(f"Port {port} on {HOST} cannot be served: {e.strerror}.") from e


def run(
    stages: Sequence[str],
    port: int,
    script: Path,
    slots: Mapping[str, int] | None = None,
    key: str = "",
) -> None:
    """Serve until SIGTERM or SIGINT; prints the addresses as one line of JSON. ``key``: as of
    :class:`EmulatedEngines`."""
    uvloop.run(_run(stages, port, EmulatedEngines(load_script(script), slots=slots, key=key)))


async def _run(stages: Sequence[str], port: int, engines: EmulatedEngines) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await engines.start(stages, port)
        print(orjson.dumps(engines.urls).decode(), flush=True)
        await stop.wait()
    finally:
        await engines.stop()
