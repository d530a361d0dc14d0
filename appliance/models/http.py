"""What every engine server has in common: health, errors in OpenAI's shape, draining, the run.

A server is one process with one model. SIGTERM stops it accepting; what is under way has
``DRAIN_S`` to finish; then it exits with status 0.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import orjson
import uvloop
from aiohttp import web

from appliance import readiness
from appliance.engines.door import DOOR, KNOWN, WANTED, asking
from appliance.engines.door import METRICS as METRICS_PATH
from appliance.engines.key import key_of_ours
from appliance.engines.lock import HEALTH, Lock
from appliance.errors import UserError
from appliance.metrics.access import may_read
from appliance.metrics.exposition import CONTENT_TYPE, Exporter, Sink
from appliance.metrics.looplag import LoopLag
from appliance.metrics.process import exporter_of
from appliance.metrics.serving import SERVING
from appliance.settings import METRICS_SECRET, Settings, Stage

_log = logging.getLogger(__name__)

DRAIN_S = 5.0
DRAIN_POLL_S = 0.02
LAST_WRITES_S = 0.2
SILENT_S = 10.0
"""A connection whose first request is not whole by then is closed, and so is one whose body is not:
aiohttp waits for ever, and a process has so many connections."""
SWEEP_EVERY_S = 2.0
REQUEST_BYTES = 1 << 20
"""Bound on a request body, unless a server says otherwise."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Load:
    """What this server is, how much it does now and how much it can."""

    stage: str
    engine: str
    languages: tuple[str, ...]
    capacity: int
    voices: tuple[str, ...] = ()
    """Of a TTS server: the voices it has, so that each is asked of the server that has it."""
    model: str = ""
    """Name and revision, of a stage whose answers differ with the model."""
    in_flight: int = 0
    ready: bool = True
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGTERM: finish what is under way, begin nothing new."""

    @property
    def full(self) -> bool:
        return self.in_flight >= self.capacity


LOAD = web.AppKey("load", Load)
Secret = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Access:
    """Whom a server lets in."""

    key: str = field(repr=False)
    """Of every request but ``GET /health``, which says little without, and ``GET /metrics``."""
    metrics: Secret
    """The token of ``GET /metrics`` where other machines reach it."""


def access_of(settings: Settings, stage: Stage) -> Access:
    """As the settings have it for the servers of a stage. Raises UserError where the key is neither
    there nor can be made."""
    return Access(key_of_ours(settings, stage), lambda: settings.secret(METRICS_SECRET))


@dataclass(slots=True)
class Metrics:
    """``GET /metrics`` of this server."""

    exporter: Exporter
    lag: LoopLag
    host: str = ""
    """Where it listens; empty: nobody may read it yet."""
    secret: Secret | None = None
    """Asked for where other machines reach it."""


METRICS = web.AppKey("metrics", Metrics)
SPOKEN = web.AppKey("spoken", set[object])
"""Connections that brought a whole request; those that are gone are swept out."""


def body(value: object) -> bytes:
    """Compact JSON."""
    return orjson.dumps(value)


def reply(value: object, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(body=body(value), status=status, content_type="application/json")


def error(status: int, message: str) -> web.Response:
    """An error in OpenAI's shape: one clear sentence."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return reply({"error": {"message": message, "type": kind}}, status)


class Refused(Exception):
    """A request that is answered with ``status`` (4xx or 503) and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def json_object(request: web.Request) -> dict[str, Any]:
    """The request's body as a JSON object. Raises Refused (400, 415)."""
    if request.content_type != "application/json":
        raise Refused(415, "The body must be application/json.")
    try:
        async with asyncio.timeout(SILENT_S):
            body = await request.read()
        value = orjson.loads(body)
    except TimeoutError as e:
        raise Refused(408, f"The body did not come within {SILENT_S:g} s.") from e
    except orjson.JSONDecodeError as e:
        raise Refused(400, f"The body is not valid JSON: {e}.") from e
    if not isinstance(value, dict):
        raise Refused(400, "The body must be a JSON object.")
    return value


def text_field(value: dict[str, Any], name: str, default: str | None = None) -> str:
    """A string field of a JSON object. Raises Refused (400) when it is missing or no string."""
    text = value.get(name, default)
    if not isinstance(text, str):
        raise Refused(400, f"The field {name} must be a string.")
    return text


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure of a request leaves in OpenAI's shape, with one log line."""
    request.app[SPOKEN].add(request.protocol)
    try:
        return await handler(request)
    except Refused as e:
        _log.info("! %s %s refused: %s", request.method, request.path, e)
        return error(e.status, str(e))
    except web.HTTPRequestEntityTooLarge:
        return error(413, f"The body is larger than {request.client_max_size} bytes.")
    except web.HTTPException as e:
        return error(e.status, f"{e.reason}: {request.method} {request.path}.")
    except asyncio.CancelledError:
        raise
    except Exception:  # the border of a request
        _log.exception("! %s %s failed", request.method, request.path)
        return error(500, "The server failed at this request; its log says why.")


