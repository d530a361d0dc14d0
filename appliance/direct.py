"""Questions to our own servers, from threads and commands: straight to them.

The proxy that an environment names is for the world outside, and would answer for them. Whom a server
points to elsewhere is not asked: urllib would send the key along.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, of whatever status."""

    status: int
    body: bytes
    """Cut where it is longer than what was to be read."""


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """None: a redirect is an answer like any other."""


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stays)


def get(
    url: str, *, timeout_s: float, most_bytes: int, headers: Mapping[str, str] | None = None
) -> Said:
    """``GET url``. ``timeout_s``: to connect, and from one piece of the answer to the next. Raises
    OSError: there is no answer, or none of HTTP."""
    try:
        request = urllib.request.Request(url, headers=dict(headers or {}))
        try:
            answer = _opener.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as e:
            answer = e
        with answer:
            return Said(answer.status, answer.read(most_bytes))
    except (http.client.HTTPException, ValueError) as e:
        raise ConnectionError(f"{url} gives no answer of HTTP: {e}") from e
