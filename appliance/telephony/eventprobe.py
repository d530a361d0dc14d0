"""Asks FreeSWITCH's event socket a few questions and leaves, with plain sockets: for ``ivr doctor``,
which runs no greenlets. Blocks."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

SHIPPED_PASSWORD = "ClueCon"
"""Of FreeSWITCH as it comes: known to everybody."""
MODULES = ("mod_sofia", "mod_audio_stream", "mod_commands", "mod_dptools", "mod_spandsp")
"""Without one of these no call is carried."""
TIMEOUT_S = 3.0
LONGEST_BYTES = 64 << 10


class RefusedError(Exception):
    """The password is wrong."""


@dataclass(frozen=True, slots=True)
class Told:
    """What FreeSWITCH says of itself."""

    version: str
    missing: tuple[str, ...]
    """Modules of :data:`MODULES` that are not loaded."""


class _Wire(Protocol):
    """Both ways of a connection, buffered."""

    def readline(self, size: int, /) -> bytes: ...
    def read(self, size: int, /) -> bytes: ...
    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...


def ask(host: str, port: int, password: str, modules: Sequence[str] = MODULES) -> Told:
    """Log in, ask, leave. Raises RefusedError, or OSError: nobody answers as FreeSWITCH does."""
    with socket.create_connection((host, port), TIMEOUT_S) as link, link.makefile("rwb") as wire:
        _message(wire)  # auth/request
        reply, _ = _command(wire, f"auth {password}")
        if not reply.get("reply-text", "").startswith("+OK"):
            raise RefusedError
        version = _command(wire, "api version")[1]
        missing = [
            name for name in modules
            if _command(wire, f"api module_exists {name}")[1].strip() != "true"
        ]  # fmt: skip
        return Told(version.strip().partition("\n")[0], tuple(missing))


def _command(wire: _Wire, text: str) -> tuple[dict[str, str], str]:
    wire.write(f"{text}\n\n".encode())
    wire.flush()
    return _message(wire)


def _message(wire: _Wire) -> tuple[dict[str, str], str]:
    """Headers and body of one message. Raises OSError: it is none."""
    headers: dict[str, str] = {}
    while (line := wire.readline(LONGEST_BYTES)) not in (b"\n", b""):
        name, colon, value = line.decode(errors="replace").partition(":")
        if not colon:
            raise OSError("what answers is no event socket")
        headers[name.strip().lower()] = value.strip()
    if not headers:
        raise OSError("the connection was closed")
    length = headers.get("content-length", "0")
    size = int(length) if length.isdigit() else 0
    if size > LONGEST_BYTES:
        raise OSError(f"an answer of {size} bytes")
    return headers, wire.read(size).decode(errors="replace") if size else ""
