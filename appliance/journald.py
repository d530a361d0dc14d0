"""Log lines as systemd's journal keeps them: one datagram a line, with fields to search by.

The native protocol of systemd (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): ``KEY=value`` lines, and a
value with a newline in it as its length. ``journalctl CALL_ID=…`` then has one call, whichever process
wrote of it.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "ivr"
LONGEST_VALUE_BYTES = 48 * 1024
"""A datagram has its limit (some 200 KB, by the socket's buffer); of a longer text the rest is cut."""
PRIORITIES = {
    logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7,
}  # fmt: skip
"""syslog(3)."""
SHORT_CALL = 8
"""Characters of a call's id in the text itself."""


def is_stream(stderr: int, journal_stream: str) -> bool:
    """Whether the descriptor ``stderr`` leads to the journal: ``$JOURNAL_STREAM`` is DEVICE:INODE of
    what systemd has connected, and a child whose stderr goes elsewhere inherits the variable too."""
    try:
        device, inode = map(int, journal_stream.split(":"))
        status = os.fstat(stderr)
    except (ValueError, OSError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)


def datagram(fields: Mapping[str, str]) -> bytes:
    """One entry of the journal. Keys are capitals, digits and underscores."""
    parts = []
    for key, text in fields.items():
        value = text.encode("utf-8", "backslashreplace")[:LONGEST_VALUE_BYTES]
        if b"\n" in value:
            parts.append(key.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n")
        else:
            parts.append(key.encode() + b"=" + value + b"\n")
    return b"".join(parts)


def entry(process: str, level: int, message: str, call: str = "", logger: str = "") -> bytes:
    """A line of ours."""
    fields = {
        "MESSAGE": f"{call[:SHORT_CALL]} {message}" if call else message,
        "PRIORITY": str(PRIORITIES.get(level, 6)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "IVR_PROCESS": process,
    }
    if call:
        fields["CALL_ID"] = call
    if logger:
        fields["IVR_LOGGER"] = logger
    return datagram(fields)


class JournalSocket:
    """The way to the journal; it may be started anew at any time."""

    def __init__(self, path: str = "") -> None:
        self._path = path or SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def send(self, data: bytes) -> None:
        """One entry. Blocks while the journal is slow: a thread's. Raises OSError."""
        self._socket.sendto(data, self._path)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
