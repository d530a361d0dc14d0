"""HTTP requests that leave the other greenlets running: Python's client on gevent's sockets."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from gevent import socket

FAILURES = (OSError, ValueError, http.client.HTTPException)
"""What :func:`ask` raises."""


def ask(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    connect_timeout_s: float,
    read_timeout_s: float,
    most_bytes: int,
    more: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """One request over a connection of its own: the status, and the body cut at ``most_bytes``.

    The scheme of ``url`` does not count: a worker's is a websocket's. ``body`` is JSON;
    ``more`` are headers besides.
    Raises one of ``FAILURES``: nobody there, no answer in time, or one that is no answer.
    """
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port or http.client.HTTP_PORT)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Connection": "close"} | ({"Content-Type": "application/json"} if body else {})
    headers |= more or {}
    connection = http.client.HTTPConnection(*place)
    with socket.create_connection(place, timeout=connect_timeout_s) as connection.sock:
        connection.sock.settimeout(read_timeout_s)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(most_bytes)
