"""What both pjsua2 processes (endpoint, caller) share: start of the library, ports, fast frames.

Only those processes import this: pjsua2 is GPL-2 and aborts the process when it errs.
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from appliance.audio import FRAME_MS, RATES_HZ, frame_bytes

MAX_CALLS = 4
"""Of one process: what the library is built for."""
JITTER_INIT_MS = 20
JITTER_MIN_MS = 20
JITTER_MAX_PREFETCH_MS = 60
JITTER_MAX_MS = 300
RESAMPLE_QUALITY = 5
"""pjmedia's large filter between a G.711 call and a 16 kHz bridge: flat to 3.5 kHz. The small one
(4 and below) takes 7 dB from 3 kHz up, where a recogniser tells s from f."""
CODEC_PRIORITY = {"PCMU/8000/1": 132, "PCMA/8000/1": 131, "G722/16000/1": 130}
"""All others are disabled; telephone-event (RFC 4733) is always offered."""
LOG_LEVEL = 2
"""pjsip's errors (1) and warnings (2)."""

TICKS_TO_OUTLAST = 2
"""The bridge takes a port out as its next tick begins, and is done with it as that ends."""
OUTLAST_LIMIT_S = 0.2
"""A bridge that stands still sends nothing either."""
OUTLAST_STEP_S = 0.002

Take = Callable[[], bytes]
Give = Callable[[bytes], None]

_log = logging.getLogger("pjsip")


class _LogWriter(pj.LogWriter):
    """Hands the library's own warnings to our log."""

    def write(self, entry: Any) -> None:
        try:
            _log.log(logging.WARNING if entry.level <= 1 else logging.INFO, entry.msg.rstrip())
        except Exception:  # C++ above: it must not see this
            return


_writer = _LogWriter()  # the library keeps a bare pointer to it


def start_library(*, bridge_hz: int, agent: str) -> pj.Endpoint:
    """Create and initialise pjsua2 with a null sound device and a short jitter buffer.

    ``bridge_hz``: rate of the conference bridge. Its own thread handles SIP and calls back; the
    calling thread is the one that may use the library.
    """
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 1
    config.uaConfig.maxCalls = MAX_CALLS
    config.uaConfig.userAgent = agent
    config.logConfig.level = LOG_LEVEL
    config.logConfig.consoleLevel = 0
    config.logConfig.msgLogging = 0
    config.logConfig.writer = _writer
    media = config.medConfig
    media.clockRate = bridge_hz
    media.sndClockRate = bridge_hz
    media.audioFramePtime = FRAME_MS
    media.ptime = FRAME_MS
    media.ecTailLen = 0
    media.noVad = True  # silence is sent like speech: the far side counts time by it
    media.quality = RESAMPLE_QUALITY
    media.jbInit = JITTER_INIT_MS
    media.jbMinPre = JITTER_MIN_MS
    media.jbMaxPre = JITTER_MAX_PREFETCH_MS
    media.jbMax = JITTER_MAX_MS
    media.sndAutoCloseTime = -1
    endpoint.libInit(config)
    return endpoint


def private_stdout() -> int:
    """Keep stdout for our JSON lines: what the library prints there before it has a log is lost.

    Returns the file descriptor to write to.
    """
    fd = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return fd


def choose_codecs(endpoint: pj.Endpoint, only: str | None = None) -> None:
    """Enable G.711 and G.722, or ``only`` the one named (PCMU, PCMA, G722)."""
    for codec in endpoint.codecEnum2():
        wanted = only is None or codec.codecId.startswith(only + "/")
        priority = CODEC_PRIORITY.get(codec.codecId, 0) if wanted else 0
        endpoint.codecSetPriority(codec.codecId, priority)


