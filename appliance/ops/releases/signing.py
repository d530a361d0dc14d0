"""Ed25519 signatures (RFC 8032) of bundles, and the one key that a box trusts.

There is no default key: a box trusts the key that whoever installs it names, and keeps it in
``/etc/ivr/release.pub``. From then on nothing signed by another is read.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from appliance.errors import UserError
from appliance.files import write_whole

PINNED = Path("/etc/ivr/release.pub")
"""The public key of whoever makes this box's bundles, PEM."""
CONTEXT = b"ivr-bundle-1\n"
"""Before the manifest in what is signed: a signature for something else says nothing here."""
SIGNATURE_BYTES = 64
LARGEST_KEY_BYTES = 8192
FINGERPRINT_LETTERS = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that bundles are checked by."""

    key: Ed25519PublicKey

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its 32 bytes, in hex, the first 128 bits in groups of four."""
        digest = hashlib.sha256(self.key.public_bytes_raw()).hexdigest()[:FINGERPRINT_LETTERS]
        return "-".join(digest[i : i + 4] for i in range(0, len(digest), 4))

    @property
    def pem(self) -> bytes:
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def check(self, manifest: bytes, signature: bytes) -> None:
        """Raises UserError unless ``signature`` is by this key, over exactly ``manifest``."""
        try:
            raw = base64.b64decode(signature, validate=True)
            if len(raw) != SIGNATURE_BYTES:
                raise ValueError
            self.key.verify(raw, CONTEXT + manifest)
        except (ValueError, InvalidSignature) as e:
            raise UserError(
                f"The bundle was not signed by the key {self.fingerprint}, or was changed after it"
                " was. Nothing of it was used; get it again from whoever holds that key."
            ) from e


def sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """The detached signature over ``manifest``, base64."""
    return base64.b64encode(key.sign(CONTEXT + manifest))


def make_keys(private: Path) -> PublicKey:
    """Make a pair: ``private`` (0600) and beside it the same name with ``.pub``.

    Raises UserError where one of them is there already.
    """
    public = public_beside(private)
    for path in (private, public):
        if path.exists():
            raise UserError(f"{path} is there already; a key is never overwritten. Name another.")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = PublicKey(key.public_key())
    write_whole(private, secret, mode=0o600, sync=True)
    write_whole(public, made.pem, mode=0o644, sync=True)
    return made


def public_beside(private: Path) -> Path:
    """Where :func:`make_keys` puts the public key."""
    return private.with_name(private.name + ".pub")


def read_private(path: Path) -> Ed25519PrivateKey:
    """Raises UserError for anything but such a key that no other account can read."""
    if path.exists() and path.stat().st_mode & 0o077:
        raise UserError(f"{path} can be read by others: chmod 600 {path}")
    try:
        key = load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise UserError(f"{path} is no private key; make one by `ivr bundle keygen`.") from e
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path} is no Ed25519 key; make one by `ivr bundle keygen`.")
    return key


def read_public(path: Path) -> PublicKey:
    """Raises UserError for anything but such a key."""
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as e:
        raise UserError(f"{path} is no public key; it is the .pub of `ivr bundle keygen`.") from e
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"{path} is no Ed25519 key; it is the .pub of `ivr bundle keygen`.")
    return PublicKey(key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_KEY_BYTES)
    except OSError as e:
        raise UserError(f"{path} cannot be read: {e.strerror}. Name the key's file.") from e


def trusted(named: Path | None, pinned: Path = PINNED) -> PublicKey:
    """The key to check a bundle by: the pinned one, else ``named`` (the first time).

    Raises UserError where there is neither, or where they are two.
    """
    if not pinned.exists():
        if named is None:
            raise UserError(
                "This box trusts no key for bundles yet. Name the one of whoever made the bundle,"
                " by --key FILE; it is kept then."
            )
        return read_public(named)
    kept = read_public(pinned)
    if named is not None and read_public(named).pem != kept.pem:
        raise UserError(
            f"{named} is not the key that this box trusts ({kept.fingerprint}, {pinned})."
            " If the key was truly changed, put the new one there by hand."
        )
    return kept


def pin(key: PublicKey, pinned: Path = PINNED) -> None:
    """Trust ``key`` from now on; one that is there stays."""
    if not pinned.exists():
        write_whole(pinned, key.pem, mode=0o644, sync=True)
