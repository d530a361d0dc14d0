"""What the worker said, and when, read off the loopback: how long audio takes to the caller's ear.

The worker sends each 20 ms as one datagram to the playback port of its call. A packet socket sees
them as the kernel delivers them, microseconds after ``sendto``, with the kernel's time stamp; the
caller's RTP socket has the same clock. Nothing in between knows that it is measured.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from appliance.errors import UserError
from appliance.rehearsal.clock import arrival_s
from appliance.rehearsal.conversation import Spurt, Spurts, sound_edges

DRAIN_EVERY_S = 0.05
"""The kernel has stamped the datagrams: to read them late costs nothing, to wake up for each would."""
BUFFER_BYTES = 8 * 1024 * 1024
"""100 calls fill 5 000 datagrams a second at 1-2 KB of kernel memory each: a second of them."""
LONGEST_TRIP_S = 0.5
"""Sound that comes later than this is lost, or another's."""

_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 26, 35, 33
_UDP_HEADER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Trips:
    """What became of everything the worker said, from its socket to the callers' ears."""

    late_ms: list[float] = field(default_factory=list)
    """Per spurt: its first sound leaves the worker, to the same sound at the ear."""
    spurts: int = 0
    frames: int = 0
    """Frames with sound that the worker sent."""
    lost_frames: int = 0
    """Of those, the ones that the ear did not get."""
    lost_spurts: int = 0
    """Spurts of which nothing came; their frames are in ``lost_frames``."""


def trips(said: Mapping[int, Sequence[Spurt]], heard: Mapping[int, Sequence[Spurt]]) -> Trips:
    """Match what was sent on each call (by its number) with what its caller heard.

    Frames are counted spurt by spurt, for the ear may hear one spurt as two where frames are missing.
    """
    late_ms: list[float] = []
    spurts = frames = lost = lost_spurts = 0
    for number, mine in said.items():
        ear = list(heard.get(number, ()))
        for index, spurt in enumerate(mine):
            until_s = mine[index + 1].begin_s if index + 1 < len(mine) else float("inf")
            until_s = min(until_s, spurt.end_s + LONGEST_TRIP_S)
            came = [e for e in ear if spurt.begin_s <= e.begin_s < until_s]
            spurts, frames = spurts + 1, frames + spurt.frames
            lost += max(0, spurt.frames - sum(e.frames for e in came))
            lost_spurts += not came
            if came and came[0].begin_s - spurt.begin_s < LONGEST_TRIP_S:
                late_ms.append((came[0].begin_s - spurt.begin_s) * 1000)
    return Trips(late_ms, spurts, frames, lost, lost_spurts)


def ended(spurts: Sequence[Spurt], hung_up_s: float) -> list[Spurt]:
    """The spurts that were over when the caller hung up, so that all of them should have come."""
    return [s for s in spurts if s.end_s <= hung_up_s - LONGEST_TRIP_S]


class Overhearing:
    """Listens to UDP datagrams towards ``ports`` of this machine's loopback, as a context manager.

    Raises UserError without the right to (CAP_NET_RAW: root has it).
    """

    def __init__(self, ports: range, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._packets: list[tuple[float, bytes]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="overhear", daemon=True)
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except PermissionError as e:
            raise UserError("Only root may listen to the loopback (CAP_NET_RAW).") from e
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        _attach(self._socket, udp_towards(ports))
        # bound to IP alone a packet socket sees what comes in, not also the same going out
        self._socket.bind(("lo", _ETH_P_IP))

    def __enter__(self) -> Overhearing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def spurts(self) -> dict[int, list[Spurt]]:
        """What was said to each port; ask when the listening is over."""
        lines: dict[int, Spurts] = {}
        for at_s, packet in self._packets:
            start = (packet[0] & 0x0F) * 4
            (port,) = struct.unpack_from("!H", packet, start + 2)
            line = lines.setdefault(port, Spurts())
            if edges := sound_edges(packet[start + _UDP_HEADER_BYTES :]):
                first_s, last_s = (at_s + edge / self._rate_hz for edge in edges)
                line.add(first_s, last_s)
        return {port: line.all for port, line in lines.items()}

    def _listen(self) -> None:
        over = False
        while not over:
            over = self._over.wait(DRAIN_EVERY_S)
            self._drain()

    def _drain(self) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                return
            self._packets.append((arrival_s(ancillary), packet))


Instruction = tuple[int, int, int, int]
"""Of the kernel's packet filter: code, jump if true, jump if false, constant."""


def udp_towards(ports: range) -> list[Instruction]:
    """A filter that lets pass what is UDP over IPv4, whole, to a port of ``ports`` (step 1)."""
    load_byte, load_half_indexed, load_header_length = 0x30, 0x48, 0xB1
    equal, at_least, greater, give = 0x15, 0x35, 0x25, 0x06
    protocol_at, destination_at = 9, 2
    return [
        (load_byte, 0, 0, protocol_at),
        (equal, 0, 5, socket.IPPROTO_UDP),
        (load_header_length, 0, 0, 0),
        (load_half_indexed, 0, 0, destination_at),
        (at_least, 0, 2, ports.start),
        (greater, 1, 0, ports.stop - 1),
        (give, 0, 0, 0xFFFF),
        (give, 0, 0, 0),
    ]


def _attach(packet_socket: socket.socket, instructions: Sequence[Instruction]) -> None:
    """linux/filter.h: struct sock_fprog points to the instructions."""
    code = b"".join(struct.pack("HBBI", *each) for each in instructions)
    memory = ctypes.create_string_buffer(code)
    program = struct.pack("HL", len(instructions), ctypes.addressof(memory))
    packet_socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
