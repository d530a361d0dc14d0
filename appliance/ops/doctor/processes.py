"""Which processes of ours run on this machine, and who holds its ports: what /proc tells."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"
"""State of a TCP socket in /proc/net/tcp."""
MOST_PROCESSES = 10_000


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as /proc tells."""

    pid: int
    uid: int
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its program's name."""
        if not self.command:
            return ""
        # servers write what they do behind their name: "redis-server 127.0.0.1:6379"
        return Path(self.command[0].split(" ")[0]).name.rstrip(":")

    @property
    def ours(self) -> str:
        """Which command of ``ivr`` it is; empty: none."""
        words = self.command
        for index, word in enumerate(words[:4]):
            is_module = word == "appliance" and index > 0 and words[index - 1] == "-m"
            if is_module or Path(word).name == "ivr":
                rest = [word for word in words[index + 1 :] if not word.startswith("-")]
                return _without_settings(rest)
        return ""


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that takes what comes."""

    kind: str
    """tcp or udp."""
    address: IPv4Address | IPv6Address
    port: int
    process: Process | None
    """None: it belongs to somebody whose processes we may not look into."""


def processes() -> list[Process]:
    """All that run. Blocks for some milliseconds."""
    found = []
    for pid in [int(path.name) for path in PROC.iterdir() if path.name.isdigit()][:MOST_PROCESSES]:
        try:
            raw = (PROC / str(pid) / "cmdline").read_bytes()
            uid = (PROC / str(pid)).stat().st_uid
        except OSError:
            continue  # it has ended
        command = tuple(part.decode(errors="replace") for part in raw.split(b"\0") if part)
        found.append(Process(pid, uid, command))
    return found


def listeners() -> list[Listener]:
    """Every listening TCP and every unconnected UDP socket, with who holds it."""
    holders = _holders()
    found = []
    for kind in ("tcp", "udp"):
        for version in ("", "6"):
            for address, port, inode in _sockets(kind, version):
                found.append(Listener(kind, address, port, holders.get(inode)))
    return found


def limits(pid: int) -> dict[str, tuple[str, str]]:
    """Soft and hard limits of a process (proc_pid_limits(5)); nothing where it may not be read."""
    try:
        lines = (PROC / str(pid) / "limits").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {line[:26].strip(): (line[26:47].strip(), line[47:68].strip()) for line in lines}


def _holders() -> dict[int, Process]:
    """Of each socket's inode, the process that has it open."""
    found: dict[int, Process] = {}
    for process in processes():
        try:
            entries = list(os.scandir(PROC / str(process.pid) / "fd"))
        except OSError:
            continue  # another user's, or gone
        for entry in entries:
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue
            if target.startswith("socket:["):
                found.setdefault(int(target[8:-1]), process)
    return found


def _sockets(kind: str, version: str) -> Iterator[tuple[IPv4Address | IPv6Address, int, int]]:
    try:
        lines = (PROC / "net" / f"{kind}{version}").read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        parts = line.split()
        local, remote, state, inode = parts[1], parts[2], parts[3], int(parts[9])
        free = state == LISTEN if kind == "tcp" else remote.endswith(":0000")
        if free:
            host, _, port = local.partition(":")
            yield _address(host), int(port, 16), inode


def _address(text: str) -> IPv4Address | IPv6Address:
    """The kernel's hexadecimal: words of 32 bits in the machine's own order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = b"".join(socket.htonl(word).to_bytes(4, "big") for word in words)
    if len(packed) == 16:
        address = IPv6Address(packed)
        return address.ipv4_mapped or address
    return ip_address(packed)


def _without_settings(words: list[str]) -> str:
    named = [word for word in words if not word.endswith(".toml")]
    return named[0] if named else "ivr"
