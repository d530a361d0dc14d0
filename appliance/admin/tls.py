"""The certificate of a box that was given none: self-signed, made once, kept beside the data."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.errors import UserError
from appliance.settings import Settings

VALID_DAYS = 825
"""Browsers refuse self-signed server certificates that are valid for longer."""


def certificate(settings: Settings) -> tuple[Path, Path]:
    """PEM files of certificate and key: those of the settings, else our own.

    Raises UserError: a file of the settings is not there, or one is named without the other.
    """
    admin = settings.admin
    if bool(admin.certificate) != bool(admin.key):
        raise UserError("Set both admin.certificate and admin.key, or neither.")
    if admin.certificate:
        files = Path(admin.certificate), Path(admin.key)
        for file in files:
            if not os.access(file, os.R_OK):
                raise UserError(f"{file} cannot be read; admin.certificate and admin.key name it.")
        return files
    return _own(settings.tls_dir, admin.host)


def _own(folder: Path, host: str) -> tuple[Path, Path]:
    certificate, key = folder / "console.pem", folder / "console.key"
    if not (certificate.exists() and key.exists()) or _is_old(certificate):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(certificate, key, host)
    return certificate, key


def _is_old(file: Path) -> bool:
    ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    return ends < datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)


def _write(certificate: Path, key: Path, host: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ivr {socket.gethostname()}"[:64])])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    signed = builder.sign(private, hashes.SHA256())
    secret = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _put(key, secret)
    _put(certificate, signed.public_bytes(serialization.Encoding.PEM))


def _names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(socket.gethostname())]
    addresses = {"127.0.0.1", "::1", host} - {"0.0.0.0", "::", "localhost"}
    for text in sorted(addresses):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            names.append(x509.DNSName(text))
    return names


def _put(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
    temporary.replace(file)
