"""What is encrypted under the box's own generated secrets: second factors in the database, and the
tickets that a browser carries between two steps of a login."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken

from appliance.errors import UserError
from appliance.settings import Settings

TOTP_SECRET = "totp"
"""Name of the generated secret (``Settings.secret``) that second factors are kept under."""
LOGIN_SECRET = "login"
"""The one for tickets."""


def seal(settings: Settings, secret: str) -> str:
    """A second factor's secret, encrypted for the database (Fernet: AES-128-CBC with HMAC)."""
    return _fernet(settings, TOTP_SECRET).encrypt(secret.encode()).decode()


def unseal(settings: Settings, sealed: str) -> str:
    """Raises UserError where the box's own secret is not the one it was sealed with."""
    try:
        return _fernet(settings, TOTP_SECRET).decrypt(sealed.encode()).decode()
    except InvalidToken as e:
        raise UserError(
            "The second factor cannot be read: the box's secret 'totp' is another one now. An"
            " operator helps with `ivr users reset-second-factor`."
        ) from e


def make_ticket(settings: Settings, purpose: str, facts: dict[str, Any]) -> str:
    """``facts`` for a browser to bring back: it can neither read nor change them."""
    return _fernet(settings, LOGIN_SECRET, purpose).encrypt(orjson.dumps(facts)).decode()


def read_ticket(
    settings: Settings, purpose: str, ticket: str, most_s: int
) -> dict[str, Any] | None:
    """What was put in; None: not made here, for another purpose, or over ``most_s`` seconds old."""
    try:
        plain = _fernet(settings, LOGIN_SECRET, purpose).decrypt(ticket.encode(), ttl=most_s)
    except (InvalidToken, UnicodeEncodeError):
        return None
    facts: dict[str, Any] = orjson.loads(plain)
    return facts


def _fernet(settings: Settings, name: str, purpose: str = "") -> Fernet:
    material = f"ivr:{name}:{purpose}:{settings.secret(name)}"
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(material.encode()).digest()))
