"""What the appliance asks itself: a question of its agent, spoken by one of its own voices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from appliance.checkpoints.sentences import SENTENCES
from appliance.errors import UserError
from appliance.events import Agent
from appliance.languages import primary
from appliance.ops.doctor.box import Box
from appliance.ops.models.selftest_text import QUESTION
from appliance.ops.models.serve import At, say, voices
from appliance.rehearsal.questions import Questions, of_sound
from appliance.rehearsal.script import CONVERSATION
from appliance.store.golden import list_questions

SAMPLE = "sunrise"
"""Id of the sample agent, whose recogniser knows the questions of the rehearsals."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and its sound."""

    text: str
    voice: str
    sound: Questions


async def asked(box: Box, agent: Agent, text: str) -> Asked:
    """``text``, else a question that fits ``agent``, spoken in its language.

    Raises UserError: no voice of the appliance speaks that language, or none answers.
    """
    text = text or await question_for(box, agent)
    at, voice = await _voice(box, agent)
    pcm = await say(at, text, voice=voice, language=agent.language)
    return Asked(text, voice, of_sound({text: pcm}, "the doctor's question"))


async def question_for(box: Box, agent: Agent) -> str:
    """A golden question of the agent; else one that its language has for all."""
    golden = await list_questions(box.engine, agent.id, enabled_only=True)
    if golden:
        return min((one.question for one in golden), key=len)
    if agent.id == SAMPLE:
        return CONVERSATION[0][1]
    language = primary(agent.language)
    text = QUESTION.get(language) or SENTENCES.get(language)
    if text is None:
        raise UserError(
            f"There is no question in {agent.language} to ask {agent.name}. Say one with --ask, or give"
            " the agent a golden question (Review in the console)."
        )
    return text


async def _voice(box: Box, agent: Agent) -> tuple[At, str]:
    """Server and id of a voice of the agent's language, another than its own where there is one."""
    found: list[tuple[At, str]] = []
    tts = box.settings.engines.tts
    for stage in (await box.site()).stages:
        for server in stage.up if stage.name == "tts" else ():
            at = await asyncio.to_thread(At.of, box.settings, tts, server.url)
            found += [
                (at, voice["id"])
                for voice in await voices(at)
                if primary(voice["language"]) == primary(agent.language)
            ]
    others = [one for one in found if one[1] != agent.voice]
    if not found:
        raise UserError(
            f"No voice that runs here speaks {agent.language}, so the question of {agent.name} cannot"
            " be asked. Start one (`ivr tts`; engines.tts in the settings)."
        )
    return (others or found)[0]