class FramePort(pj.AudioMediaPort):
    """A port of the bridge whose 20 ms L16 frames come and go by two plain functions.

    Both are called on the bridge's thread, once each 20 ms, ``take`` (what it plays into the
    bridge) before ``give`` (what it hears; silence as zeros). What they raise is swallowed and
    counted: an exception must not reach the C++ thread.
    """

    def __init__(
        self,
        name: str,
        rate_hz: int,
        take: Take | None = None,
        give: Give | None = None,
    ) -> None:
        super().__init__()
        self._take, self._give = take, give
        self._frame_bytes = frame_bytes(rate_hz)
        self._silence = bytes(self._frame_bytes)
        self._out = pj.ByteVector(self._silence)
        self.errors = 0
        self._ticks = 0
        form = pj.MediaFormatAudio()
        form.init(pj.PJMEDIA_FORMAT_PCM, rate_hz, 1, FRAME_MS * 1000, 16)
        self.createPort(name, form)

    def attach(self, take: Take | None, give: Give | None) -> None:
        """Use it for another call, or for none: a port is never destroyed, for the bridge's thread
        may still be inside of it."""
        self._take, self._give = take, give

    def outlast_tick(self) -> None:
        """Wait, on the thread that ends a call, until the bridge's thread is through with the stream
        that has just been taken out. PJSIP 2.15 closes a stream's socket without asking whether that
        thread is sending on it, and aborts the process, with its other calls, where it was (mended
        after 2.17: pjproject #5016)."""
        until, seen = time.monotonic() + OUTLAST_LIMIT_S, self._ticks + TICKS_TO_OUTLAST
        while self._ticks < seen and time.monotonic() < until:
            time.sleep(OUTLAST_STEP_S)

    def onFrameRequested(self, frame: Any) -> None:
        try:
            frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
            store_bytes(self._out, self._take() if self._take else self._silence)
            frame.buf = self._out
            frame.size = self._frame_bytes
        except Exception:  # the border of a call; C++ above
            self.errors += 1

    def onFrameReceived(self, frame: Any) -> None:
        self._ticks += 1
        try:
            if self._give:
                heard = frame.size == self._frame_bytes
                self._give(load_bytes(frame.buf) if heard else self._silence)
        except Exception:  # the border of a call; C++ above
            self.errors += 1


class Ports:
    """The bridge's Python ports, kept for reuse: destroying one races with the bridge's thread."""

    def __init__(self) -> None:
        self._free: dict[int, list[FramePort]] = {rate: [] for rate in RATES_HZ}
        self._made = 0

    def take(self, rate_hz: int) -> FramePort:
        if self._free[rate_hz]:
            return self._free[rate_hz].pop()
        self._made += 1
        return FramePort(f"call{self._made}", rate_hz)

    def give_back(self, port: FramePort, rate_hz: int) -> None:
        self._free[rate_hz].append(port)


def _span(vector: Any) -> tuple[int, int]:
    """Address and length of a std::vector<unsigned char>: its first two words (libstdc++)."""
    words = (ctypes.c_size_t * 2).from_address(int(vector.this))
    return words[0], words[1] - words[0]


def _load_fast(vector: Any) -> bytes:
    address, length = _span(vector)
    return ctypes.string_at(address, length)


def _store_fast(vector: Any, data: bytes) -> None:
    address, length = _span(vector)
    if len(data) != length:
        raise ValueError(f"frame of {len(data)} bytes, not {length}")
    ctypes.memmove(address, data, length)


def _load_slow(vector: Any) -> bytes:
    return bytes(bytearray(vector))


def _store_slow(vector: Any, data: bytes) -> None:
    vector.assign(0, 0)
    for value in data:
        vector.append(value)


def _layout_is_known() -> bool:
    """Whether ByteVector lies in memory as we think; else each byte goes through SWIG (30x)."""
    sample = bytes(range(7, 27))
    vector = pj.ByteVector(sample)
    words = (ctypes.c_size_t * 3).from_address(int(vector.this))
    if words[1] - words[0] != len(sample) or words[2] < words[1] or not words[0]:
        return False
    return _load_fast(vector) == sample == _load_slow(vector)


_FAST = _layout_is_known()
load_bytes: Callable[[Any], bytes] = _load_fast if _FAST else _load_slow
"""A ByteVector's content."""
store_bytes: Callable[[Any, bytes], None] = _store_fast if _FAST else _store_slow
"""Overwrite a ByteVector's content with as many bytes."""
