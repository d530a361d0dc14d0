"""Wav2Vec2 with CTC behind the recogniser's wire: only what is new of an utterance is heard.

Frames whose right context has come stay as they are; the last ones are heard again. So a partial
costs a few seconds of audio however long the utterance is, and finals add next to nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from appliance.audio import double_rate
from appliance.errors import UserError
from appliance.languages import primary
from appliance.models.batching import Batcher, Bounds
from appliance.models.contexts import Contexts
from appliance.models.ctc import SCRIPTS, Letters, LogProbs, confidence, greedy
from appliance.models.ctc_chunks import Chunk, Grid, next_chunk
from appliance.models.engine import (
    ContextStats,
    ModelOptions,
    UnknownLanguage,
    Words,
)
from appliance.models.hot_words import hot_words
from appliance.models.session import BatchedSession

_log = logging.getLogger(__name__)

RATE_HZ = 16_000
FRAME_MS = 20
PARTIAL_EVERY_MS = {"cuda": 300, "cpu": 640}
LEFT_MS = {"cuda": 4000, "cpu": 1500}
RIGHT_MS = 320
"""Context of a frame. CPU: the base size hears 2 s in 0.3 s there (docs/engines-stt.md)."""
CAPACITY = {"cuda": 48, "cpu": 2}
"""Calls. GPU: by arithmetic, not measured; CPU: of the base size."""
BATCH_ITEMS = {"cuda": 32, "cpu": 16}
BATCH_MS = {"cuda": 160_000, "cpu": 40_000}
"""Of audio in one batch, padded to its longest."""
RUN_TIMEOUT_S = {"cuda": 5.0, "cpu": 30.0}
LEAST_DEVIATION = 1e-4
"""Of samples in -1..1: digital silence is not blown up to full scale."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an utterance, to be heard."""

    pcm: bytes
    """L16 of ``chunk``, at the call's rate."""
    rate_hz: int
    mean: float
    deviation: float
    """Of the utterance so far, in samples of -1..1: the model hears audio of zero mean and unit
    variance, as of whole utterances."""
    chunk: Chunk
    group: Hashable
    """Parts that must be equally long have their length here."""
    audio_ms: int
    whole: bool

    @property
    def cost(self) -> float:
        return len(self.pcm) * 500 / self.rate_hz

    def samples(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """What the model hears: 16 kHz, normalised."""
        narrow = np.frombuffer(self.pcm, "<i2")
        wide = narrow if self.rate_hz == RATE_HZ else double_rate(narrow)
        level: np.ndarray[tuple[int], np.dtype[np.float32]] = (
            wide.astype(np.float32) / np.float32(32768) - np.float32(self.mean)
        ) / np.float32(max(self.deviation, LEAST_DEVIATION))
        return level


class CtcModel(Protocol):
    """A loaded checkpoint."""

    device: str
    letters: Letters
    grid: Grid
    equal_lengths: bool
    """It may not be padded: only parts of one length stand in a batch."""

    async def decode(self, parts: Sequence[Part]) -> list[LogProbs]:
        """All frames of each part, left context included. Raises DeviceLost."""

    async def search(self, frames: LogProbs, hot_words: Sequence[str]) -> str | None:
        """The words of an utterance by beam search; None where there is nothing to weigh by."""


class Wav2Vec2Engine:
    """One model for all calls; see :class:`~appliance.models.engine.SttEngine`."""

    name = "wav2vec2"

    def __init__(self, model: CtcModel, options: ModelOptions) -> None:
        """Raises UserError when it is not said which language the model hears."""
        self._model = model
        self.languages = _languages(options, model.letters)
        device = model.device
        self.capacity = options.capacity or CAPACITY[device]
        # A call has a partial and a final at most: full when calls come faster than we decode.
        bounds = Bounds(
            BATCH_ITEMS[device], BATCH_MS[device], 2 * self.capacity, RUN_TIMEOUT_S[device]
        )
        self._batcher: Batcher[Part, LogProbs] = Batcher(model.decode, bounds)
        self._hot_words: Contexts[tuple[str, ...]] = Contexts()

    async def build_context(self, name: str, language: str, texts: Sequence[str]) -> ContextStats:
        """Find the words that the beam search prefers. Raises UnknownLanguage."""
        self._check(language)
        began = time.monotonic()
        found = await asyncio.to_thread(hot_words, texts)
        cased = [self._spelt(word) for word in found]
        words = tuple(word for word in cased if self._model.letters.spells(word))
        return self._hot_words.put_words(name, words, len(words), len(texts), began)

    def open(self, context: str, language: str, rate_hz: int) -> BatchedSession[Part, LogProbs]:
        """Raises UnknownContext, UnknownLanguage."""
        self._check(language)
        words = self._hot_words.find(context)
        begin = partial(CtcUtterance, self._model, words, rate_hz)
        every_ms = PARTIAL_EVERY_MS[self._model.device]
        return BatchedSession(begin, self._batcher, every_ms, rate_hz)

    def _check(self, language: str) -> None:
        if primary(language) not in self.languages:
            raise UnknownLanguage(language)

    def _spelt(self, word: str) -> str:
        """As the model's letters are: most have one case."""
        spells = self._model.letters.spells
        return next((w for w in (word, word.lower(), word.upper()) if spells(w)), word)


def _languages(options: ModelOptions, letters: Letters) -> tuple[str, ...]:
    languages = tuple(map(primary, options.languages))
    if not languages:
        raise UserError(
            "A wav2vec2 checkpoint does not say which language it hears: name it, as in "
            "--languages hi."
        )
    script = letters.script()
    for language in languages:
        if SCRIPTS.get(language, script) != script:
            raise UserError(
                f"The wav2vec2 model writes {script.title()}, which {language!r} is not written "
                "in. Name its own language with --languages, or another --model."
            )
    return languages


class CtcUtterance:
    """What is known of one utterance; see :class:`~appliance.models.session.Utterance`."""

    def __init__(self, model: CtcModel, hot_words: tuple[str, ...], rate_hz: int) -> None:
        self._model = model
        self._hot_words = hot_words
        self._rate_hz = rate_hz
        self._left = LEFT_MS[model.device] // FRAME_MS
        self._audio = bytearray()
        self._sum = self._squares = 0.0
        self._settled: LogProbs = np.zeros((0, len(model.letters.labels)), np.float32)
        """Frames that more audio does not change."""

    def feed(self, pcm: bytes) -> None:
        self._audio += pcm
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
        self._sum += float(samples.sum())
        self._squares += float(samples @ samples)

    def item(self, audio_ms: int, whole: bool) -> Part:
        scale = RATE_HZ // self._rate_hz
        samples = len(self._audio) // 2
        chunk = next_chunk(len(self._settled), samples * scale, self._left, self._model.grid)
        pcm = bytes(self._audio[chunk.start // scale * 2 : -(-chunk.end // scale) * 2])
        mean = self._sum / max(1, samples)
        variance = max(0.0, self._squares / max(1, samples) - mean * mean)
        group = len(pcm) * scale if self._model.equal_lengths else None
        return Part(pcm, self._rate_hz, mean, variance**0.5, chunk, group, audio_ms, whole)

    def take(self, item: Part, result: LogProbs, sound_ms: int) -> str:
        frames = self._joined(item, result)
        settled = len(frames) - RIGHT_MS // FRAME_MS
        if settled > len(self._settled):
            self._settled = frames[:settled]
        return self._text(greedy(frames, self._model.letters))

    async def words(self, item: Part, result: LogProbs, sound_ms: int) -> Words:
        frames = self._joined(item, result)
        text = await self._model.search(frames, self._hot_words)
        if text is None:
            text = greedy(frames, self._model.letters)
        sure = confidence(frames, self._model.letters) if text else 0.0
        return Words(self._text(text), sure)

    def _joined(self, item: Part, result: LogProbs) -> LogProbs:
        """All frames of the utterance, as far as ``item`` goes."""
        chunk = item.chunk
        new = result[chunk.skip : chunk.skip + chunk.frames]
        return np.concatenate((self._settled[: chunk.first], new))

    def _text(self, text: str) -> str:
        """Checkpoints that have capitals only are read in small letters."""
        return text.lower() if text.isupper() else text
