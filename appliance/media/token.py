"""The per-call token that lets one call, and only it, into a worker's media stream.

``v1.CALL_ID.EXPIRY.MAC``: EXPIRY in Unix seconds, MAC the hex HMAC-SHA256 of what stands before it.
The edge that took the call makes it, the worker checks it; both read the secret from the settings.
"""

from __future__ import annotations

import hashlib
import hmac

LIFETIME_S = 30
"""From the token's making to the websocket's upgrade; a call's own length does not matter."""


def _mac(secret: str, body: str) -> str:
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def make(secret: str, call_id: str, now_s: float) -> str:
    """A token for ``call_id`` that may be used until ``LIFETIME_S`` after ``now_s`` (Unix time)."""
    body = f"v1.{call_id}.{int(now_s) + LIFETIME_S}"
    return f"{body}.{_mac(secret, body)}"


def check(secret: str, token: str, now_s: float) -> str | None:
    """The call id that ``token`` was made for, or None when it is forged, broken or expired."""
    if not token.isascii():
        return None
    body, _, mac = token.rpartition(".")
    if not hmac.compare_digest(_mac(secret, body), mac):
        return None
    match body.split("."):
        case ["v1", call_id, expiry] if now_s <= int(expiry):
            return call_id
    return None  # expired, or made for an id with a full stop in it, which no call has
