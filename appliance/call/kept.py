"""Audio spoken in advance: an agent's fixed phrases, and the answers that callers ask for often."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import aclosing

from appliance.audio import RATES_HZ
from appliance.engines.base import Voice
from appliance.errors import EngineError
from appliance.events import Agent

log = logging.getLogger(__name__)

Sound = tuple[str, str, str, frozenset[tuple[str, str]]]
"""What decides how an agent sounds: language, voice, engine, pronunciations."""
_Key = tuple[Sound, int, str]


class KeptAudio:
    """L16 of whole texts, by how the agent sounds and the rate of the call; one a worker."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._audio: dict[_Key, bytes] = {}

    def get(self, agent: Agent, rate_hz: int, text: str) -> bytes | None:
        """The audio of ``text``, if it is kept."""
        return self._audio.get((_sound(agent), rate_hz, text))

    @property
    def size_bytes(self) -> int:
        """Of all that is kept."""
        return sum(map(len, self._audio.values()))

    async def speak(self, agent: Agent, texts: Iterable[str]) -> bool:
        """Speak what is not kept yet, at every rate that calls come in (a G.722 caller gets the
        apology too). False when no server could: to be tried again."""
        sound = _sound(agent)
        for text in texts:
            for rate_hz in RATES_HZ:
                key = sound, rate_hz, text
                if key in self._audio:
                    continue
                try:
                    async with aclosing(self._voice.speak(text, agent, rate_hz)) as audio:
                        self._audio[key] = b"".join([chunk async for chunk in audio])
                except EngineError as e:
                    log.warning("! %s: a phrase is not spoken in advance: %s", agent.name, e)
                    return False
        return True

    def keep_only(self, wanted: Iterable[tuple[Agent, Iterable[str]]]) -> None:
        """Forget what none of these agents says."""
        keys = {
            (sound, rate_hz, text)
            for agent, texts in wanted
            for sound in (_sound(agent),)
            for text in texts
            for rate_hz in RATES_HZ
        }
        self._audio = {key: audio for key, audio in self._audio.items() if key in keys}


def _sound(agent: Agent) -> Sound:
    spelt = frozenset(agent.pronunciations.items())
    return agent.language, agent.voice, agent.tts_engine, spelt
