"""Secrets and signatures as the Standard Webhooks specification has them (standardwebhooks.com).

What is signed is ``ID.TIMESTAMP.BODY`` with HMAC-SHA256; a receiver who checks it, and that the
timestamp is of now, knows that we sent it, lately, and that nobody changed it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken

from appliance.errors import UserError
from appliance.settings import Settings

PREFIX = "whsec_"
SECRET_BYTES = 32
"""The specification asks for 24 to 64."""
SETTING = "webhooks"
"""The generated secret (``Settings.secret``) under which each webhook's is kept."""


def new_secret() -> str:
    """``whsec_…``: random bytes in Base64, as receivers' libraries take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signatures(valid: Sequence[str], message_id: str, at_s: int, body: bytes) -> str:
    """The header ``webhook-signature``: one ``v1,…`` for each valid secret, parted by spaces, so that
    a receiver may know either while a secret is changed."""
    signed = f"{message_id}.{at_s}.".encode() + body
    return " ".join(f"v1,{_signature(secret, signed)}" for secret in valid)


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def seal(settings: Settings, secret: str) -> str:
    """``secret`` encrypted for the database."""
    return _fernet(settings).encrypt(secret.encode()).decode()


def unseal(settings: Settings, sealed: str) -> str:
    """Raises UserError where the box's own secret is not the one it was sealed with."""
    try:
        return _fernet(settings).decrypt(sealed.encode()).decode()
    except InvalidToken as e:
        raise UserError(
            f"The webhook's secret cannot be read: the box's secret '{SETTING}' is another one now."
            " Give the webhook a new secret."
        ) from e


def _fernet(settings: Settings) -> Fernet:
    key = hashlib.sha256(b"ivr-webhooks:" + settings.secret(SETTING).encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
