"""Free ports for a server that is about to be started (demo, bench, tests)."""

from __future__ import annotations

import random
import socket

FIRST_PORT, LAST_PORT = 18_000, 31_000
"""Below the range that the kernel takes for outgoing connections (32 768 and up on Linux): a port
from there may be gone again by the time its server starts."""


def free_ports(count: int) -> list[int]:
    """``count`` different loopback ports on which neither TCP nor UDP is in use now."""
    found: list[int] = []
    for port in random.sample(range(FIRST_PORT, LAST_PORT), LAST_PORT - FIRST_PORT):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise OSError("no free ports on 127.0.0.1")


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
