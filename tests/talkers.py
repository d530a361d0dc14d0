"""Callers who talk and agents who speak, on real engine servers, while servers come and go."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from appliance.audio import bytes_of, silence
from appliance.engines.emulated_script import Script, Utterance
from appliance.engines.recogniser import HttpRecogniser
from appliance.engines.voice import HttpVoice
from appliance.events import Agent, Transcript

AGENT = Agent("A", 1, "A", knowledge="k", knowledge_version=2, language="en", voice="slt")
RATE_HZ = 8000
PHRASE = "Our family plan costs four hundred and ninety nine rupees a month."
FINAL_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


def plain(utterance: Utterance) -> str:
    """Its words as a recogniser writes them."""
    return " ".join(word.text.strip(".,?").lower() for word in utterance.words)


class Caller:
    """Says one sentence after the other until told to stop; keeps what was understood."""

    def __init__(self, recogniser: HttpRecogniser, script: Script, first: int = 0) -> None:
        self._heard: list[Transcript] = []
        self._script = script
        self._next = first
        self.session = recogniser.open(f"c{first}", AGENT, RATE_HZ, self._heard.append)
        self.stopping = False
        self.wrong: list[tuple[str, str]] = []
        self.right = 0

    @property
    def has_talked(self) -> bool:
        """Whether there is something to judge."""
        return bool(self.right or self.wrong)

    async def talk(self) -> None:
        """Until ``stopping``."""
        while not self.stopping:
            said = self._script.utterances[self._next % len(self._script.utterances)]
            self._next += 1
            understood = await self.say(said, self._next)
            if understood == plain(said):
                self.right += 1
            else:
                self.wrong.append((plain(said), understood))
        self.session.close()

    async def say(self, said: Utterance, number: int) -> str:
        """Say one sentence at twice the pace of speech; what was understood."""
        step = bytes_of(20, RATE_HZ)
        pcm = said.pcm(RATE_HZ) + silence(120, RATE_HZ)
        self.session.start(number, pcm[: 10 * step])
        for at in range(10 * step, len(pcm), step):
            self.session.feed(pcm[at : at + step])
            await asyncio.sleep(0.01)
        self.session.finish()
        async with asyncio.timeout(FINAL_TIMEOUT_S):
            while True:
                finals = [t for t in self._heard if t.final and t.utterance == number]
                if finals:
                    return " | ".join(final.text for final in finals)
                await asyncio.sleep(0.01)


class Speaker:
    """Has one phrase spoken after the other; keeps how long each came out."""

    def __init__(self, voice: HttpVoice) -> None:
        self._voice = voice
        self.stopping = False
        self.lengths: list[int] = []

    async def talk(self) -> None:
        """Until ``stopping``. Raises EngineError when a phrase could not be spoken to its end."""
        while not self.stopping:
            length = 0
            async with aclosing(self._voice.speak(PHRASE, AGENT, RATE_HZ)) as chunks:
                async for chunk in chunks:
                    length += len(chunk)
            self.lengths.append(length)
            await asyncio.sleep(0.02)

    @property
    def has_talked(self) -> bool:
        """Whether there is something to judge."""
        return len(self.lengths) > 3

    @property
    def whole(self) -> bool:
        """Whether no phrase was cut: flite draws its silences anew each time, not its words."""
        return self.has_talked and min(self.lengths) > 0.9 * max(self.lengths)
