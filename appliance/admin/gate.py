"""The gate before every page and every route: who asks, from where, how often, how much.

Pure ASGI, so that it stands before FastAPI, before NiceGUI and before both's websockets.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.access import apikeys, sessions
from appliance.access.actor import Actor
from appliance.admin.answers import Dressed
from appliance.admin.api.access import NOBODY
from appliance.admin.api.app import PREFIX, error
from appliance.admin.console import Console
from appliance.admin.rates import Rates, site_of
from appliance.admin.telling import PATH as METRICS
from appliance.admin.telling import ConsoleMetrics
from appliance.admin.ui.sockets import UPLOADS as PAGE_UPLOADS
from appliance.admin.ui.sockets import is_theirs, page_of_upload
from appliance.metrics.exposition import CONTENT_TYPE
from appliance.settings import Admin

log = logging.getLogger(__name__)

COOKIE = "__Host-ivr"
"""``__Host-``: only ever from this host, by HTTPS, for every path (RFC 6265bis §4.1.3.2)."""
LOGIN = "/login"
HEALTH = "/health"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LARGEST_BODY_BYTES = 1 << 20
"""Of what is no upload."""
LONGEST_SILENCE_S = 30.0
"""Within a body: who sends no piece for so long is not waited for."""
SLOWEST_BYTES_A_S = 1000
"""Of a body, after that time: below the slowest line that anybody works with."""
UPLOADS = (PAGE_UPLOADS, f"{PREFIX}/knowledge/", f"{PREFIX}/campaigns/")
"""Paths that take up to ``admin.upload_mb``."""
_AWAY = "The database did not answer. Try again in a moment."
_FOREIGN = "This request came from another site."
_NO_METRICS = "This wants the secret `metrics` as a bearer token, or an API key with system:read."
_TOO_OFTEN = "Too many requests; try again in a minute."
_TOO_LARGE = "This is more than may be sent at once."


@dataclass(frozen=True, slots=True)
class _Asker:
    """Whoever sent a request, as far as its headers tell."""

    headers: Headers
    address: str
    key: str
    """An API key, or empty."""
    cookie: str
    """The token of a session, or empty."""


class Gate:
    """Lets through to ``app`` what may come in, with ``state.actor`` and ``state.console`` set."""

    def __init__(self, app: ASGIApp, console: Console, static: str) -> None:
        """``static``: where NiceGUI's own files are; with ``/static/`` the only paths that nobody has
        to log in for, beside the login itself."""
        self._app = app
        self._console = console
        self._admin = console.settings.admin
        self._rates = Rates(self._admin.requests_a_minute)
        self._metrics = ConsoleMetrics(console.settings, console.engine, console.lag)
        self._open = ("/static/", static)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        dressed = Dressed(self._metrics.counts.watch(scope, send), self._admin.tls, path)
        scope["state"] = scope.get("state", {}) | {"console": self._console, "actor": None}
        if path.startswith(self._open) or path == HEALTH:
            await self._app(scope, receive, dressed)
            return
        if path == METRICS and self._metrics.has_secret(_authorization(scope)):
            await self._told()(scope, receive, dressed)
            return
        refused = await self._refusal(scope, _asker(scope), path)
        if refused is not None:
            await refused(scope, receive, dressed)
            return
        if path == METRICS:
            await self._told()(scope, receive, dressed)
            return
        await self._app(scope, Bounded(receive, self._largest(path)), dressed)

    async def _refusal(self, scope: Scope, asker: _Asker, path: str) -> ASGIApp | None:
        """What is answered in place of the page; None: it may be seen. Sets ``state.actor``."""
        if not self._rates.allow(site_of(asker.address)):  # not by key: guesses would have one each
            return error(429, _TOO_OFTEN)
        if _length(asker.headers) > self._largest(path):
            return error(413, _TOO_LARGE)
        if not self._is_our_host(asker.headers):
            return PlainTextResponse("Wrong host.", 421)
        changes = scope["method"] not in SAFE_METHODS
        if changes and not asker.key and not self._same_site(asker.headers):
            return error(403, _FOREIGN)
        try:
            actor = await self._actor_of(asker)
        except (SQLAlchemyError, OSError) as e:
            log.error("! %s: %s", path, type(e).__name__)
            return error(503, _AWAY) if path.startswith(PREFIX) else PlainTextResponse(_AWAY, 503)
        scope["state"]["actor"] = actor
        if path == METRICS:
            return None if self._metrics.may_read(actor) else error(401, _NO_METRICS)
        if actor is None:
            return self._to_the_login(scope, path)
        if actor.via == "key" and not path.startswith(PREFIX):
            return error(403, "API keys are for the API; log in to see pages.")
        if (page := page_of_upload(path)) is not None:
            return None if is_theirs(page, actor.session_id) else error(404, "No such page.")
        return None

    def _to_the_login(self, scope: Scope, path: str) -> ASGIApp | None:
        """For strangers. The API reads nothing of what they send, and does not say what it can do."""
        if path.startswith(PREFIX):
            return error(401, NOBODY)
        if path == LOGIN or path.startswith(LOGIN + "/"):
            return None
        return RedirectResponse(f"{LOGIN}?next={quote(_page_of(scope))}", 303)

    def _told(self) -> ASGIApp:
        """The metrics. One secret, or one key, guards them for every path by which they are read."""
        return Response(self._metrics.render(), media_type=CONTENT_TYPE)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        asker = _asker(scope)
        scope["state"] = scope.get("state", {}) | {"console": self._console, "actor": None}
        allowed = self._is_our_host(asker.headers) and self._rates.allow(site_of(asker.address))
        if allowed and (asker.key or self._same_site(asker.headers)):
            try:
                scope["state"]["actor"] = await self._actor_of(asker)
            except (SQLAlchemyError, OSError) as e:
                log.error("! %s: %s", scope["path"], type(e).__name__)
        if scope["state"]["actor"] is None:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008})
            return
        self._metrics.counts.sockets += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._metrics.counts.sockets -= 1

    async def _actor_of(self, asker: _Asker) -> Actor | None:
        engine = self._console.engine
        if asker.key:
            return await apikeys.actor_of_key(engine, asker.key, asker.address)
        if asker.cookie:
            return await sessions.actor_of(engine, asker.cookie, asker.address, self._admin)
        return None

    def _largest(self, path: str) -> int:
        return self._admin.upload_mb << 20 if path.startswith(UPLOADS) else LARGEST_BODY_BYTES

    def _same_site(self, headers: Headers) -> bool:
        """Whether a page of ours sent this: by its Origin, or by Fetch Metadata where there is none.
        A request with neither is no browser's, and has no cookie of ours to misuse."""
        if (origin := headers.get("origin")) is not None:
            host = headers.get("host", "")
            plain = not self._admin.tls  # the proxy before us may speak either
            return origin == f"https://{host}" or (plain and origin == f"http://{host}")
        if (site := headers.get("sec-fetch-site")) is not None:
            return site == "same-origin"
        return "cookie" not in headers

    def _is_our_host(self, headers: Headers) -> bool:
        return not self._admin.public_url or headers.get("host") == _host(self._admin)


