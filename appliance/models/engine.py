"""What an engine brings to an engine server: a shared model that opens per-use sessions.

A new engine (Whisper, wav2vec2, Coqui, …) is one file with a class that has these methods; the
servers know nothing else of it. Audio is L16 mono.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.errors import UserError
from appliance.languages import primary
from appliance.models.model_watch import ModelWatch


@dataclass(frozen=True, slots=True)
class Words:
    """The final words of one utterance; ``confidence`` 0-1, or None where the engine has none."""

    text: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class ContextStats:
    """What was built from an agent's knowledge: vocabulary size, source sentences, time taken."""

    words: int
    sentences: int
    ms: int


class UnknownContext(Exception):
    """A call names a context that this server has not been given (it may have restarted)."""


class UnknownLanguage(Exception):
    """The model of an engine that lists ``*`` has not learnt this language."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which checkpoint an engine loads and where it computes, for engines that have a choice."""

    model: str = ""
    """A name, or a folder."""
    device: str = "auto"
    compute_type: str = ""
    """Empty: what suits the device."""
    languages: tuple[str, ...] = ()
    """BCP 47 primary subtags that this server offers; empty: all that the model knows."""
    capacity: int = 0
    """Calls (STT) or phrases (TTS) at once; 0: the engine's own figure."""


class SttSession(Protocol):
    """The decoder state of one call; one utterance at a time, from ``start`` to ``finish``."""

    def start(self) -> None:
        """Begin an utterance, abandoning the one before it."""

    async def accept(self, pcm: bytes) -> str | None:
        """Decode more audio; the words so far, or None where nothing new is known."""

    async def finish(self) -> Words:
        """End the utterance: its final words."""

    def close(self) -> None:
        """The call is over: give the decoder back."""


class SttEngine(Protocol):
    """Speech to text, the shared model."""

    name: str
    languages: tuple[str, ...]
    """BCP 47 primary subtags, or ``("*",)``."""
    capacity: int
    """Calls that this process carries in real time."""

    async def build_context(self, name: str, language: str, texts: Sequence[str]) -> ContextStats:
        """Make the vocabulary (or prompt) of an agent; the same texts again cost nothing.

        Raises UnknownLanguage.
        """

    def open(self, context: str, language: str, rate_hz: int) -> SttSession:
        """Open a session for one call. Raises UnknownContext, UnknownLanguage."""


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """One voice of a TTS engine; ``language`` is a BCP 47 primary subtag."""

    id: str
    language: str


def offered(
    engine: str, voices: Sequence[VoiceInfo], languages: Sequence[str]
) -> tuple[VoiceInfo, ...]:
    """The voices of ``languages``; all, where none are named. Raises UserError for one that the
    engine does not speak."""
    wanted = [primary(language) for language in languages]
    known = tuple(dict.fromkeys(voice.language for voice in voices))
    if foreign := [language for language in wanted if language not in known]:
        raise UserError(
            f"{engine} does not speak {foreign[0]!r}; it speaks {', '.join(known)}. Mend --languages."
        )
    return tuple(voice for voice in voices if not wanted or voice.language in wanted)


class TtsEngine(Protocol):
    """Text to speech, the shared model; each ``speak`` is one session."""

    name: str
    voices: tuple[VoiceInfo, ...]
    """The first voice of a language is its default."""
    rate_hz: int
    """Of the audio that ``speak`` yields."""
    capacity: int
    """Phrases synthesised at once."""
    identity: str
    """What the sound depends on beside text and voice (the checkpoint), for the cache of repeated
    phrases; empty: it speaks sooner than a cache would pay."""
    watch: ModelWatch | None
    """Of an engine whose model may hang or lose its device."""

    def has(self, voice: str) -> bool:
        """Whether ``voice`` can be spoken with (an engine may know variants it does not list)."""

    def gain_db(self, voice: str) -> float:
        """What brings ``voice`` to the appliance's speech level (shaping.SPEECH_DB)."""

    def speak(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """Stream L16 at ``rate_hz`` as it is made; closing the iterator stops the synthesis."""
