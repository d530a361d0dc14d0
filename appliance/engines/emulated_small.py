"""The two small emulated engines: the turn judge and the embedder (docs/wires.md §5, §6)."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from functools import lru_cache

import numpy as np
import orjson
from aiohttp import web
from numpy.typing import NDArray

from appliance.audio import RATES_HZ, bytes_of
from appliance.engines.emulated_http import Load, failure
from appliance.engines.emulated_script import Locator, is_sound, to_track

COMPLETE = 0.95
INCOMPLETE = 0.05
_LONGEST_S = 8
_TAIL_MS = 300
_NEAR_END_MS = 120
"""A turn that stops so close to the end of its recording has ended."""
_LIKE = 0.8
DIMENSIONS = 384


class TurnServer:
    """Says by the script whether a turn is complete: is the recording's end reached?

    Audio that is not of the script is taken for complete.
    """

    def __init__(self, locator: Locator, delay_ms: float, load: Load) -> None:
        self._locator = locator
        self._delay_ms = delay_ms
        self._load = load

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/turn", self._turn)]

    async def _turn(self, request: web.Request) -> web.Response:
        begun_s = time.monotonic()
        rate = request.query.get("rate", "")
        pcm = await request.read()
        if rate not in {str(rate_hz) for rate_hz in RATES_HZ} or len(pcm) % 2:
            return failure(400, "rate must be 8000 or 16000 and the body whole L16 samples.")
        if len(pcm) > bytes_of(_LONGEST_S * 1000, int(rate)):
            return failure(413, f"At most {_LONGEST_S} s of audio.")
        self._load.begin()
        try:
            complete = self._judge(pcm, int(rate))
            due_s = begun_s + self._delay_ms / 1000
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        finally:
            self._load.end()
        took_ms = round((time.monotonic() - begun_s) * 1000, 1)
        return web.json_response({"complete": complete, "ms": took_ms})

    def _judge(self, pcm: bytes, rate_hz: int) -> float:
        step = bytes_of(20, rate_hz)
        end = len(pcm) - len(pcm) % 2
        while end > 0 and not is_sound(to_track(pcm[max(0, end - step) : end], rate_hz)):
            end -= step
        tail = pcm[max(0, end - bytes_of(_TAIL_MS, rate_hz)) : max(0, end)]
        place = self._locator.find(to_track(tail, rate_hz)) if tail else None
        if place is None or place.likeness < _LIKE:
            return COMPLETE
        left_ms = place.utterance.words[-1].end_ms - place.end_ms
        return COMPLETE if left_ms <= _NEAR_END_MS else INCOMPLETE


class EmbedServer:
    """Unit vectors by hashing words: texts that share words lie close together."""

    def __init__(self, delay_ms: float, load: Load) -> None:
        self._delay_ms = delay_ms
        self._load = load

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/embeddings", self._embed)]

    async def _embed(self, request: web.Request) -> web.Response:
        try:
            texts = orjson.loads(await request.read())["input"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return failure(400, "The body must be an embedding request with an input.")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return failure(400, "input must be a text or a list of texts.")
        self._load.begin()
        try:
            await asyncio.sleep(self._delay_ms / 1000)
        finally:
            self._load.end()
        data = [
            {"object": "embedding", "index": index, "embedding": embedding(text).tolist()}
            for index, text in enumerate(texts)
        ]
        return web.json_response({"object": "list", "model": "emulated", "data": data})


def embedding(text: str) -> NDArray[np.float64]:
    """A unit vector of 384 dimensions; the same for the same words in any order."""
    total = np.zeros(DIMENSIONS)
    for word in re.findall(r"\w+", text.lower()) or [""]:
        total += _word_vector(word)
    return total / float(np.linalg.norm(total))


@lru_cache(maxsize=20_000)
def _word_vector(word: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
    return np.random.default_rng(seed).standard_normal(DIMENSIONS)
