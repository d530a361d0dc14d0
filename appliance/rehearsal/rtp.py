"""One call's RTP: G.711 µ-law and RFC 4733 keys out, µ-law in, with loss and jitter on demand."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.audio import ulaw_decode, ulaw_encode
from appliance.rehearsal.clock import arrival_s, stamped_socket

_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
PCMU = 0
EVENT = 101
MAX_DROPOUT, MAX_MISORDER = 3000, 100
"""RFC 3550 A.1: packets that may be lost in a row, and how far one may come late."""
FRAME_SAMPLES = 160
_VERSION = 0x80
_MARKER = 0x80
_EVENT_VOLUME = 10
_END_BIT = 0x80
_KEYS = "0123456789*#ABCD"
_END_PACKETS = 3
"""RFC 4733 §2.5.1.4: the end of an event is sent three times."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What the network does to the caller's packets."""

    loss: float = 0.0
    """Share of packets that are never sent, 0-1."""
    jitter_ms: float = 0.0
    """Each packet is delayed by 0 to this much, evenly spread."""


class RtpStream:
    """Sends one frame a tick to the agent and reads what the agent sends."""

    def __init__(self, weather: Weather, seed: int, host: str = "127.0.0.1") -> None:
        """``host``: our own address, which the agent sends to."""
        self._socket = stamped_socket(host)
        self._weather = weather
        self._random = random.Random(seed)
        self._sequence = self._random.randrange(1 << 16)
        self._timestamp = self._random.randrange(1 << 32)
        self._ssrc = self._random.randrange(1 << 32)
        self._first = True
        self._keys: deque[Iterator[bytes]] = deque()
        self._delayed: deque[tuple[float, bytes]] = deque()
        self.remote: tuple[str, int] | None = None
        self.lost = 0
        """Packets of the agent's that never came, by its sequence numbers."""
        self._expected = 0
        self._source: int | None = None

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        return self._socket.fileno()

    def press(self, key: str, duration_ms: int = 120) -> None:
        """Send a key instead of audio from the next frame on."""
        self._keys.append(self._event(_KEYS.index(key), duration_ms))

    def send(self, pcm: bytes) -> None:
        """Send 20 ms of L16 (or the key that is being pressed in its place)."""
        packet = next(self._keys[0], None) if self._keys else None
        if self._keys and packet is None:
            self._keys.popleft()
        if packet is None:
            packet = self._packet(PCMU, self._first, self._timestamp, ulaw_encode(pcm))
        self._first = False
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if self._random.random() >= self._weather.loss:
            delay_s = self._random.uniform(0, self._weather.jitter_ms) / 1000
            self._delayed.append((time.monotonic() + delay_s, packet))
            if delay_s:
                asyncio.get_running_loop().call_later(delay_s, self._flush)
        self._flush()

    def _flush(self) -> None:
        """Send what was delayed and is due; jitter reorders nothing."""
        now_s = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now_s:
            _, packet = self._delayed.popleft()
            if self.remote is not None:
                self._socket.sendto(packet, self.remote)

    def receive(self) -> tuple[bytes, float] | None:
        """20 ms of the agent's audio as L16 and when it arrived; None when there is none."""
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(2048, 64)
        except (BlockingIOError, ConnectionError):
            return None
        if len(packet) <= _HEADER.size:
            return None
        _, kind, sequence, _, source = _HEADER.unpack_from(packet)
        self._count(sequence, source)
        if kind & 0x7F != PCMU:
            return None
        return ulaw_decode(packet[_HEADER.size :]), arrival_s(ancillary)

    def close(self) -> None:
        self._delayed.clear()  # what is late now is never sent
        self._socket.close()

    def _count(self, sequence: int, source: int) -> None:
        """Count what is missing before ``sequence``, after RFC 3550 A.1: a new SSRC, or a jump that
        no loss explains, is a stream that began anew."""
        before, self._source = self._source, source
        gap = (sequence - self._expected) & 0xFFFF
        if source == before and gap < MAX_DROPOUT:
            self.lost += gap
        elif source == before and gap > 0xFFFF - MAX_MISORDER:
            self.lost = max(0, self.lost - 1)  # it was counted, and comes late
            return
        self._expected = (sequence + 1) & 0xFFFF

    def _packet(self, kind: int, marker: bool, timestamp: int, payload: bytes) -> bytes:
        mark = _MARKER if marker else 0
        header = _HEADER.pack(_VERSION, kind | mark, self._sequence, timestamp, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        return header + payload

    def _event(self, code: int, duration_ms: int) -> Iterator[bytes]:
        """The packets of one key press; all carry the timestamp of its beginning."""
        begun = self._timestamp
        frames = max(1, duration_ms // 20)
        for index in range(frames + _END_PACKETS - 1):
            last = index >= frames - 1
            duration = min(index + 1, frames) * FRAME_SAMPLES
            payload = _EVENT.pack(code, _EVENT_VOLUME | (_END_BIT if last else 0), duration)
            yield self._packet(EVENT, index == 0, begun, payload)


def ip_towards(host: str) -> str:
    """Our own address as ``host`` sees it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
