"""The whole answer to a question, as an agent would give it: asked without a call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.searching import LONGEST_HEARD_LETTERS, MOST_EARLIER, Earlier
from appliance.admin.services.theirs import agent_of
from appliance.errors import UserError
from appliance.knowledge.search import LONGEST_QUESTION_CHARS
from appliance.review.asking import Asked, open_asker

ASK_S = 60.0
"""Somebody waits before the page."""


async def ask(
    console: Console,
    actor: Actor,
    agent_id: str,
    question: str,
    earlier: Sequence[Earlier] = (),
) -> Asked:
    """What the agent's version in force would answer, after what was said before.

    What was said before and has no answer is answered first. Raises NotFoundError; UserError: no
    question, no answer in time.
    """
    actor.require(Permission.AGENTS_TRY)
    agent, _ = await agent_of(console, actor, agent_id)
    question = question.strip()
    if not question:
        raise UserError("Write a question.")
    if len(question) > LONGEST_QUESTION_CHARS:
        raise UserError(f"A question has at most {LONGEST_QUESTION_CHARS} letters.")
    talk: list[tuple[str, str]] = []
    try:
        async with asyncio.timeout(ASK_S), open_asker(console.engine, console.settings) as asker:
            for one in earlier[-MOST_EARLIER:]:
                said = one.said.strip()[:LONGEST_QUESTION_CHARS]
                heard = one.heard[:LONGEST_HEARD_LETTERS]
                if said:
                    talk.append((said, heard or (await asker.ask(agent, said, talk)).answer))
            return await asker.ask(agent, question, talk)
    except TimeoutError as e:
        raise UserError(
            f"There was no answer within {ASK_S:.0f} s; the language model may be busy with calls."
        ) from e
