"""The roster: which engine servers are up now, asked by the workers (docs/wires.md §7)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from aiohttp import web

from appliance.errors import UserError
from appliance.metrics.access import may_read
from appliance.metrics.exposition import CONTENT_TYPE, Sink
from appliance.metrics.process import exporter_of

FRESH_S = 4.0
"""A server whose replica said nothing for so long is not there: each tells twice a second."""
LAST_ANSWERS_S = 2.0
"""To those who ask when it ends; aiohttp would wait a minute for one that only holds a connection."""
HEARD_AFTER_S = 3.0
"""A board that is younger has not heard of everybody yet."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the replica of one engine server tells of it."""

    pool: str
    stage: str
    url: str
    warm: bool
    in_flight: int = 0
    capacity: int = 0
    node: str = ""
    pid: int = 0


@dataclass(slots=True)
class Board:
    """Where replicas write, and the driver reads: the last word of each, with its age."""

    clock: Callable[[], float] = time.monotonic
    _entries: dict[str, tuple[float, Entry]] = field(default_factory=dict)
    _began_s: float = -1.0

    def __post_init__(self) -> None:
        self._began_s = self.clock()

    def tell(self, replica: str, entry: Entry) -> None:
        """The last word of a replica."""
        self._entries[replica] = (self.clock(), entry)

    def leave(self, replica: str) -> None:
        """A replica drains: nothing new for its server."""
        self._entries.pop(replica, None)

    def entries(self) -> list[Entry]:
        """Of every replica that was heard of lately."""
        now_s = self.clock()
        self._entries = {
            replica: (at, entry)
            for replica, (at, entry) in self._entries.items()
            if now_s - at <= FRESH_S
        }
        return [entry for _, entry in self._entries.values()]

    def has_heard(self) -> bool:
        """Whether everybody who is there had the time to say so."""
        return self.clock() - self._began_s >= HEARD_AFTER_S


class RosterServer:
    """Serves the roster over HTTP, from what it was last given."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        secret: Callable[[], str] | None = None,
    ) -> None:
        """``secret``: who may read the metrics where other machines reach it; None: nobody."""
        self._clock = clock
        self._secret = secret
        self._host = ""
        self._exporter = exporter_of("cluster")
        self._exporter.add(self._put)
        self._entries: list[Entry] = []
        self._facts: dict[str, Any] = {}
        self._heard_s: float | None = None
        self._runner: web.AppRunner | None = None

    def show(self, entries: list[Entry], facts: dict[str, Any]) -> None:
        """What is up now; ``facts`` for ``GET /status`` beside it."""
        self._entries, self._facts, self._heard_s = entries, facts, self._clock()

    async def start(self, host: str, port: int) -> int:
        """Listen; the port. Raises UserError when it is taken."""
        app = web.Application()
        app.router.add_get("/", self._roster)
        app.router.add_get("/roster", self._roster)
        app.router.add_get("/status", self._status)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=LAST_ANSWERS_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as e:
            await self._runner.cleanup()
            raise UserError(
                f"The roster cannot be served on {host}:{port} ({e.strerror}): set cluster.host to an"
                " address of this machine and cluster.port to a free port."
            ) from e
        self._host = str(self._runner.addresses[0][0])
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _roster(self, _: web.Request) -> web.Response:
        if not self._is_known():  # better no answer than one that takes servers away
            return web.json_response({"error": "nothing is known of the servers now"}, status=503)
        stages: dict[str, list[str]] = {}
        for entry in self._entries:
            if entry.warm:
                stages.setdefault(entry.stage, []).append(entry.url)
        return _json({stage: sorted(urls) for stage, urls in sorted(stages.items())})

    async def _status(self, _: web.Request) -> web.Response:
        servers = [asdict(entry) for entry in sorted(self._entries, key=lambda e: (e.pool, e.url))]
        return _json({**self._facts, "known": self._is_known(), "servers": servers})

    async def _metrics(self, request: web.Request) -> web.Response:
        if not may_read(self._host, request.headers.get("Authorization", ""), self._secret):
            return web.json_response({"error": "the bearer token is missing or wrong"}, status=401)
        headers = {"Content-Type": CONTENT_TYPE}
        return web.Response(body=self._exporter.render(), headers=headers)

    def _put(self, sink: Sink) -> None:
        entries = self._entries if self._is_known() else []
        for pool in sorted({entry.pool for entry in entries}):
            ours = [entry for entry in entries if entry.pool == pool]
            warm = sum(entry.warm for entry in ours)
            sink.put("ivr_pool_servers", warm, pool=pool, state="warm")
            sink.put("ivr_pool_servers", len(ours) - warm, pool=pool, state="starting")
            sink.put("ivr_pool_in_flight", sum(one.in_flight for one in ours), pool=pool)
            sink.put("ivr_pool_capacity", max(one.capacity for one in ours), pool=pool)

    def _is_known(self) -> bool:
        return self._heard_s is not None and self._clock() - self._heard_s <= FRESH_S


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
