"""What the editor of an agent offers to choose from, and how a phrase sounds on the telephone."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.agents import defaults
from appliance.admin.agents.enginesurvey import Survey, survey
from appliance.admin.console import Console
from appliance.admin.services import drafts
from appliance.admin.services.agents import summary_of
from appliance.audio import ulaw_decode, ulaw_encode
from appliance.engines.clients import Clients
from appliance.engines.voice import HttpVoice
from appliance.errors import EngineError, UserError
from appliance.events import Agent
from appliance.store import agent_views
from appliance.store.agents import parse_agent
from appliance.store.trunks import list_extensions, list_queues

RATE_HZ = 8000
"""Of G.711."""
LONGEST_SAMPLE_LETTERS = 500
SAMPLE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is for one agent."""

    engines: Survey
    bases: tuple[str, ...]
    agents: Mapping[str, str]
    """Of its tenant, id -> name."""
    queues: tuple[str, ...]
    extensions: Mapping[str, str]
    """Number -> whose."""


UNASKED = Survey(has_llm=True, away=frozenset({"stt", "tts", "llm"}))
"""Before the engine servers were asked: anything may be there."""


async def choices(
    console: Console, actor: Actor, agent_id: str, *, ask_engines: bool = True
) -> Choices:
    """Of the agent's tenant and of the engine servers that are up. Raises NotFoundError.

    ``ask_engines``: a server that hangs takes some 2 s; without, theirs are left out.
    """
    actor.require(Permission.AGENTS_READ)
    seen = await survey(console.settings, console.http) if ask_engines else UNASKED
    async with console.engine.connect() as connection:
        head = await summary_of(connection, actor, agent_id)
        known = await agent_views.agents_of(connection, head.tenant)
        bases = await agent_views.bases_of(connection, head.tenant)
        queues = await connection.run_sync(list_queues)
        extensions = await connection.run_sync(list_extensions)
    return Choices(
        engines=seen,
        bases=tuple(bases),
        agents={other: name for other, (name, _) in known.items()},
        queues=tuple(queue.name for queue in queues),
        extensions={e.extension: e.name for e in extensions if e.enabled},
    )


async def sample(
    console: Console, actor: Actor, agent_id: str, text: str, changed: Mapping[str, Any]
) -> bytes:
    """``text`` as a caller of the draft hears it: spoken by the voice server at 8 kHz, then through
    G.711. A WAV file. ``changed``: fields to be heard before they are saved (voice, language,
    tts_engine, pronunciations).

    Raises UserError: nothing to say, or no voice server could.
    """
    actor.require(Permission.AGENTS_EDIT)
    text = text.strip()
    if not text or len(text) > LONGEST_SAMPLE_LETTERS:
        raise UserError(f"A sample has 1 to {LONGEST_SAMPLE_LETTERS} letters.")
    agent = await _speaker(console, actor, agent_id, changed)
    clients = Clients(console.settings, console.http)
    section = console.settings.engines.tts
    voice = HttpVoice(clients.pool("tts", section), console.http, section.timeout_ms)
    try:
        async with asyncio.timeout(SAMPLE_TIMEOUT_S):
            await clients.find_servers()
            async with aclosing(voice.speak(text, agent, RATE_HZ)) as chunks:
                pcm = b"".join([chunk async for chunk in chunks])
    except (EngineError, TimeoutError) as e:
        raise UserError(
            f"No voice server could say this in {agent.language} with the voice {agent.voice}."
        ) from e
    if not pcm:
        raise UserError("There is nothing in this text that can be spoken.")
    return _wav(ulaw_decode(ulaw_encode(pcm)))


async def _speaker(
    console: Console, actor: Actor, agent_id: str, changed: Mapping[str, Any]
) -> Agent:
    """Only what decides how it sounds: the rest of a draft may be wrong still."""
    edited = await drafts.read(console, actor, agent_id)
    names = ("language", "voice", "tts_engine", "pronunciations")
    fields = {name: edited.fields[name] for name in names} | dict(changed)
    blank = defaults.DEFAULTS | {"name": agent_id, "id": agent_id, "version": 0}
    return replace(parse_agent(blank | fields), knowledge="")


def _wav(pcm: bytes) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm)
    return out.getvalue()
