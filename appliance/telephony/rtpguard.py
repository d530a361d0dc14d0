"""Lets a call's RTP sockets hear nobody but the caller: a filter in the kernel, by source address.

pjmedia follows whoever sends ten packets in a row between two of the caller's, as it must for
telephones behind a NAT that changes its mind; a stranger who sends fast enough could so speak in a call
and be sent the agent's voice. Which addresses a caller may send from is known from SIP: that of their
SDP, and that which their signalling came from. Of those, any port is heard.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
from collections.abc import Collection
from ipaddress import IPv4Address

SO_ATTACH_FILTER = 26
_SKF_NET_OFF = 0x100000000 - 0x100000
"""linux/filter.h: what follows is counted from the IP header."""
_SOURCE_OFFSET = 12
"""Of the source address in an IPv4 header (RFC 791 §3.1)."""
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_WHOLE = 0xFFFFFFFF
MOST_HOSTS = 16
"""A caller has two."""
_FOLDER = "/proc/self/fd"


def program(hosts: Collection[IPv4Address]) -> bytes:
    """Classic BPF that lets datagrams of ``hosts`` through and drops all others."""
    wanted = sorted({int(host) for host in hosts})[:MOST_HOSTS]
    lines = [_line(_LOAD_WORD, 0, 0, (_SKF_NET_OFF + _SOURCE_OFFSET) & 0xFFFFFFFF)]
    for n, host in enumerate(wanted):
        lines.append(_line(_JUMP_IF_EQUAL, len(wanted) - n, 0, host))
    return b"".join([*lines, _line(_RETURN, 0, 0, 0), _line(_RETURN, 0, 0, _WHOLE)])


def admit(local: tuple[str, int], hosts: Collection[IPv4Address]) -> bool:
    """Have the UDP socket of this process that is bound to ``local`` hear ``hosts`` alone.

    False where there is no such socket. Raises OSError: the kernel does not take the filter.
    """
    code = program(hosts)
    kept = ctypes.create_string_buffer(code, len(code))
    told = struct.pack("@HP", len(code) // 8, ctypes.addressof(kept))
    found = _socket_at(local)
    if found is None:
        return False
    with found:
        found.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)
    return True


def _line(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _socket_at(local: tuple[str, int]) -> socket.socket | None:
    """A duplicate of the UDP socket bound to ``local``: closing it closes nothing."""
    for name in os.listdir(_FOLDER):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue  # closed in this moment
        try:
            if found.type == socket.SOCK_DGRAM and found.getsockname() == local:
                return found
        except OSError:
            pass
        found.close()
    return None
