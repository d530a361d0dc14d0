"""Recognition by pocketsphinx: small, offline, English, for demonstrations and tests.

It holds the GIL while it decodes, so it decodes inline in the event loop (a thread gains nothing:
measured 2 threads take as long as 1), in steps of about 2 ms; more cores means more processes.
Real telephone callers are not understood by its model: they need Whisper on a GPU.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import pocketsphinx

from appliance.audio import double_rate
from appliance.models.contexts import Contexts
from appliance.models.engine import ContextStats, Words
from appliance.models.vocabulary import DICTIONARY, MODEL, STATS, digest

_log = logging.getLogger(__name__)

RATE_HZ = 16_000
"""Of the model; 8 kHz audio is doubled (the model at 8 kHz measured 44-98 % word errors)."""
STEP_BYTES = 1280
"""40 ms, decoded in about 2 ms: the longest that one call keeps the others waiting."""
BUILD_TIMEOUT_S = 60.0
LONGEST_PHONE_MS = 350
"""A word drawn out longer than this a phone is a hum or a tone, not speech."""
MOST_IDLE_DECODERS = 8

TELEPHONE_CEPSTRUM = "39.31,3.47,0.42,15.37,-0.87,1.28,-2.49,1.60,-8.81,6.41,-3.60,6.16,-1.80"
"""Cepstral mean that a call starts with; it adapts from utterance to utterance of the call.
Mean of four flite voices (awb, rms, kal16, slt) through 8 kHz µ-law. The model's own start is that
of a close microphone and costs a call's first utterance half as many word errors again."""


@dataclass(slots=True)
class _Context:
    """A vocabulary on disk, and decoders for it that no call uses now."""

    key: str
    folder: Path
    stats: ContextStats
    idle: list[pocketsphinx.Decoder] = field(default_factory=list)

    def decoder(self) -> pocketsphinx.Decoder:
        """A decoder for one call (7 MB; 10-20 ms when none is idle)."""
        if self.idle:
            return self.idle.pop()
        return pocketsphinx.Decoder(
            lm=str(self.folder / MODEL),
            dict=str(self.folder / DICTIONARY),
            # The second pass costs 50-80 ms at the end of an utterance; the lattice pass 2-5 ms.
            fwdflat=False,
            bestpath=True,
            loglevel="FATAL",
        )

    def give_back(self, decoder: pocketsphinx.Decoder) -> None:
        if len(self.idle) < MOST_IDLE_DECODERS:
            self.idle.append(decoder)


class PocketsphinxEngine:
    """The vocabularies of this process; see :class:`~appliance.models.engine.SttEngine`."""

    name = "pocketsphinx"
    languages: tuple[str, ...] = ("en",)
    capacity = 16  # 6 % of a core each

    def __init__(self, cache: Path) -> None:
        """``cache``: folder where built vocabularies stay, shared by all the server processes."""
        self._cache = cache
        self._contexts: Contexts[_Context] = Contexts()
        self._building = asyncio.Lock()

    async def build_context(self, name: str, language: str, texts: Sequence[str]) -> ContextStats:
        """Build in a child process, unless the cache has it. Raises TimeoutError, RuntimeError."""
        key = digest(texts)
        known = self._contexts.get(name)
        if known is None or known.key != key:
            folder = self._cache / "vocabularies" / key
            async with self._building:  # one child at a time: the cores belong to the calls
                if not (folder / STATS).exists():
                    await _build(texts, folder)
            stats = ContextStats(**orjson.loads((folder / STATS).read_bytes()))
            known = _Context(key, folder, stats)
            known.give_back(known.decoder())  # the first call finds one ready
            _log.info("= context %s: %d words, %d ms", name, stats.words, stats.ms)
        self._contexts.put(name, known)
        return known.stats

    def open(self, context: str, language: str, rate_hz: int) -> PocketsphinxSession:
        """Lend a decoder to one call."""
        return PocketsphinxSession(self._contexts.find(context), rate_hz)


async def _build(texts: Sequence[str], folder: Path) -> None:
    """Run the builder; a child, so that calls go on decoding meanwhile."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance.models.vocabulary", str(folder),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(BUILD_TIMEOUT_S):
            _, trouble = await child.communicate(orjson.dumps(list(texts)))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise RuntimeError(f"building a vocabulary failed: {trouble.decode()[-2000:]}")


class PocketsphinxSession:
    """One call's decoder; see :class:`~appliance.models.engine.SttSession`."""

    def __init__(self, context: _Context, rate_hz: int) -> None:
        self._context = context
        self._decoder = context.decoder()
        self._decoder.set_cmn(TELEPHONE_CEPSTRUM)  # nothing of the last call's voice
        self._doubled = rate_hz != RATE_HZ
        self._running = False

    def start(self) -> None:
        if self._running:
            self._decoder.end_utt()
        self._decoder.start_utt()
        self._running = True

    async def accept(self, pcm: bytes) -> str | None:
        samples = np.frombuffer(pcm, "<i2")
        wide = (double_rate(samples) if self._doubled else samples).tobytes()
        for at in range(0, len(wide), STEP_BYTES):
            if at:
                await asyncio.sleep(0)  # a long piece (pre-roll, a retry) lets other calls in
            self._decoder.process_raw(wide[at : at + STEP_BYTES])
        found = self._decoder.hyp()
        return None if found is None else str(found.hypstr)

    async def finish(self) -> Words:
        self._decoder.end_utt()
        self._running = False
        spoken = [s for s in self._decoder.seg() or () if s.word[0] not in "<[" and self._spoken(s)]
        text = " ".join(s.word.partition("(")[0] for s in spoken)
        return Words(text, _confidence([s.prob for s in spoken]))

    def close(self) -> None:
        if self._running:
            self._decoder.end_utt()
            self._running = False
        self._context.give_back(self._decoder)

    def _spoken(self, segment: pocketsphinx.Segment) -> bool:
        """Whether a word of the final path lasts as a spoken word does."""
        phones = len((self._decoder.lookup_word(segment.word) or "").split()) or 1
        frames = segment.end_frame - segment.start_frame + 1  # of 10 ms
        return bool(frames * 10 <= phones * LONGEST_PHONE_MS)


def _confidence(posteriors: Sequence[float]) -> float:
    """Geometric mean of the words' posteriors: a length-free form of the path's; 0 for none."""
    if not posteriors:
        return 0.0
    logs = [math.log(min(max(p, 1e-9), 1.0)) for p in posteriors]
    return round(math.exp(sum(logs) / len(logs)), 3)
