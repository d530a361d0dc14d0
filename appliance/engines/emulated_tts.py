"""The emulated voice: a speech-like sound of a stated length, at a declared pace.

The sound never pauses: harmonics of 120 Hz below 3.4 kHz, swelling four times a second as
syllables do. Whatever silence stands inside a reply was made on the way to the caller's ear.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache

import numpy as np
import orjson
from aiohttp import web

from appliance.audio import bytes_of
from appliance.engines.emulated_http import Load, failure

WORD_MS = 300
"""Length of one spoken word, the pace of a telephone agent (200 words a minute)."""
_CHUNK_MS = 100
_RATES_HZ = (8000, 16000, 22050, 24000)
_OPENAI_RATE_HZ = 24000
_MAX_CHARACTERS = 4096
_PITCH_HZ = 120
_TOP_HZ = 3400
_SYLLABLE_HZ = 4
_PEAK = 9000
"""About -17 dBFS RMS at the loudest, like a recorded voice."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The declared latency of the voice."""

    first_audio_ms: float = 100
    times_real_time: float = 10


class TtsServer:
    """``/v1/audio/speech`` (docs/wires.md §3) and the list of its one voice."""

    def __init__(self, speed: Speed, load: Load) -> None:
        self._speed = speed
        self._load = load
        self._seconds = {rate_hz: one_second(rate_hz) for rate_hz in _RATES_HZ}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/audio/speech", self._speech),
            web.get("/v1/voices", self._voices),
        ]

    async def _voices(self, _: web.Request) -> web.Response:
        return web.json_response({"voices": [{"id": "emulated", "language": "en"}]})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        try:
            body = orjson.loads(await request.read())
            text, rate_hz = str(body["input"]), int(body.get("sample_rate", _OPENAI_RATE_HZ))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return failure(400, "The body must be a speech request with an input.")
        if not text.strip() or len(text) > _MAX_CHARACTERS:
            return failure(400, f"input must have 1 to {_MAX_CHARACTERS} characters.")
        if rate_hz not in self._seconds or body.get("response_format", "pcm") != "pcm":
            return failure(400, f"Only pcm at {_RATES_HZ} Hz is made here.")
        length_ms = len(text.split()) * WORD_MS
        return await self._load.answered(
            lambda begun_s: self._speak(request, length_ms, rate_hz, begun_s)
        )

    async def _speak(
        self, request: web.Request, length_ms: int, rate_hz: int, begun_s: float
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "audio/pcm"
        await response.prepare(request)
        second, loop = self._seconds[rate_hz], asyncio.get_running_loop()
        for at_ms in range(0, length_ms, _CHUNK_MS):
            due_ms = self._speed.first_audio_ms + at_ms / self._speed.times_real_time
            await asyncio.sleep(max(0.0, begun_s + due_ms / 1000 - loop.time()))
            begin = bytes_of(at_ms % 1000, rate_hz)
            await response.write(second[begin : begin + bytes_of(_CHUNK_MS, rate_hz)])
        return response


@cache
def one_second(rate_hz: int) -> bytes:
    """One second of L16 that may be repeated without a seam and holds no silent 10 ms."""
    time_s = np.arange(rate_hz) / rate_hz
    sound = np.zeros(rate_hz)
    for frequency_hz in range(_PITCH_HZ, _TOP_HZ, _PITCH_HZ):
        # Phases spread over the circle keep the peaks low; -6 dB an octave is a voice's slope.
        phase = frequency_hz**2 / _PITCH_HZ
        sound += _PITCH_HZ / frequency_hz * np.sin(2 * np.pi * frequency_hz * time_s + phase)
    swell = 0.7 + 0.3 * np.sin(2 * np.pi * _SYLLABLE_HZ * time_s)
    samples = (sound * swell / np.max(np.abs(sound)) * _PEAK).astype("<i2")
    samples[samples == 0] = 1  # digital zero is what the bench takes for silence
    return bytes(samples.tobytes())
