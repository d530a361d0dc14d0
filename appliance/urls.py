"""Hosts and URLs of our own servers, as each is written by whom."""

from __future__ import annotations


def reached(host: str) -> str:
    """The address at which this machine reaches what listens on ``host``, which may be "all of them":
    of IPv4 or of IPv6, for our servers take nothing of the one on the other's socket."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def in_url(host: str) -> str:
    """``host`` as it stands in a URL: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def http_of(url: str) -> str:
    """Where whoever serves ``url``, a websocket's perhaps, answers plain requests; a path goes right
    behind it."""
    is_websocket = url.startswith(("ws://", "wss://"))
    return ("http" + url.removeprefix("ws") if is_websocket else url).rstrip("/")
