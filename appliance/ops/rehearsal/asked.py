"""Questions for a rehearsal, spoken from a text file by the appliance's own voices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from appliance.engines.key import key_for
from appliance.engines.pool import Pool
from appliance.engines.voice import HttpVoice
from appliance.errors import EngineError, UserError
from appliance.events import Agent
from appliance.rehearsal.questions import MOST, RATE_HZ, Questions, of_sound
from appliance.settings import Settings

SPEAK_TIMEOUT_S = 60.0
"""Of one question: nobody waits on the line."""


async def ask_file(settings: Settings, file: Path, agent: Agent) -> Questions:
    """Each line of ``file`` that is not empty, spoken in ``agent``'s language and voice.

    Raises UserError: the file cannot be read or is empty, or no voice speaks that language.
    """
    texts = _lines(file)
    async with aiohttp.ClientSession() as http:
        stage = settings.engines.tts
        pool = Pool("tts", stage.addresses(), http, key_for(settings, stage))
        await pool.check()
        voice = HttpVoice(pool, http, settings.engines.tts.timeout_ms)
        try:
            sounds = {text: await _speak(voice, text, agent) for text in texts}
        except (EngineError, TimeoutError) as e:
            raise UserError(
                f"The questions could not be spoken in {agent.language}: {e or 'no answer in time'}."
                " Start a voice for that language (`ivr tts`), or use recordings: --questions."
            ) from e
    return of_sound(sounds, f"{len(texts)} of {file.name}, spoken in {agent.language}")


async def _speak(voice: HttpVoice, text: str, agent: Agent) -> bytes:
    async with asyncio.timeout(SPEAK_TIMEOUT_S):
        return b"".join([pcm async for pcm in voice.speak(text, agent, RATE_HZ)])


def _lines(file: Path) -> list[str]:
    try:
        texts = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{file} cannot be read: {e}. It must be a text file in UTF-8.") from e
    found = list(dict.fromkeys(text for text in texts if text and not text.startswith("#")))
    if not found:
        raise UserError(f"{file} has no question. Write one in each line.")
    if len(found) > MOST:
        raise UserError(f"{file} has {len(found)} questions; {MOST} are the most.")
    return found
