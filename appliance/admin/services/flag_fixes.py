"""From a flag: the answer corrected or the rule changed, the question asked again; its sound."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.flags import logged, may_change, site_rule, their_flag
from appliance.admin.services.recordings import open_recording
from appliance.admin.services.theirs import agent_tenant
from appliance.errors import UserError
from appliance.events import Flag
from appliance.review import flags as review
from appliance.review.corrections import LONGEST_ANSWER_LETTERS, LONGEST_QUESTION_LETTERS
from appliance.review.excerpt import Excerpt, cut
from appliance.store.agents import load_agent
from appliance.store.base_views import find_base_named
from appliance.store.flags import ReviewedFlag

FIX_S = 180.0
"""A correction is read, embedded and published, and the question asked again."""
AROUND_MS = 5000
"""Heard before and after the place."""
LONGEST_EXCERPT_MS = 120_000
"""Of what was said; a flag over more of a call is heard on the call's own page."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of a recording: a WAV file, caller left and agent right."""

    wav: bytes
    begin_ms: int
    end_ms: int
    """On the recording's own clock."""


async def retest(console: Console, actor: Actor, flag_id: str) -> ReviewedFlag:
    """Ask the flag's question again, of agent, knowledge and rules as they are now; both answers are
    kept with the flag. Raises NotFoundError, UserError."""
    actor.require(Permission.FLAGS_DECIDE)
    flag = (await their_flag(console, actor, flag_id)).flag
    await _check_base(console, actor, flag)
    await _log_now(console, actor, flag, "flag.retest")
    async with _in_time():
        return await review.retest(console.engine, console.settings, flag.id, actor.name)


async def correct(
    console: Console, actor: Actor, flag_id: str, answer: str, question: str = ""
) -> ReviewedFlag:
    """Put the right answer into the knowledge (``question``: what it answers, if it is not the flag's),
    then ask again. Raises NotFoundError; UserError: the agent has no knowledge, texts that will not
    do, a server that is away."""
    actor.require(Permission.FLAGS_DECIDE)
    flag = (await their_flag(console, actor, flag_id)).flag
    answer, question = answer.strip(), question.strip()
    if not answer:
        raise UserError("Write the right answer.")
    if len(answer) > LONGEST_ANSWER_LETTERS or len(question) > LONGEST_QUESTION_LETTERS:
        raise UserError(
            f"A correction has at most {LONGEST_QUESTION_LETTERS} letters for the question and"
            f" {LONGEST_ANSWER_LETTERS} for the answer."
        )
    await _check_base(console, actor, flag)
    await _log_now(console, actor, flag, "flag.correct")
    async with _in_time():
        return await review.fix_answer(
            console.engine, console.settings, flag.id, answer, actor.name, question
        )


async def change_rule(console: Console, actor: Actor, flag_id: str, text: str = "") -> ReviewedFlag:
    """Give the site's rule that raised a flag other words, or (empty) switch it off, then ask again.

    Raises NotFoundError; UserError: a built-in rule; ForbiddenError: a rule for every agent, which is
    the operator's.
    """
    actor.require(Permission.RULES_EDIT)
    flag = (await their_flag(console, actor, flag_id)).flag
    rule = await site_rule(console, actor, flag.rule)
    if rule is None:
        raise UserError(
            "No rule of the site's own has raised this flag; the built-in ones cannot be changed."
        )
    if not may_change(actor, rule):
        raise ForbiddenError("This rule is for every agent; only the operator changes it.")
    await _check_base(console, actor, flag)
    text = text.strip()
    subject = str(rule.rule.id)
    detail = {"flag": flag.id, "before": rule.rule.text, "after": text or None}
    also = await logged(console, actor, flag.agent_id, "rule.change", subject, detail)
    async with _in_time():
        return await review.fix_rule(
            console.engine, console.settings, flag.id, actor.name, text, also=also
        )


async def excerpt(console: Console, actor: Actor, flag_id: str) -> Sound:
    """The sound of a flag's place, with 5 s on both sides; the hearing of it is logged.

    Raises NotFoundError; UserError: no place in a recording, one that may not be heard yet.
    """
    actor.require(Permission.RECORDINGS_LISTEN)
    flag = (await their_flag(console, actor, flag_id)).flag
    if not flag.call_id or flag.begin_ms is None or flag.end_ms is None:
        raise UserError("It is not known where in a recording that was said.")
    recording = await open_recording(console, actor, flag.call_id)
    end_ms = min(flag.end_ms, flag.begin_ms + LONGEST_EXCERPT_MS)
    wav, placed = await asyncio.to_thread(_cut, recording.path, flag.begin_ms, end_ms)
    return Sound(wav, placed.begin_ms, placed.end_ms)


def _cut(recording: Path, begin_ms: int, end_ms: int) -> tuple[bytes, Excerpt]:
    with tempfile.TemporaryDirectory(prefix="ivr-excerpt-") as folder:
        out = Path(folder) / "excerpt.wav"
        try:
            placed = cut(recording, begin_ms, end_ms, out, AROUND_MS)
        except UserError as e:  # its sentence names the file's place on the machine
            raise UserError("The recording cannot be played; it may have been erased.") from e
        return out.read_bytes(), placed


async def _check_base(console: Console, actor: Actor, flag: Flag) -> None:
    """Raises UserError when the flag's agent names a knowledge base that is not its tenant's."""
    try:
        tenant = await agent_tenant(console, actor, flag.agent_id)
    except NotFoundError as e:
        raise UserError("The agent of this flag is no more; there is nobody to ask again.") from e
    agent = await load_agent(console.engine, flag.agent_id)
    if agent is None or not agent.knowledge:
        return
    if await find_base_named(console.engine, agent.knowledge, tenant) is None:
        raise UserError(
            f"The agent's knowledge base {agent.knowledge} does not exist. Make it, or publish the"
            " agent with another one."
        )


async def _log_now(console: Console, actor: Actor, flag: Flag, action: str) -> None:
    """Before a change of many steps, the last of which may fail."""
    also = await logged(console, actor, flag.agent_id, action, flag.id)
    async with console.engine.begin() as connection:
        await also(connection)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(FIX_S):
            yield
    except TimeoutError as e:
        raise UserError(
            "This takes longer than expected. What was changed is kept; ask again in a minute."
        ) from e
