"""Whisper behind the recogniser's wire: what a call's utterance asks of the model.

Whisper does not stream: each decode hears the utterance again from its start, and costs a whole
30 s window however short the audio is. What a decode costs is shared: those of many calls run
together (:mod:`~appliance.models.batching`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from appliance.audio import bytes_of
from appliance.errors import UserError
from appliance.languages import primary
from appliance.models.batching import Batcher, Bounds
from appliance.models.contexts import Contexts
from appliance.models.engine import (
    ContextStats,
    ModelOptions,
    UnknownLanguage,
    Words,
)
from appliance.models.guards import Decoded, words_of
from appliance.models.hot_words import hot_words
from appliance.models.mel_stream import WINDOW_MS, MelStream
from appliance.models.session import BatchedSession

_log = logging.getLogger(__name__)

PARTIAL_EVERY_MS = {"cuda": 300, "cpu": 1500}
"""Of new audio before the next partial. CPU: a decode of the base size takes 0.6-0.8 s there."""
CAPACITY = {"cuda": 48, "cpu": 2}
"""Calls. CPU: finals of the base size, see above. GPU: by arithmetic (docs/engines-stt.md), not
measured; past it, partials come less often before finals come late."""
BATCH_ITEMS = {"cuda": 16, "cpu": 1}
"""CPU: each more costs its whole time again, and keeps the others waiting (docs/engines-stt.md)."""
BATCH_MS = {"cuda": 160_000, "cpu": 24_000}
"""Of audio in one batch, each item counted as long as the longest: how long a transcript may be
goes by the audio, so a short answer does not wait for a monologue."""
RUN_TIMEOUT_S = {"cuda": 5.0, "cpu": 30.0}
"""A run of a GPU takes well under a second; on a CPU, four long finals of a large model 20 s."""
LEAST_COST_MS = 2000
MOST_PROMPT_TOKENS = 64
PROMPT_GRAIN_TOKENS = 16
"""Prompts of one batch must be equally long (CTranslate2): they are cut to a multiple of this."""


@dataclass(frozen=True, slots=True)
class Window:
    """Audio from an utterance's start, to be decoded."""

    pcm: bytes
    language: str
    """BCP 47 primary subtag."""
    prompt: tuple[int, ...]
    """Tokens of words to expect."""
    mel: MelStream
    """Of this utterance; used in the model's thread only."""
    audio_ms: int
    whole: bool

    @property
    def group(self) -> int:
        return len(self.prompt)

    @property
    def cost(self) -> float:
        return max(self.audio_ms, LEAST_COST_MS)


class WhisperModel(Protocol):
    """A loaded checkpoint."""

    device: str
    """``cuda`` or ``cpu``."""
    multilingual: bool
    mels: int
    """Bands of its features, 80 or 128."""

    def speaks(self, language: str) -> bool:
        """Whether it has a token for this language (BCP 47 primary subtag)."""

    def tokens(self, text: str) -> tuple[int, ...]:
        """``text`` in the model's tokens."""

    async def decode(self, windows: Sequence[Window]) -> list[Decoded]:
        """Decode a batch, prompts of equal length. Raises DeviceLost."""


class WhisperEngine:
    """One model for all calls; see :class:`~appliance.models.engine.SttEngine`."""

    name = "faster-whisper"

    def __init__(self, model: WhisperModel, options: ModelOptions | None = None) -> None:
        """Raises UserError when the model has not learnt one of the languages it is to offer."""
        options = options or ModelOptions()
        self._model = model
        self.languages: tuple[str, ...] = ("*",) if model.multilingual else ("en",)
        if options.languages:
            self.languages = tuple(map(primary, options.languages))
        for language in self.languages:
            if language != "*" and not model.speaks(language):
                raise UserError(
                    f"The Whisper model has not learnt {language!r}: offer other languages with "
                    "--languages, or hear this one with another engine (wav2vec2)."
                )
        device = model.device
        self.capacity = options.capacity or CAPACITY[device]
        # A call has a partial and a final at most: full when calls come faster than we decode.
        bounds = Bounds(
            BATCH_ITEMS[device], BATCH_MS[device], 2 * self.capacity, RUN_TIMEOUT_S[device]
        )
        self._batcher: Batcher[Window, Decoded] = Batcher(model.decode, bounds)
        self._prompts: Contexts[tuple[int, ...]] = Contexts()

    async def build_context(self, name: str, language: str, texts: Sequence[str]) -> ContextStats:
        """Find the words that the model is prompted with. Raises UnknownLanguage."""
        self._check(language)
        began = time.monotonic()
        words = list(await asyncio.to_thread(hot_words, texts))
        while words and len(self._model.tokens(_listed(words))) > MOST_PROMPT_TOKENS:
            words.pop()
        prompt = _grained(self._model.tokens(_listed(words))) if words else ()
        return self._prompts.put_words(name, prompt, len(words), len(texts), began)

    def open(self, context: str, language: str, rate_hz: int) -> BatchedSession[Window, Decoded]:
        """Raises UnknownContext, UnknownLanguage."""
        self._check(language)
        prompt = self._prompts.find(context)
        hearing = Hearing(rate_hz, primary(language), prompt, self._model.mels)
        every_ms = PARTIAL_EVERY_MS[self._model.device]
        return BatchedSession(partial(WhisperUtterance, hearing), self._batcher, every_ms, rate_hz)

    def _check(self, language: str) -> None:
        name = primary(language)
        if not self._model.speaks(name) or not {"*", name} & set(self.languages):
            raise UnknownLanguage(language)


def _listed(words: Sequence[str]) -> str:
    """The most frequent last, next to what is heard."""
    return ", ".join(reversed(words))


def _grained(tokens: tuple[int, ...]) -> tuple[int, ...]:
    """Cut at the left, as Whisper's own prompts are; a short one stays as it is."""
    length = len(tokens)
    return tokens[length % PROMPT_GRAIN_TOKENS :] if length > PROMPT_GRAIN_TOKENS else tokens


@dataclass(frozen=True, slots=True)
class Hearing:
    """How one call is decoded, the same for all of its utterances."""

    rate_hz: int
    language: str
    prompt: tuple[int, ...]
    mels: int


class WhisperUtterance:
    """One utterance's audio; see :class:`~appliance.models.session.Utterance`."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._most_bytes = bytes_of(WINDOW_MS, hearing.rate_hz)
        self._audio = bytearray()
        self._mel = MelStream(hearing.mels, hearing.rate_hz)

    def feed(self, pcm: bytes) -> None:
        self._audio += pcm[: max(0, self._most_bytes - len(self._audio))]

    def item(self, audio_ms: int, whole: bool) -> Window:
        hearing = self._hearing
        # Whisper hears silence after whatever it is given: every decode is good for a final.
        return Window(
            bytes(self._audio), hearing.language, hearing.prompt, self._mel, audio_ms, True
        )

    def take(self, item: Window, result: Decoded, sound_ms: int) -> str:
        return words_of(result, item.language, sound_ms).text

    async def words(self, item: Window, result: Decoded, sound_ms: int) -> Words:
        return words_of(result, item.language, sound_ms)
