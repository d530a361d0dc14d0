"""The same questions again, to a draft that has changed: both answers side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from appliance.access.actor import Actor
from appliance.admin.console import Console
from appliance.admin.live.state import CallState
from appliance.admin.services import tryit
from appliance.admin.services.tryit import Trying
from appliance.errors import UserError
from appliance.events import Turn

MOST_QUESTIONS = 20
ANSWER_TIMEOUT_S = 60.0
"""From a question to the end of its answer, which is spoken to its last word."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question of a replay."""

    index: int
    question: str
    turn: Turn | None
    """None: the call ended before its answer."""


def questions_of(turns: Sequence[Turn]) -> tuple[str, ...]:
    """What was asked in a call, in order: what was typed, and what was heard of what was said."""
    return tuple(turn.said for turn in turns if turn.said)[:MOST_QUESTIONS]


async def replay(
    console: Console, actor: Actor, agent_id: str, questions: Sequence[str], *, draft: bool
) -> AsyncIterator[Answered]:
    """Type ``questions`` one after the other in a call without sound, each once the answer to the one
    before has been spoken. Raises as ``tryit.begin`` and ``tryit.say`` do."""
    if not 0 < len(questions) <= MOST_QUESTIONS:
        raise UserError(f"Choose 1 to {MOST_QUESTIONS} questions.")
    begun = await tryit.begin(console, actor, agent_id, draft=draft)
    try:
        count = len((await _listening(console, actor, begun.call_id, 0)).turns)
        for index, question in enumerate(questions):
            now = await tryit.look(console, actor, begun.call_id)
            if now.is_over:
                yield Answered(index, question, None)
                continue
            await tryit.say(console, actor, begun.call_id, question)
            now = await _listening(console, actor, begun.call_id, count)
            ours = [turn for turn in now.turns[count:] if turn.said == question]
            count = len(now.turns)
            yield Answered(index, question, ours[-1] if ours else None)
    finally:
        await tryit.hang_up(console, actor, begun.call_id)


async def _listening(console: Console, actor: Actor, call_id: str, count: int) -> Trying:
    """The call once it has more than ``count`` turns and nobody speaks, or is over."""
    last: Trying | None = None
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            async for now in tryit.follow(console, actor, call_id):
                last = now
                if len(now.turns) > count and now.state is CallState.LISTENING:
                    return now
    except TimeoutError:
        pass
    assert last is not None  # the first comes at once
    return last
