"""What the call path asks of an engine: one Protocol for each stage.

A shared engine (a client of one or several engine servers) opens per-use sessions. Every method
that waits on a server keeps to a timeout and raises :class:`~appliance.errors.EngineError`. Audio
is L16 mono at the call's rate.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from math import inf
from typing import Literal, Protocol

from appliance.events import Agent, Message, Transcript

Heard = Callable[[Transcript], None]
"""Called on the event loop for every partial and final transcript."""


class RecogniserSession(Protocol):
    """Streaming recognition for one call; one utterance at a time."""

    def start(self, utterance: int, pcm: bytes) -> None:
        """Begin an utterance with the audio kept from just before it (pre-roll)."""

    def feed(self, pcm: bytes) -> None:
        """Pass on audio as it arrives. Never blocks; keeps it for a retry on another server."""

    def finish(self) -> None:
        """The utterance is over: ask for its final transcript."""

    def close(self) -> None:
        """The call is over."""


class Recogniser(Protocol):
    """Speech to text (ASR)."""

    async def prepare(self, agent: Agent, texts: Sequence[str]) -> None:
        """Give every server the agent's vocabulary (its knowledge) before the first call."""

    def open(self, call_id: str, agent: Agent, rate_hz: int, heard: Heard) -> RecogniserSession:
        """Open a session for one call."""


class Writer(Protocol):
    """The language model."""

    def write(
        self,
        messages: Sequence[Message],
        *,
        speculative: bool,
        call_id: str,
        model: str = "",
        within_s: float = inf,
    ) -> AsyncGenerator[str, None]:
        """Stream the reply's text as it is generated; closing the iterator aborts it on the server.

        ``speculative`` requests run at a lower priority. ``model``: the agent's own, if it has one.
        ``within_s`` bounds the wait for the first token, whoever writes it.
        """


class NoteTaker(Protocol):
    """The language model, for what nobody waits for."""

    @property
    def heeds_priorities(self) -> bool:
        """Whether every server serves replies before notes by itself."""

    def has_room(self) -> bool:
        """Whether notes may be asked for now without standing in a reply's way."""

    async def note(
        self,
        messages: Sequence[Message],
        *,
        call_id: str,
        model: str = "",
        max_tokens: int,
        within_s: float,
    ) -> str:
        """The whole text. A server that fails, or is late, is not blamed for it.

        Raises EngineError. Cancelling it aborts the generation on the server.
        """


class Voice(Protocol):
    """Text to speech (TTS)."""

    def speak(self, text: str, agent: Agent, rate_hz: int) -> AsyncGenerator[bytes, None]:
        """Stream L16 audio of ``text`` as it is made; closing the iterator stops the synthesis."""


class TurnJudge(Protocol):
    """Semantic end-of-turn: does what was said so far sound finished?"""

    async def complete(self, pcm: bytes, rate_hz: int) -> float:
        """Probability (0-1) that the turn is complete, from its last seconds of audio."""


Kind = Literal["", "query", "passage"]
"""What a text is to an embedding model, many of which embed a question otherwise than what answers it;
empty: a text alone is a question, several are passages."""


class Embedder(Protocol):
    """Text embeddings for dense retrieval."""

    @property
    def model(self) -> str:
        """Name and revision of the model that the last vectors came from; empty before the first.
        Vectors of two models cannot be compared."""

    async def embed(self, texts: Sequence[str], kind: Kind = "") -> list[list[float]]:
        """One unit-length vector a text."""


class Reranker(Protocol):
    """How well each of some texts answers a question."""

    async def rerank(self, question: str, texts: Sequence[str]) -> list[float]:
        """A score a text, in the order of ``texts``; the higher, the better it answers.

        Raises EngineError: the order that the texts had then stands.
        """
