"""How a reply is made: search, write, cut into phrases, judge and speak; every stage overlapped.

The composer is shared by the calls of a worker; all state of a reply is in the
:class:`~appliance.call.reply.Reply`. Whatever fails, the caller hears something: another server, the
extractive answer, the apology spoken in advance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from appliance.call.answerer import Answerer
from appliance.call.cached import CommonAnswers
from appliance.call.history import History
from appliance.call.kept import KeptAudio
from appliance.call.release import Guarding, Release, Verdict
from appliance.call.reply import Reply, Safe
from appliance.call.summary import model_summary
from appliance.engines.base import Voice
from appliance.errors import EngineError
from appliance.events import Agent
from appliance.speech.phrases import Phrases

PHRASES_AHEAD = 2
"""Phrases behind the one that is played; a faster writer waits, for speech is slower."""
CHUNKS_AHEAD = 256
"""Audio chunks of a phrase waiting for the one before it; when full its synthesis waits."""


class _UnsafeError(Exception):
    """A phrase may not be heard."""


@dataclass
class _Synthesis:
    """One phrase on its way to audio; None ends it, an EngineError says that it failed."""

    text: str
    chunks: asyncio.Queue[bytes | EngineError | None]
    verdict: Verdict | None
    """None: the agent's own words, which nobody judges."""
    ready_ms: int | None = None
    """When its first audio was there."""


