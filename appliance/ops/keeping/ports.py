"""Free ports for a server that is about to be started (demo, bench, tests)."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
FIRST_PORT, LAST_PORT = 18_000, 31_000
"""Below the range that the kernel takes for outgoing connections (32 768 and up on Linux): a port
from there may be gone again by the time its server starts."""


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """``count`` different ports of ``host`` on which neither TCP nor UDP is in use now."""
    found: list[int] = []
    for port in random.sample(range(FIRST_PORT, LAST_PORT), LAST_PORT - FIRST_PORT):
        if len(found) == count:
            return found
        if _is_free(host, port):
            found.append(port)
    raise OSError("no free ports on " + host)


def free_port(host: str = LOOPBACK) -> int:
    """One such port, on an IPv4 address of this machine."""
    return free_ports(1, host)[0]


def _is_free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True
