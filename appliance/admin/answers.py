"""The headers that every answer of the console carries, and the nonce of the scripts in its pages."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

_SCRIPT = re.compile(rb"^(\s*)<script", re.MULTILINE)
"""A script of the page's own template begins a line; what users wrote stands inside one, where no
line begins."""
YEAR_S = 31_536_000


def policy(nonce: str) -> str:
    """The Content-Security-Policy of a page whose own scripts carry ``nonce``.

    ``unsafe-eval``: Vue compiles templates in the browser. Nothing comes from another host.
    """
    return (
        "default-src 'self'; "
        f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )


class Dressed:
    """``send`` that adds the headers, and the nonce to a page's scripts."""

    def __init__(self, send: Send, tls: bool, path: str) -> None:
        self._send = send
        self._tls = tls
        self._cached = path.startswith(("/_nicegui/", "/static/"))
        self._nonce = secrets.token_urlsafe(16)
        self._start: Message | None = None
        self._page = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._dress(message)
            if self._is_page(message):
                self._start = message  # its length is known when the nonces are in
                return
        elif self._start is not None:
            self._page += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._send_page()
            return
        await self._send(message)

    async def _send_page(self) -> None:
        assert self._start is not None
        tag = rb'\1<script nonce="' + self._nonce.encode() + b'"'
        page = _SCRIPT.sub(tag, self._page)
        MutableHeaders(scope=self._start)["content-length"] = str(len(page))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": page})

    def _dress(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        headers["content-security-policy"] = policy(self._nonce)
        headers["x-content-type-options"] = "nosniff"
        headers["x-frame-options"] = "DENY"
        headers["referrer-policy"] = "same-origin"
        headers["cross-origin-opener-policy"] = "same-origin"
        headers["cross-origin-resource-policy"] = "same-origin"
        headers["permissions-policy"] = "microphone=(self), camera=(), geolocation=()"
        if self._tls:
            headers["strict-transport-security"] = f"max-age={YEAR_S}"
        if not self._cached and "cache-control" not in headers:
            headers["cache-control"] = "no-store"

    def _is_page(self, message: Message) -> bool:
        headers = MutableHeaders(scope=message)
        plain = "content-encoding" not in headers
        return plain and headers.get("content-type", "").startswith("text/html")
