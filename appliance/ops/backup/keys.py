"""Who can read backups, and what proves that this box made them.

A backup is encrypted to a public recipient (age, X25519): the box itself cannot read it again. age
says nothing of who encrypted, so each backup also carries a seal, HMAC-SHA256 under a secret that the
box has and the identity file repeats: without it anybody who can write to the target could have us
restore a database of their making.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from appliance.errors import UserError
from appliance.files import write_whole
from appliance.settings import BACKUP_SEAL_SECRET, Settings

PRIVATE_MODE = 0o600
LARGEST_IDENTITY_BYTES = 1 << 16
_SEAL = re.compile(r"^# seal: (\S{16,200})$", re.MULTILINE)
_SECRET = re.compile(r"^AGE-SECRET-KEY-1[A-Z0-9]+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Identity:
    """What reads backups: kept off the box."""

    secret: str
    """AGE-SECRET-KEY-1…"""
    seal: str
    """Empty: the file does not say."""

    def __repr__(self) -> str:
        return "Identity(…)"


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new pair, told once."""

    recipient: str
    text: str
    """The identity file."""


def make(settings: Settings, host: str, *, replace: bool = False) -> MadeKey:
    """A new pair. Bring its text to rest, then :func:`keep` it.

    Raises UserError when there is one and ``replace`` is not set: what was made for the old one is
    read by the old one alone.
    """
    if settings.backup.recipients:
        raise UserError(
            "backup.recipients in the settings says who reads the backups; take it out first."
        )
    if settings.backup_recipient_file.exists() and not replace:
        raise UserError(
            "There is a key for backups already. A new one (--replace) reads only the backups that are"
            " made from then on: keep the old identity as long as you keep the old ones."
        )
    secret = pyrage.x25519.Identity.generate()
    recipient = str(secret.to_public())
    probe = os.urandom(64)  # a pair that does not fit would be found out on the worst of days
    if pyrage.decrypt(pyrage.encrypt(probe, [secret.to_public()]), [secret]) != probe:
        raise UserError("The pair of keys does not fit together; the age library is broken.")
    text = (
        f"# Reads the backups of {host}. Keep it off that box, in two places:"
        " without it they are lost.\n"
        f"# made: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n"
        f"# public key: {recipient}\n"
        f"# seal: {settings.secret(BACKUP_SEAL_SECRET)}\n"
        f"{secret}\n"
    )
    return MadeKey(recipient, text)


def keep(settings: Settings, made: MadeKey) -> None:
    """From now on every backup is made for it: not before somebody has its identity, for without that
    nobody could read them. Raises OSError; the key before is in force then."""
    write_whole(settings.backup_recipient_file, f"{made.recipient}\n".encode(), sync=True)


def recipients_of(settings: Settings) -> tuple[str, ...]:
    """The public keys that backups are made for; empty: there is none yet."""
    if settings.backup.recipients:
        return settings.backup.recipients
    try:
        return (settings.backup_recipient_file.read_text(encoding="ascii").strip(),)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as e:
        raise UserError(f"The public key of backups cannot be read: {e}.") from e


def parsed(recipients: tuple[str, ...]) -> list[pyrage.x25519.Recipient]:
    """For the library. Raises UserError: none, or one that is no public key."""
    if not recipients:
        raise UserError(
            "There is no key to encrypt backups with. Run `ivr backup key --out FILE` once, and keep"
            " that file off this box."
        )
    try:
        return [pyrage.x25519.Recipient.from_str(one) for one in recipients]
    except pyrage.RecipientError as e:
        raise UserError(f"backup.recipients: {e}. They look like age1…") from e


def read_identity(path: Path) -> Identity:
    """The identity file that ``ivr backup key`` made, or age-keygen. Raises UserError."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_IDENTITY_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"The identity {path} cannot be read: {e}.") from e
    secret, seal = _SECRET.search(text), _SEAL.search(text)
    if secret is None:
        raise UserError(
            f"{path} holds no identity: a line that begins with AGE-SECRET-KEY-1. It is the file that"
            " `ivr backup key` made."
        )
    return Identity(secret[0], seal[1] if seal else "")


def opened(identity: Identity) -> pyrage.x25519.Identity:
    """For the library. Raises UserError."""
    try:
        return pyrage.x25519.Identity.from_str(identity.secret)
    except pyrage.IdentityError as e:
        raise UserError(f"The identity is damaged: {e}.") from e


def seal_of(settings: Settings, identity: Identity | None = None) -> str:
    """The secret of seals: the identity's, which is that of the box that is gone; else this box's."""
    if identity is not None and identity.seal:
        return identity.seal
    if not (settings.secrets_dir / BACKUP_SEAL_SECRET).exists():
        raise UserError(
            "Nothing here can tell whether this backup is yours: the identity has no line '# seal: …',"
            " and this box has made no backups."
        )
    return settings.secret(BACKUP_SEAL_SECRET)


def sealed(seal: str, purpose: str, data: bytes) -> str:
    """HMAC-SHA256, hex, of ``data`` for ``purpose``: made for one, it proves nothing for another."""
    return hmac.new(seal.encode(), purpose.encode() + b"\0" + data, hashlib.sha256).hexdigest()
