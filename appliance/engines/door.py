"""Who is let in by an engine server: whoever brings its key, before anything of a body is read.

``/health`` answers without it as well, and then says no more than whether the server takes work, for
whoever starts servers asks that; ``/metrics`` has a rule of its own (:mod:`appliance.metrics.access`).
vLLM's door is :mod:`appliance.engines.vllmdoor`.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from appliance.engines.lock import HEALTH, REFUSED, Lock

METRICS = "/metrics"
WANTED = "wanted"
"""What ``/health`` says under ``key`` to who brought none."""
Refusal = Callable[[int, str], web.Response]
"""An answer of a status and one sentence."""


DOOR = web.AppKey("door", Lock)
KNOWN = web.RequestKey("known", bool)
"""Of a request: whether it brought the key."""


def asking(refusal: Refusal) -> Middleware:
    """The middleware that lets in by the application's ``DOOR``; others get ``refusal`` of 401."""

    @web.middleware
    async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
        door, brought = request.app[DOOR], request.headers.get("Authorization", "")
        request[KNOWN] = known = door.admits(brought)
        if known or request.path == METRICS or (request.path == HEALTH and not brought):
            return await handler(request)
        door.tell(request.method, request.path, str(request.remote))
        answer = refusal(401, REFUSED)
        answer.headers["WWW-Authenticate"] = "Bearer"
        answer.force_close()
        return answer

    return ask
