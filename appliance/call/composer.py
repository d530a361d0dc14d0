"""How a reply is made: search, write, cut into phrases, speak; every stage overlapped.

The composer is shared by the calls of a worker; all state of a reply is in the
:class:`~appliance.call.reply.Reply`. Whatever fails, the caller hears something: another server, the
extractive answer, the apology spoken in advance.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from appliance.audio import RATES_HZ
from appliance.call.history import History
from appliance.call.marker import Marker
from appliance.call.reply import Reply
from appliance.call.summary import DEADLINE_S, LONGEST_LETTERS, one_line, summary_prompt
from appliance.engines.base import Voice, Writer
from appliance.errors import EngineError
from appliance.events import Agent, Passage
from appliance.knowledge.answers import extract
from appliance.knowledge.search import Search
from appliance.speech.phrases import SENTENCE_ENDS, Phrases

log = logging.getLogger(__name__)

PHRASES_AHEAD = 2
"""Phrases behind the one that is played; a faster writer waits, for speech is slower."""
CHUNKS_AHEAD = 256
"""Audio chunks of a phrase waiting for the one before it; when full its synthesis waits."""
Sound = tuple[str, str, str, frozenset[tuple[str, str]]]
"""What decides how an agent sounds: language, voice, engine, pronunciations."""
LONGEST_REPLY_LETTERS = 2000
"""Over two minutes of speech. A model that never ends (and a server that heeds no ``max_tokens``)
would fill the memory ten times as fast as the caller hears it."""


@dataclass
class _Synthesis:
    """One phrase on its way to audio; None ends it, an EngineError says that it failed."""

    text: str
    chunks: asyncio.Queue[bytes | EngineError | None]


class Composer:
    """Makes replies."""

    def __init__(
        self, voice: Voice, writer: Writer | None, search: Search, search_deadline_ms: int
    ) -> None:
        self._voice = voice
        self._writer = writer
        self._search = search
        self._search_deadline_ms = search_deadline_ms
        self._fixed: dict[tuple[Sound, int, str], bytes] = {}

    async def warm(self, agent: Agent) -> bool:
        """Speak the agent's fixed phrases once, before its first call, and keep the audio.

        False when no server could: to be tried again.
        """
        sound = _sound(agent)
        for text in _fixed_phrases(agent):
            for rate_hz in RATES_HZ:  # a G.722 caller gets the apology too
                key = sound, rate_hz, text
                if key in self._fixed:
                    continue
                try:
                    async with aclosing(self._voice.speak(text, agent, rate_hz)) as audio:
                        self._fixed[key] = b"".join([chunk async for chunk in audio])
                except EngineError as e:
                    log.warning("! %s: a fixed phrase is not ready: %s", agent.name, e)
                    return False
        return True

    def keep(self, agents: Iterable[Agent]) -> None:
        """Forget the audio of every fixed phrase that none of ``agents`` says."""
        wanted = {
            (sound, rate_hz, text)
            for agent in agents
            for sound in (_sound(agent),)
            for text in _fixed_phrases(agent)
            for rate_hz in RATES_HZ
        }
        self._fixed = {key: audio for key, audio in self._fixed.items() if key in wanted}

    async def say(self, reply: Reply, agent: Agent, rate_hz: int, text: str) -> None:
        """Make a reply of fixed words. Whoever asked for it closes its utterance."""
        await self._speak(reply, agent, rate_hz, self._whole(reply, agent, rate_hz, text))

    async def answer(
        self, reply: Reply, agent: Agent, rate_hz: int, history: History, call_id: str
    ) -> None:
        """Make a reply to what the caller said."""
        passages = await self._search.search(agent, reply.said, self._search_deadline_ms)
        reply.searched(tuple(passages))
        if self._writer is not None:
            texts = self._write(reply, agent, history, call_id, self._writer)
            phrases = _phrases(reply, texts, hurry=True)
        else:
            phrases = self._whole(reply, agent, rate_hz, self._extract(reply, agent, passages))
        await self._speak(reply, agent, rate_hz, phrases)

    async def summarise(self, agent: Agent, history: History, call_id: str) -> str:
        """One line for the person who takes the call over, by the language model; empty when there
        is none, or it is late."""
        if self._writer is None or not history.conversation():
            return ""
        text = ""
        messages = summary_prompt(agent, history)
        try:
            async with asyncio.timeout(DEADLINE_S):
                texts = self._writer.write(
                    messages,
                    speculative=False,
                    call_id=call_id,
                    model=agent.llm_model,
                    within_s=DEADLINE_S,
                )
                async with aclosing(texts):
                    async for more in texts:
                        text += more
                        if len(text) > 2 * LONGEST_LETTERS:
                            break
        except (TimeoutError, EngineError) as e:
            log.warning("! no better summary: %s", str(e) or "the language model was late")
            return ""
        return one_line(Marker().feed(text))  # it may think that it is talking to the caller

    def _whole(
        self, reply: Reply, agent: Agent, rate_hz: int, text: str
    ) -> AsyncGenerator[str, None]:
        """The phrases of a text that is all there; one whose audio is kept is not cut at all."""
        if (_sound(agent), rate_hz, text) in self._fixed:
            reply.written(text)
            reply.all_written()
            return _one(text)
        return _phrases(reply, _one(text), hurry=False)

    async def _write(
        self, reply: Reply, agent: Agent, history: History, call_id: str, writer: Writer
    ) -> AsyncGenerator[str, None]:
        """The language model's text; or, when it fails or is late, the extract. One that breaks off
        in mid-sentence is followed by the extract, where there is one."""
        messages = history.messages(agent, reply.passages, reply.said)
        deadline_s = agent.answer_deadline_ms / 1000
        texts = writer.write(
            messages,
            speculative=reply.speculative,
            call_id=call_id,
            model=agent.llm_model,
            within_s=deadline_s,
        )
        marker = Marker()
        try:
            async with aclosing(texts):
                async with asyncio.timeout(deadline_s):
                    first = await anext(texts)
                yield marker.feed(first)
                async for text in texts:
                    yield marker.feed(text)
                    if len(reply.text) > LONGEST_REPLY_LETTERS:
                        reply.fail("the language model found no end")
                        break
                reply.wants_person = marker.found
                yield marker.flush()
                return
        except StopAsyncIteration:
            reply.fail("the language model wrote nothing")
        except TimeoutError:
            reply.fail("the language model was late")
        except EngineError as e:
            reply.fail(str(e))
        if not reply.text:
            yield self._extract(reply, agent, reply.passages)
        elif reply.text.rstrip()[-1:] not in SENTENCE_ENDS:
            if rest := extract(reply.said, reply.passages):
                yield f". {rest}"

    def _extract(self, reply: Reply, agent: Agent, passages: Sequence[Passage]) -> str:
        reply.source = "extractive"
        return extract(reply.said, passages) or agent.unknown_answer

    async def _speak(
        self, reply: Reply, agent: Agent, rate_hz: int, phrases: AsyncGenerator[str, None]
    ) -> None:
        """Speak phrase by phrase: while one is played, the next are synthesised.

        When no server can speak any more, the apology that is kept takes the place of the rest.
        """
        ahead: asyncio.Queue[_Synthesis | None] = asyncio.Queue(PHRASES_AHEAD)

        async def synthesise() -> None:
            async with aclosing(phrases):
                async for text in phrases:
                    reply.phrased()
                    synthesis = _Synthesis(text, asyncio.Queue(CHUNKS_AHEAD))
                    await ahead.put(synthesis)
                    tasks.create_task(self._synthesise(agent, rate_hz, synthesis))
            await ahead.put(None)

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(synthesise())
                while (synthesis := await ahead.get()) is not None:
                    await self._play(reply, synthesis)
            reply.all_spoken()
        except* EngineError as group:
            self.apologise(reply, agent, rate_hz, str(group.exceptions[0]))

    async def _synthesise(self, agent: Agent, rate_hz: int, synthesis: _Synthesis) -> None:
        kept = self._fixed.get((_sound(agent), rate_hz, synthesis.text))
        if kept is not None:
            await synthesis.chunks.put(kept)
        else:
            try:
                async with aclosing(self._voice.speak(synthesis.text, agent, rate_hz)) as audio:
                    async for chunk in audio:
                        await synthesis.chunks.put(chunk)
            except EngineError as e:
                await synthesis.chunks.put(e)
        await synthesis.chunks.put(None)

    async def _play(self, reply: Reply, synthesis: _Synthesis) -> None:
        reply.begin_phrase(synthesis.text)
        while (chunk := await synthesis.chunks.get()) is not None:
            if isinstance(chunk, EngineError):
                raise chunk
            reply.sound(chunk)
        reply.end_phrase()

    def apologise(self, reply: Reply, agent: Agent, rate_hz: int, why: str) -> None:
        """Say the apology that was spoken in advance in place of what cannot be said."""
        reply.end_phrase()
        kept = self._fixed.get((_sound(agent), rate_hz, agent.apology))
        if kept is not None:
            reply.begin_phrase(agent.apology)
            reply.sound(kept)
            reply.end_phrase()
            reply.source = "apology"
        reply.fail(why)


def _fixed_phrases(agent: Agent) -> Iterable[str]:
    phrases = (
        agent.greeting,
        agent.goodbye,
        agent.hold_phrase,
        agent.apology,
        agent.unknown_answer,
        agent.resume_phrase,
        agent.recording_notice,
        agent.machine_message,
        *agent.silence_prompts,
    )
    if agent.transfer_to:
        phrases += (agent.transfer_phrase, agent.transfer_failed_phrase)
    return filter(None, phrases)


def _sound(agent: Agent) -> Sound:
    spelt = frozenset(agent.pronunciations.items())
    return agent.language, agent.voice, agent.tts_engine, spelt


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
