"""Whisper behind the recogniser's wire: what a call's session asks of the model, and when.

Whisper does not stream: each decode hears the utterance again from its start, and costs a whole
30 s window however short the audio is. So a session keeps the audio, has it decoded now and then
for a partial, and once more for the final.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.audio import bytes_of
from appliance.models.decode_queue import DecodeQueue, Full
from appliance.models.engine import (
    ContextStats,
    UnknownContext,
    UnknownLanguage,
    Words,
    primary,
)
from appliance.models.hot_words import hot_words

_log = logging.getLogger(__name__)

PARTIAL_EVERY_MS = {"cuda": 500, "cpu": 1500}
"""Of new audio before the next partial. CPU: a decode of the base size takes 0.6-0.8 s there."""
CAPACITY = {"cuda": 16, "cpu": 2}
"""Calls. CPU: finals of the base size, see above. GPU: not measured yet; partials give way first."""
SHORTEST_MS = 100
"""Less is no word; Whisper makes one up."""
FINAL_TIMEOUT_S = 20.0
"""Against a GPU that hangs; the worker has long gone to another server."""
MOST_CONTEXTS = 256
MOST_PROMPT_TOKENS = 64

NO_SPEECH_PROB = 0.6
NO_SPEECH_LOGPROB = -1.0
"""Both as in Whisper's own transcription: more than the one and less than the other is silence."""
LONGEST_LOOP_WORDS = 8
MOST_REPEATS = 4
"""A phrase said more often than this in a row is Whisper in a loop (``no, no, no`` is a caller)."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model made of some audio; ``logprob`` is the mean of its tokens' (natural log)."""

    text: str
    logprob: float
    no_speech: float
    """Probability that nothing was said."""


class WhisperModel(Protocol):
    """A loaded checkpoint."""

    device: str
    """``cuda`` or ``cpu``."""
    multilingual: bool

    def speaks(self, language: str) -> bool:
        """Whether it has a token for this language (BCP 47 primary subtag)."""

    def tokens(self, text: str) -> int:
        """Length of ``text`` in the model's tokens."""

    async def decode(self, pcm: bytes, rate_hz: int, language: str, prompt: str) -> Decoded:
        """Decode L16 audio from its start; ``prompt``: words to expect, or nothing."""


class WhisperEngine:
    """One model for all calls; see :class:`~appliance.models.engine.SttEngine`."""

    name = "faster-whisper"

    def __init__(self, model: WhisperModel) -> None:
        self._model = model
        self.languages: tuple[str, ...] = ("*",) if model.multilingual else ("en",)
        self.capacity = CAPACITY[model.device]
        # A call has one decode at most: full only when calls end and begin faster than we decode.
        self._queue: DecodeQueue[Decoded] = DecodeQueue(2 * self.capacity)
        self._prompts: OrderedDict[str, str] = OrderedDict()

    async def build_context(self, name: str, language: str, texts: Sequence[str]) -> ContextStats:
        """Find the words that the model is prompted with. Raises UnknownLanguage."""
        self._check(language)
        began = time.monotonic()
        words = list(await asyncio.to_thread(hot_words, texts))
        while words and self._model.tokens(", ".join(words)) > MOST_PROMPT_TOKENS:
            words.pop()
        self._prompts[name] = ", ".join(words)
        self._prompts.move_to_end(name)
        while len(self._prompts) > MOST_CONTEXTS:  # the worker puts it again when it is needed
            self._prompts.popitem(last=False)
        ms = round((time.monotonic() - began) * 1000)
        _log.info("= context %s: %d words, %d ms", name, len(words), ms)
        return ContextStats(len(words), len(texts), ms)

    def open(self, context: str, language: str, rate_hz: int) -> WhisperSession:
        """Raises UnknownContext, UnknownLanguage."""
        self._check(language)
        if context not in self._prompts:
            raise UnknownContext(context)
        self._prompts.move_to_end(context)
        hearing = Hearing(rate_hz, primary(language), self._prompts[context])
        return WhisperSession(self._model, self._queue, hearing)

    def _check(self, language: str) -> None:
        if not self._model.speaks(primary(language)):
            raise UnknownLanguage(language)


