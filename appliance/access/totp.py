"""The second factor: codes by time (RFC 6238), and recovery codes for a lost telephone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

import pyotp

STEP_S = 30
DRIFT_STEPS = 1
"""How far a telephone's clock may be off, either way."""
ISSUER = "IVR"
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
"""80 bits: nobody guesses one, so a plain SHA-256 keeps it."""


def new_secret() -> str:
    """160 random bits, in Base32."""
    return pyotp.random_base32()


def uri(secret: str, login: str) -> str:
    """``otpauth://``: what the QR code says to the telephone."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)


def step_of(secret: str, code: str, now_s: float) -> int | None:
    """The time step whose code this is, of those around ``now_s`` (seconds since 1970); None: wrong.

    Whoever takes it sees to it that no step is taken twice (RFC 6238 §5.2).
    """
    typed = code.replace(" ", "")
    totp = pyotp.TOTP(secret)
    here = int(now_s // STEP_S)
    found = None
    for step in range(here - DRIFT_STEPS, here + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), typed.encode()):
            found = step
    return found


def recovery_codes() -> list[str]:
    """New ones, to be shown once: four groups of four letters and digits."""
    return [_grouped(secrets.token_bytes(RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> str:
    """As the database keeps one; dashes, spaces and case do not matter."""
    plain = "".join(c for c in code.lower() if c.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def _grouped(random: bytes) -> str:
    letters = base64.b32encode(random).decode().lower()
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))