class Bounded:
    """``receive`` that ends the request when its body grows past ``largest`` bytes, stops coming, or
    comes in drops."""

    def __init__(self, receive: Receive, largest: int) -> None:
        self._receive = receive
        self._left = largest
        self._is_whole = False
        self._allowed_s = LONGEST_SILENCE_S

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()  # it tells when whoever asked has gone
        clock = asyncio.get_running_loop().time
        since_s = clock()
        try:
            async with asyncio.timeout(min(LONGEST_SILENCE_S, self._allowed_s)):
                message = await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        size = len(message.get("body", b""))
        self._left -= size
        self._allowed_s += size / SLOWEST_BYTES_A_S - (clock() - since_s)
        self._is_whole = not message.get("more_body", False)
        return message if self._left >= 0 else {"type": "http.disconnect"}


def _host(admin: Admin) -> str:
    return urlsplit(admin.public_url).netloc


def _asker(scope: Scope) -> _Asker:
    headers = Headers(scope=scope)
    kind, _, key = headers.get("authorization", "").partition(" ")
    address = scope["client"][0] if scope.get("client") else ""
    return _Asker(
        headers, address, key.strip() if kind.lower() == "bearer" else "", _cookie(headers)
    )


def _authorization(scope: Scope) -> str:
    return Headers(scope=scope).get("authorization", "")


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def _page_of(scope: Scope) -> str:
    query: str = scope["query_string"].decode("latin-1")
    path: str = scope["path"]
    return path + (f"?{query}" if query else "")