@dataclass(frozen=True, slots=True)
class Hearing:
    """How one call is decoded, the same for all of its utterances."""

    rate_hz: int
    language: str
    prompt: str


class WhisperSession:
    """One call's audio; see :class:`~appliance.models.engine.SttSession`."""

    def __init__(self, model: WhisperModel, queue: DecodeQueue[Decoded], hearing: Hearing) -> None:
        self._model = model
        self._queue = queue
        self._hearing = hearing
        self._step_bytes = bytes_of(PARTIAL_EVERY_MS[model.device], hearing.rate_hz)
        self._audio = bytearray()
        self._due_bytes = self._step_bytes
        self._partial: asyncio.Future[Decoded] | None = None

    def start(self) -> None:
        self._drop_partial()
        self._audio = bytearray()
        self._due_bytes = self._step_bytes

    async def accept(self, pcm: bytes) -> str | None:
        """Keep the audio; the words of a partial that has come since. Never waits for a decode."""
        self._audio += pcm
        text = self._take_partial()
        if self._partial is None and len(self._audio) >= self._due_bytes:
            self._ask_partial()
        return text

    async def finish(self) -> Words:
        """Decode it all. Raises Full, TimeoutError: the worker asks another server."""
        self._drop_partial()
        if len(self._audio) < bytes_of(SHORTEST_MS, self._hearing.rate_hz):
            return Words("", 0.0)
        async with asyncio.timeout(FINAL_TIMEOUT_S):
            return words_of(await self._queue.final(self._decode))

    def close(self) -> None:
        self._drop_partial()

    def _ask_partial(self) -> None:
        try:
            self._partial = self._queue.partial(self._decode)
        except Full:  # others' finals come first; this call asks again a step later
            self._due_bytes = len(self._audio) + self._step_bytes

    def _take_partial(self) -> str | None:
        if self._partial is None or not self._partial.done():
            return None
        partial, self._partial = self._partial, None
        return None if partial.cancelled() else words_of(partial.result()).text

    def _drop_partial(self) -> None:
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None

    async def _decode(self) -> Decoded:
        """The audio as it is when the model is free, which may be later than it was asked for."""
        self._due_bytes = len(self._audio) + self._step_bytes
        hearing = self._hearing
        return await self._model.decode(
            bytes(self._audio), hearing.rate_hz, hearing.language, hearing.prompt
        )


def words_of(decoded: Decoded) -> Words:
    """The transcript without what Whisper makes up in silence and without its loops."""
    silence = decoded.no_speech > NO_SPEECH_PROB and decoded.logprob < NO_SPEECH_LOGPROB
    text = "" if silence else without_loops(decoded.text)
    if not text:
        return Words("", 0.0)
    return Words(text, round(min(1.0, math.exp(decoded.logprob)), 3))


def without_loops(text: str) -> str:
    """Every phrase that comes more than ``MOST_REPEATS`` times in a row, once; digits stay."""
    words, kept = text.split(), []
    at = 0
    while at < len(words):
        length = _loop_at(words, at)
        if length:
            phrase = words[at : at + length]
            kept += phrase
            while words[at : at + length] == phrase:
                at += length
        else:
            kept.append(words[at])
            at += 1
    return " ".join(kept)


def _loop_at(words: Sequence[str], at: int) -> int:
    """Length in words of the shortest phrase that loops from ``at``, or 0."""
    for length in range(1, LONGEST_LOOP_WORDS + 1):
        phrase = words[at : at + length]
        ends = range(at, at + length * (MOST_REPEATS + 1), length)
        if all(words[i : i + length] == phrase for i in ends) and not _is_number(phrase):
            return length
    return 0


def _is_number(phrase: Sequence[str]) -> bool:
    text = "".join(phrase)
    return any(map(str.isdigit, text)) and not any(map(str.isalpha, text))
