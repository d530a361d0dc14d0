"""The RTP of one call of a :class:`tests.sippeer.Peer`: G.711 both ways, keys, arrival times."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator

import numpy as np

from appliance.audio import ulaw_decode, ulaw_encode
from appliance.rehearsal.clock import arrival_s

FRAME_BYTES = 320
"""20 ms of L16 at 8 kHz."""
FRAME_S = 0.02
PCMU, PCMA = 0, 8
KEYS = "0123456789*#ABCD"
TIMESTAMPS = 35
"""SO_TIMESTAMPNS of asm-generic/socket.h; the socket module does not name it."""
JITTER_S = 0.06
"""Frames that come at most this late are put one after the other in :meth:`Audio.heard`."""
_HEAD = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_END_BIT, _VOLUME, _MARKER = 0x80, 10, 0x80
_END_PACKETS = 3
"""RFC 4733 §2.5.1.4: the end of an event is sent three times."""


def _alaw_table() -> np.ndarray:
    """ITU-T G.711 A-law, all 256 codes decoded."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 0x0F) << 4
    value = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, value, -value).astype(np.int16)


_ALAW = _alaw_table()
_ORDER = np.argsort(_ALAW, kind="stable")
_VALUES = _ALAW[_ORDER].astype(np.int32)
_MIDDLES = (_VALUES[1:] + _VALUES[:-1]) // 2


def alaw_decode(payload: bytes) -> bytes:
    """G.711 A-law to L16."""
    return _ALAW[np.frombuffer(payload, np.uint8)].tobytes()


def alaw_encode(pcm: bytes) -> bytes:
    """L16 to G.711 A-law."""
    samples = np.frombuffer(pcm, "<i2").astype(np.int32)
    return _ORDER[np.searchsorted(_MIDDLES, samples, side="left")].astype(np.uint8).tobytes()


class Audio:
    """Sends a frame each 20 ms once :attr:`remote` is set and :meth:`start` was called; hears."""

    def __init__(self, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, TIMESTAMPS, 1)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self.remote: tuple[str, int] | None = None
        self.codec = PCMU
        self.event_type = 101
        self.sending = True
        """Off: no packets at all, as a telephone on hold or behind a dead link."""
        self.begun_s = time.monotonic()
        """Sample 0 of :meth:`heard`; the monotonic clock."""
        self.frames: list[tuple[float, bytes]] = []
        """(arrival in s on the monotonic clock, 20 ms of L16) of every packet heard."""
        self.lost = 0
        """Packets of the far end's that never came, by its sequence numbers."""
        self.keys = ""
        """What the far end pressed (RFC 4733)."""
        self.sent = 0
        self._key_at = -1
        self._expected: int | None = None
        self._source: int | None = None
        self._speech = bytearray()
        self._pressing: deque[Iterator[bytes]] = deque()
        self._sequence = random.randrange(1 << 15)
        self._timestamp = random.randrange(1 << 31)
        self._ssrc = random.randrange(1 << 32)
        self._task: asyncio.Task[None] | None = None
        self._started_s = 0.0
        self._ticks = 0
        """Frames' times that have been used since then."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def start(self) -> None:
        """Begin to send."""
        if self._task is None:
            self._started_s = time.monotonic()
            self._task = asyncio.create_task(self._send_for_ever())

    def play(self, pcm: bytes) -> float:
        """Queue L16 at 8 kHz; the monotonic time at which it will have been said. It is told by the
        sender's clock: after something that held the event loop up, it makes up for the time lost."""
        self._speech += pcm
        left_s = len(self._speech) / FRAME_BYTES * FRAME_S
        if self._task is None:
            return time.monotonic() + left_s
        return self._started_s + self._ticks * FRAME_S + left_s

    def be_silent(self) -> None:
        """Say no more of what is queued."""
        self._speech.clear()

    def press(self, key: str, duration_ms: int) -> None:
        """Press a key (RFC 4733) from the next frame on."""
        self._pressing.append(self._event(KEYS.index(key), duration_ms))

    def heard(self) -> bytes:
        """L16 from :attr:`begun_s` to the last frame; where nothing arrived there is silence."""
        out = bytearray()
        for at_s, pcm in list(self.frames):
            ahead_s = at_s - self.begun_s - len(out) / FRAME_BYTES * FRAME_S
            if ahead_s > JITTER_S:
                out += bytes(int(ahead_s / FRAME_S) * FRAME_BYTES)
            out += pcm
        return bytes(out)

    async def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._socket.close()

    async def _send_for_ever(self) -> None:
        while True:
            self._send_one(first=self._ticks == 0)
            self._ticks += 1
            await asyncio.sleep(
                max(0.0, self._started_s + self._ticks * FRAME_S - time.monotonic())
            )

    def _send_one(self, *, first: bool) -> None:
        frame = bytes(self._speech[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
        packet = next(self._pressing[0], None) if self._pressing else None
        if self._pressing and packet is None:
            self._pressing.popleft()
        if packet is None:
            del self._speech[:FRAME_BYTES]
            coded = ulaw_encode(frame) if self.codec == PCMU else alaw_encode(frame)
            packet = self._packet(self.codec, first, self._timestamp, coded)
        self._timestamp = (self._timestamp + FRAME_BYTES // 2) & 0xFFFFFFFF
        if self.sending and self.remote is not None:
            with contextlib.suppress(OSError):  # nobody listens there any more
                self._socket.sendto(packet, self.remote)
                self.sent += 1

    def _packet(self, kind: int, marker: bool, timestamp: int, payload: bytes) -> bytes:
        head = _HEAD.pack(
            0x80, kind | (_MARKER if marker else 0), self._sequence, timestamp, self._ssrc
        )
        self._sequence = (self._sequence + 1) & 0xFFFF
        return head + payload

    def _event(self, code: int, duration_ms: int) -> Iterator[bytes]:
        """The packets of one key press; all carry the timestamp of its beginning."""
        begun, frames = self._timestamp, max(1, duration_ms // 20)
        for index in range(frames + _END_PACKETS - 1):
            last = index >= frames - 1
            samples = min(index + 1, frames) * FRAME_BYTES // 2
            payload = _EVENT.pack(code, _VOLUME | (_END_BIT if last else 0), samples)
            yield self._packet(self.event_type, index == 0, begun, payload)

    def _readable(self) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(2048, 64)
            except OSError:
                return
            if len(packet) > _HEAD.size and packet[0] >> 6 == 2:
                self._take(packet, arrival_s(ancillary))

    def _take(self, packet: bytes, at_s: float) -> None:
        _, kind, sequence, timestamp, source = _HEAD.unpack_from(packet)
        if self._expected is not None and source == self._source:
            gap = (sequence - self._expected) & 0xFFFF
            self.lost += gap if gap < 1 << 15 else 0
        self._expected, self._source = (sequence + 1) & 0xFFFF, source
        payload = packet[_HEAD.size :]
        match kind & 0x7F:
            case 0:
                self.frames.append((at_s, ulaw_decode(payload)))
            case 8:
                self.frames.append((at_s, alaw_decode(payload)))
            case self.event_type if payload[1] & _END_BIT and timestamp != self._key_at:
                self._key_at = timestamp
                self.keys += KEYS[payload[0] & 0x0F]
