"""Whose page a websocket may touch: those of its own session.

NiceGUI takes the id of a page from each message. It is a random one that only its own browser is told,
but whoever learns it (from a screen, a proxy's log) must not see or press anything there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qs

from nicegui import core

from appliance.access.actor import Actor
from appliance.admin.ui.page import SESSIONS

_EVENTS = ("handshake", "event", "javascript_response", "ack")
"""What names a page, beside the connection itself."""
UPLOADS = "/_nicegui/client/"


def guard_sockets() -> None:
    """Put the check before NiceGUI's own handlers; once a process.

    ``log`` is taken away: what browsers say is callers' words as often as not, and belongs in no log.
    """
    handlers: dict[str, Any] = core.sio.handlers["/"]
    handlers["connect"] = _guarded_connect(handlers["connect"])
    for name in _EVENTS:
        handlers[name] = _guarded(handlers[name])
    handlers["log"] = _forget


def is_theirs(client_id: str, session_id: str) -> bool:
    """Whether ``client_id`` is a page of this session; one that is over has none."""
    return bool(session_id) and SESSIONS.get(client_id) == session_id


def page_of_upload(path: str) -> str | None:
    """The page whose upload ``path`` is; None: it is no upload of a page's."""
    return path.removeprefix(UPLOADS).partition("/")[0] if path.startswith(UPLOADS) else None


def _guarded_connect(connect: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[bool]]:
    async def guarded(sid: str, environ: dict[str, Any], auth: Any = None) -> bool:
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("client_id", [""])[0]
        if not _is_allowed(asked, environ):
            return False  # socket.io refuses it
        await connect(sid, environ, auth)
        return True

    return guarded


def _guarded(handle: Callable[[str, Any], Any]) -> Callable[[str, Any], Awaitable[Any]]:
    async def guarded(sid: str, message: Any) -> Any:
        asked = message.get("client_id") if isinstance(message, dict) else None
        if not _is_allowed(asked, core.sio.get_environ(sid)):
            return False
        found = handle(sid, message)
        return await found if isawaitable(found) else found

    return guarded


def _is_allowed(client_id: Any, environ: dict[str, Any] | None) -> bool:
    actor: Actor | None = (environ or {}).get("asgi.scope", {}).get("state", {}).get("actor")
    return actor is not None and is_theirs(str(client_id), actor.session_id)


def _forget(sid: str, message: Any) -> None:
    """What a browser wrote to its own console."""