async def _health(request: web.Request) -> web.Response:
    load = request.app[LOAD]
    state = "draining" if load.draining.is_set() else "ok" if load.ready else "loading"
    status = 200 if state == "ok" else 503
    if not request[KNOWN]:
        return reply({"status": state, "key": WANTED}, status)
    facts = {
        "status": state,
        "stage": load.stage,
        "engine": load.engine,
        "languages": load.languages,
        "in_flight": load.in_flight,
        "capacity": load.capacity,
    }
    if load.voices:
        facts["voices"] = load.voices
    if load.model:
        facts["model"] = load.model
    return reply(facts, status)


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer is counted by its route's template, so that a name in a path makes no series."""
    began_s = time.perf_counter()
    status = 499  # who asked has gone
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "none"
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        took_s = None if is_socket or status >= 400 else time.perf_counter() - began_s
        SERVING.answered(route, status, took_s)


async def _metrics(request: web.Request) -> web.Response:
    metrics = request.app[METRICS]
    if not may_read(metrics.host, request.headers.get("Authorization", ""), metrics.secret):
        return error(401, "The bearer token is missing or wrong.")
    return web.Response(body=metrics.exporter.render(), headers={"Content-Type": CONTENT_TYPE})


def _exporter(load: Load, lag: LoopLag) -> Exporter:
    def put(sink: Sink) -> None:
        of = {"stage": load.stage, "engine": load.engine}
        sink.put("ivr_server_ready", load.ready and not load.draining.is_set(), **of)
        sink.put("ivr_server_in_flight", load.in_flight, **of)
        sink.put("ivr_server_capacity", load.capacity, **of)

    found = exporter_of(load.stage, lag)
    found.add(put)
    found.add(SERVING.put)
    return found


def application(load: Load, *, request_bytes: int = REQUEST_BYTES) -> web.Application:
    """An application with ``GET /health`` and our errors; the caller adds its own routes.

    It asks for a key once :func:`serve` has locked its door.
    """
    app = web.Application(
        middlewares=[_counted, asking(error), _errors], client_max_size=request_bytes
    )
    lag = LoopLag()
    app[METRICS] = Metrics(_exporter(load, lag), lag)
    app.router.add_get(METRICS_PATH, _metrics)
    app[LOAD] = load
    app[SPOKEN] = set()
    app[DOOR] = Lock()
    app.router.add_get(HEALTH, _health)
    return app


async def close_silent(server: web.Server, spoken: set[object]) -> None:
    """Close connections that bring no whole request, until cancelled."""
    since: dict[object, float] = {}  # no longer than there are connections
    now = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        there = server.connections
        spoken.intersection_update(there)
        since = {each: since.get(each, now()) for each in there if each not in spoken}
        for connection in there:
            if now() - since.get(connection, now()) > SILENT_S:
                connection.force_close()


async def serve(app: web.Application, host: str, port: int, access: Access) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, then drain. Raises UserError when the port is taken.

    ``port`` 0 takes a free one. The address stands in the log: ``= listening on …``.
    """
    load = app[LOAD]
    app[DOOR].lock(access.key)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.draining.set)
    # A client that goes away cancels its handler: that is how a synthesis is stopped.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=LAST_WRITES_S
    )
    await runner.setup()
    assert runner.server is not None
    sweeping = asyncio.create_task(close_silent(runner.server, app[SPOKEN]))
    metrics = app[METRICS]
    metrics.secret = access.metrics
    looking = asyncio.create_task(metrics.lag.run())
    beating = asyncio.create_task(readiness.watchdog())
    try:
        try:
            site = web.TCPSite(runner, host, port, reuse_address=True)
            await site.start()
        except OSError as e:
            raise UserError(
                f"Cannot listen on {host}:{port} ({os.strerror(e.errno or 0)}). "
                "Name a free port with --port."
            ) from e
        address, taken = runner.addresses[0][:2]
        metrics.host = str(address)
        _log.info("= listening on %s:%s (%s, %s)", address, taken, load.stage, load.engine)
        tell_if_open(address, taken)
        readiness.ready(f"{load.engine} on {address}:{taken}")
        await load.draining.wait()
        readiness.stopping()
        _log.info("= draining, %d in flight", load.in_flight)
        await site.stop()
        await _emptied(load)
    finally:
        sweeping.cancel()
        looking.cancel()
        beating.cancel()
        await runner.cleanup()
    _log.info("= stopped")


def tell_if_open(address: str, port: int) -> bool:
    """Whether ``address`` (IP) is reached from other machines; then there is a warning in the log."""
    if ip_address(address.partition("%")[0]).is_loopback:
        return False
    _log.warning(
        "! %s:%d is reached from other machines: what they say to it with the key is not encrypted;"
        " let only the workers' network reach it (docs/scaling.md)",
        address,
        port,
    )
    return True


async def _emptied(load: Load) -> None:
    """Wait until nothing is in flight, 5 s at most.

    Ours and not aiohttp's: its own shutdown drops whatever a live websocket still receives.
    """
    waited_s = 0.0
    while load.in_flight and waited_s < DRAIN_S:
        await asyncio.sleep(DRAIN_POLL_S)
        waited_s += DRAIN_POLL_S


def run(
    app: Callable[[], Awaitable[web.Application]],
    host: str,
    port: int,
    access: Callable[[], Access],
) -> None:
    """Run a server process on uvloop; ``app`` builds its application (and loads the model), and only
    then is ``access`` asked for."""

    async def main() -> None:
        await serve(await app(), host, port, access())

    uvloop.run(main())
