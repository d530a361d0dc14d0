"""UDP ports for playback: one a call, taken and given back, never the same at once."""

from __future__ import annotations

import socket
from collections import deque

from appliance.errors import UserError


class PlaybackPorts:
    """Ports ``first`` to ``first + count - 1`` on ``host``, the one idle longest first: datagrams
    of a call that is over must not reach the next."""

    def __init__(self, host: str, first: int, count: int) -> None:
        self.host = host
        self._free = deque(range(first, first + count))
        self._taken: set[int] = set()
        self.mirror, self._mirror_socket = _sink(host)
        """Where FreeSWITCH's unicast sends the callers' audio: a socket that nobody reads, so that
        the kernel drops it."""

    @property
    def in_use(self) -> int:
        """How many calls have one."""
        return len(self._taken)

    def take(self) -> int | None:
        """A port that nobody uses, or None when all are taken."""
        for _ in range(len(self._free)):
            port = self._free.popleft()
            if _is_free(self.host, port):
                self._taken.add(port)
                return port
            self._free.append(port)  # somebody else's, now
        return None

    def adopt(self, port: int) -> None:
        """A call found at start uses it already."""
        if port in self._free:
            self._free.remove(port)
            self._taken.add(port)

    def give_back(self, port: int) -> None:
        """The call is over."""
        if port in self._taken:
            self._taken.remove(port)
            self._free.append(port)

    def close(self) -> None:
        """Let the mirror's port go."""
        self._mirror_socket.close()


def _sink(host: str) -> tuple[int, socket.socket]:
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least: it fills at once
    try:
        sink.bind((host, 0))
    except OSError as e:
        sink.close()
        raise UserError(
            f"Setting switch.playback_host = {host!r} is no address of this machine ({e.strerror})."
        ) from e
    return sink.getsockname()[1], sink


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
