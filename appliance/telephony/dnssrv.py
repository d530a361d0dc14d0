"""DNS SRV records (RFC 2782), which the standard library cannot ask for: one question over UDP.

SIP finds a carrier's servers by them where the trunk's proxy has no port (RFC 3263 §4.2).
"""

from __future__ import annotations

import random
import secrets
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ProtocolError

RESOLV_CONF = Path("/etc/resolv.conf")
DNS_PORT = 53
TYPE_SRV = 33
CLASS_IN = 1
FLAG_RECURSION_DESIRED = 0x0100
RCODE_NXDOMAIN = 3
MAX_JUMPS = 32
"""Of a compressed name; more is a loop."""
LARGEST_ANSWER_BYTES = 4096
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_SRV = struct.Struct("!3H")


@dataclass(frozen=True, slots=True)
class Srv:
    """Where a service is: lower ``priority`` first, then by ``weight``."""

    priority: int
    weight: int
    port: int
    host: str


def nameservers(path: Path = RESOLV_CONF) -> list[tuple[str, int]]:
    """The IPv4 servers of ``resolv.conf``; none where it cannot be read."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    words = [line.split() for line in lines]
    return [
        (w[1], DNS_PORT) for w in words if w[:1] == ["nameserver"] and len(w) > 1 and "." in w[1]
    ]


def lookup(name: str, servers: Sequence[tuple[str, int]], timeout_s: float) -> list[Srv] | None:
    """The records of ``name`` in the order to try them; empty: there are none; None: no answer."""
    for server in servers:
        try:
            return _ask(name, server, timeout_s)
        except (OSError, ProtocolError):
            continue
    return None


def question(name: str, number: int) -> bytes:
    """The datagram that asks for SRV records of ``name``. Raises ProtocolError for no DNS name."""
    labels = name.rstrip(".").encode("ascii", "replace").split(b".")
    if not all(0 < len(label) < 64 for label in labels):
        raise ProtocolError(f"{name!r} is no DNS name")
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    header = _HEADER.pack(number, FLAG_RECURSION_DESIRED, 1, 0, 0, 0)
    return header + encoded + struct.pack("!HH", TYPE_SRV, CLASS_IN)


def parse_answer(data: bytes, number: int) -> list[Srv]:
    """Read an answer. Raises ProtocolError for one that is malformed, or says that it failed."""
    try:
        got, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
        if got != number or not flags & 0x8000:
            raise ProtocolError("DNS answer to another question")
        if (rcode := flags & 0xF) not in (0, RCODE_NXDOMAIN):
            raise ProtocolError(f"DNS server failed with code {rcode}")
        at = _HEADER.size
        for _ in range(questions):
            at = _name(data, at)[1] + 4
        found = []
        for _ in range(answers):
            at = _name(data, at)[1]
            kind, _, _, length = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            if kind == TYPE_SRV:
                priority, weight, port = _SRV.unpack_from(data, at)
                found.append(Srv(priority, weight, port, _name(data, at + _SRV.size)[0]))
            at += length
    except (struct.error, IndexError, UnicodeDecodeError) as e:
        raise ProtocolError("DNS answer is malformed") from e
    return sorted((srv for srv in found if srv.host), key=_order)


def _order(srv: Srv) -> tuple[int, float]:
    return srv.priority, -random.random() * (srv.weight + 1)  # RFC 2782: heavier ones more often


def _ask(name: str, server: tuple[str, int], timeout_s: float) -> list[Srv]:
    number = secrets.randbelow(1 << 16)
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(server)
        udp.send(question(name, number))
        while (left_s := deadline - time.monotonic()) > 0:
            udp.settimeout(left_s)
            data = udp.recv(LARGEST_ANSWER_BYTES)
            if data[:2] == number.to_bytes(2, "big"):
                return parse_answer(data, number)
    raise TimeoutError("no DNS answer")


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends (RFC 1035 §4.1.4)."""
    labels: list[str] = []
    end = None
    for _ in range(MAX_JUMPS + len(data)):
        length = data[at]
        if length == 0:
            return ".".join(labels), at + 1 if end is None else end
        if length >= 0xC0:
            end = at + 2 if end is None else end
            target = (length & 0x3F) << 8 | data[at + 1]
            if target >= at:
                raise ProtocolError("DNS name jumps forward")
            at = target
        else:
            labels.append(data[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
    raise ProtocolError("DNS name has no end")