class Composer:
    """Makes replies."""

    def __init__(
        self,
        voice: Voice,
        answerer: Answerer,
        guarding: Guarding,
        kept: KeptAudio,
        common: CommonAnswers,
    ) -> None:
        self._voice = voice
        self._answerer = answerer
        self._guarding = guarding
        self._kept = kept
        self._common = common

    async def warm(self, agent: Agent) -> bool:
        """Speak the agent's fixed phrases once, before its first call, and keep the audio.

        False when no server could: to be tried again.
        """
        return await self._kept.speak(agent, agent.fixed_phrases)

    async def refresh(self, agents: Sequence[Agent]) -> None:
        """Load and speak the common answers that have changed."""
        await self._common.refresh(agents)

    def keep(self, agents: Sequence[Agent]) -> None:
        """Forget the audio of everything that none of ``agents`` says."""
        self._kept.keep_only(
            (agent, [*agent.fixed_phrases, *self._common.texts(agent)]) for agent in agents
        )

    async def say(self, reply: Reply, agent: Agent, rate_hz: int, text: str) -> None:
        """Make a reply of the agent's own fixed words. Whoever asked for it closes its utterance."""
        await self._speak(reply, agent, rate_hz, self._whole(reply, agent, rate_hz, text), None)

    async def answer(
        self, reply: Reply, agent: Agent, rate_hz: int, history: History, call_id: str
    ) -> None:
        """Make a reply to what the caller said."""
        known = None if history.is_advised else self._common.find(agent, reply.said)
        if known is None:
            await self._answerer.look_up(reply, agent, history)
        else:
            reply.source = "cached"
            reply.searched(known.passages, reply.said)
        release = self._guarding.open(agent, reply, history)
        release.look_at_caller()
        if known is not None:
            phrases = self._whole(reply, agent, rate_hz, known.answer)
        elif self._answerer.writer is not None:
            release.prepare()
            texts = self._answerer.write(reply, agent, history, call_id)
            phrases = _phrases(reply, texts, hurry=True)
        else:
            extract = self._answerer.extract(reply, agent)
            phrases = self._whole(reply, agent, rate_hz, extract)
        await self._speak(reply, agent, rate_hz, phrases, release)

    async def summarise(self, agent: Agent, history: History, call_id: str) -> str:
        """One line for the person who takes the call over, by the language model; empty when there
        is none, or it is late."""
        if self._answerer.writer is None:
            return ""
        return await model_summary(self._answerer.writer, agent, history, call_id)

    def _whole(
        self, reply: Reply, agent: Agent, rate_hz: int, text: str
    ) -> AsyncGenerator[str, None]:
        """The phrases of a text that is all there; one whose audio is kept is not cut at all."""
        if self._kept.get(agent, rate_hz, text) is not None:
            reply.written(text)
            reply.all_written()
            return _one(text)
        return _phrases(reply, _one(text), hurry=False)

    async def _speak(
        self,
        reply: Reply,
        agent: Agent,
        rate_hz: int,
        phrases: AsyncGenerator[str, None],
        release: Release | None,
    ) -> None:
        """Speak phrase by phrase: while one is played, the next are synthesised and judged.

        When no server can speak any more, the apology that is kept takes the place of the rest; when
        a phrase may not be heard, the agent's safe phrase does.
        """
        reply.safe = self._safe(agent, rate_hz)
        ahead: asyncio.Queue[_Synthesis | None] = asyncio.Queue(PHRASES_AHEAD)

        async def synthesise() -> None:
            async with aclosing(phrases):
                async for text in phrases:
                    reply.phrased()
                    verdict = release.ask(text) if release is not None else None
                    synthesis = _Synthesis(text, asyncio.Queue(CHUNKS_AHEAD), verdict)
                    await ahead.put(synthesis)
                    if verdict is not None and verdict.stops:
                        break  # the rest of the text would not be heard
                    tasks.create_task(self._synthesise(reply, agent, rate_hz, synthesis))
            await ahead.put(None)

        unsafe = False
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(synthesise())
                while (synthesis := await ahead.get()) is not None:
                    await self._play(reply, synthesis, release)
            reply.all_spoken()
        except* EngineError as group:
            self.apologise(reply, agent, rate_hz, str(group.exceptions[0]))
        except* _UnsafeError:
            unsafe = True
        if unsafe:
            await self._speak(reply, agent, rate_hz, _one(agent.safe_phrase), None)

    async def _synthesise(
        self, reply: Reply, agent: Agent, rate_hz: int, synthesis: _Synthesis
    ) -> None:
        kept = self._kept.get(agent, rate_hz, synthesis.text)
        if kept is not None:
            synthesis.ready_ms = reply.now_ms()
            await synthesis.chunks.put(kept)
        else:
            try:
                async with aclosing(self._voice.speak(synthesis.text, agent, rate_hz)) as audio:
                    async for chunk in audio:
                        if synthesis.ready_ms is None:
                            synthesis.ready_ms = reply.now_ms()
                        await synthesis.chunks.put(chunk)
            except EngineError as e:
                await synthesis.chunks.put(e)
        await synthesis.chunks.put(None)

    async def _play(self, reply: Reply, synthesis: _Synthesis, release: Release | None) -> None:
        if release is not None and synthesis.verdict is not None:
            if not await release.may_be_heard(synthesis.verdict):
                raise _UnsafeError
            if synthesis.ready_ms is not None and reply.first_audio_ms is None:
                reply.held_ms = reply.now_ms() - synthesis.ready_ms
        reply.begin_phrase(synthesis.text)
        while (chunk := await synthesis.chunks.get()) is not None:
            if isinstance(chunk, EngineError):
                raise chunk
            reply.sound(chunk)
        reply.end_phrase()

    def _safe(self, agent: Agent, rate_hz: int) -> Safe:
        audio = self._kept.get(agent, rate_hz, agent.safe_phrase)
        return Safe(agent.safe_phrase, audio or b"")

    def apologise(self, reply: Reply, agent: Agent, rate_hz: int, why: str) -> None:
        """Say the apology that was spoken in advance in place of what cannot be said."""
        reply.end_phrase()
        kept = self._kept.get(agent, rate_hz, agent.apology)
        if kept is not None:
            reply.begin_phrase(agent.apology)
            reply.sound(kept)
            reply.end_phrase()
            reply.source = "apology"
        reply.fail(why)


async def _one(text: str) -> AsyncGenerator[str, None]:
    yield text


async def _phrases(
    reply: Reply, texts: AsyncGenerator[str, None], *, hurry: bool
) -> AsyncGenerator[str, None]:
    """The phrases of a text as it is written."""
    splitter = Phrases(hurry=hurry)
    async with aclosing(texts):
        async for text in texts:
            reply.written(text)
            for phrase in splitter.feed(text):
                yield phrase
    reply.all_written()
    for phrase in splitter.flush():
        yield phrase
