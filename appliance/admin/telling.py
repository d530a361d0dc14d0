"""What the console tells Prometheus: requests by the template of their route, logins, sockets."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Message, Scope, Send

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.app import PREFIX
from appliance.metrics.access import has_token
from appliance.metrics.buckets import WAITS_S, Buckets
from appliance.metrics.exposition import Exporter, Sink
from appliance.metrics.looplag import LoopLag
from appliance.metrics.process import exporter_of
from appliance.settings import METRICS_SECRET, Settings
from appliance.store.database import connections_of

PATH = "/metrics"
OTHER = "other"
"""The route of what is no route: refused at the gate, static files, nothing at all."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MOST_ROUTES = 500
"""Different templates; there are some 200."""
LOGIN_STEPS = frozenset({"/login", "/login/second-factor"})
_OUTCOMES = {303: "passed", 401: "wrong", 429: "too_often", 503: "busy"}
"""What the status of a step of the login tells."""


class HttpCounts:
    """Since the start of the console."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, Buckets] = {}
        self._logins: Counter[str] = Counter()
        self.sockets = 0
        """Websockets that are open."""

    def watch(self, scope: Scope, send: Send) -> Send:
        """``send`` of one request, which counts it as its answer begins."""
        began_s = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, int(message["status"]), time.perf_counter() - began_s)
            await send(message)

        return counted

    def put(self, sink: Sink) -> None:
        """Tell it."""
        for (route, method, status), count in self._requests.items():
            sink.put("ivr_http_requests_total", count, route=route, method=method, status=status)
        for route, seconds in self._seconds.items():
            sink.histogram("ivr_http_request_seconds", seconds, route=route)
        for outcome in (*_OUTCOMES.values(), "other"):
            sink.put("ivr_logins_total", self._logins[outcome], outcome=outcome)
        sink.put("ivr_console_sockets", self.sockets)

    def _count(self, scope: Scope, status: int, took_s: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER
        route = _template(scope)
        if route not in self._seconds and len(self._seconds) >= MOST_ROUTES:
            route = OTHER
        self._requests[route, method, status] += 1
        self._seconds.setdefault(route, Buckets(WAITS_S)).observe(took_s)
        if method == "POST" and scope["path"] in LOGIN_STEPS:
            self._logins[_OUTCOMES.get(status, "other")] += 1


def _template(scope: Scope) -> str:
    """Of the route that answered. FastAPI has those of the API without their prefix."""
    template = str(getattr(scope.get("route"), "path", OTHER))
    is_api = scope["path"].startswith(PREFIX + "/") and template != OTHER
    return PREFIX + template if is_api and not template.startswith(PREFIX) else template


class ConsoleMetrics:
    """``GET /metrics`` of the console."""

    def __init__(self, settings: Settings, engine: AsyncEngine, lag: LoopLag) -> None:
        self.counts = HttpCounts()
        self._secret = partial(settings.secret, METRICS_SECRET)
        self._exporter = self._made(engine, lag)

    def may_read(self, actor: Actor | None) -> bool:
        """An API key that may see the system of the whole box. Never just because they are on this
        machine: a proxy may stand before the console."""
        return (
            actor is not None
            and actor.via == "key"
            and actor.tenant is None
            and actor.may(Permission.SYSTEM_READ)
        )

    def has_secret(self, authorization: str) -> bool:
        """Whether they bring the secret ``metrics``."""
        return has_token(authorization, self._secret())

    def render(self) -> bytes:
        """The text."""
        return self._exporter.render()

    def _made(self, engine: AsyncEngine, lag: LoopLag) -> Exporter:
        exporter = exporter_of("admin", lag)
        exporter.add(self.counts.put)

        def connections(sink: Sink) -> None:
            used, limit = connections_of(engine.sync_engine)
            sink.put("ivr_db_connections", used)
            sink.put("ivr_db_connections_limit", limit)

        exporter.add(connections)
        return exporter
