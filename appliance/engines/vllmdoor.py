"""vLLM's door: the key of engine servers at every path of it, ``/health`` alone excepted.

vLLM itself asks for its key under a few prefixes (0.32: ``/v1``, ``/v2``, ``/inference``, ``/cohere``);
what else it serves is open: ``/invocations`` writes replies, ``/scale_elastic_ep`` stops them,
``/tokenize``, ``/metrics``, ``/docs``. So this stands before all of it, in vLLM's own process and
environment: ``--middleware appliance.engines.vllmdoor.VllmDoor``. It imports nothing but the standard
library and our :mod:`~appliance.engines.lock`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from appliance.engines.lock import HEALTH, REFUSED, Lock

KEY = "VLLM_API_KEY"
"""Of the environment: the settings are not to be had in there."""
REFUSAL = json.dumps({"error": {"message": REFUSED}}).encode()
POLICY_VIOLATION = 1008
"""RFC 6455 §7.4.1; before the websocket is accepted, it becomes status 403."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class VllmDoor:
    """ASGI middleware, the outermost: who brings no key is refused before anything is read."""

    def __init__(self, app: App) -> None:
        """Raises ValueError where the environment names no key: then vLLM does not start."""
        self._app = app
        self._lock = Lock()
        self._lock.lock(os.environ.get(KEY, ""))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self._admits(scope):
            await self._app(scope, receive, send)
            return
        host, _ = scope.get("client") or ("?", 0)
        self._lock.tell(scope.get("method", "GET"), scope["path"], host)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(REFUSAL)).encode()),
            (b"www-authenticate", b"Bearer"),
            (b"connection", b"close"),  # whatever of a body is on its way
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSAL})

    def _admits(self, scope: Scope) -> bool:
        brought = [value for name, value in scope["headers"] if name == b"authorization"]
        if not brought:
            return bool(scope["path"] == HEALTH)
        return self._lock.admits(brought[0].decode("utf-8", "replace"))
