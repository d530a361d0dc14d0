"""Golden questions: questions whose answers are watched, asked again every night or now."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import LARGEST_ID, agent_tenant
from appliance.errors import UserError
from appliance.review.golden import GoldenRun, Progress, ask_golden
from appliance.store import golden as store
from appliance.store.golden import GoldenAnswer, GoldenQuestion, NewQuestion

MOST_AT_ONCE = 200
"""Questions added in one request."""


async def questions(console: Console, actor: Actor, agent_id: str = "") -> list[GoldenQuestion]:
    """The golden questions of one agent or (empty) of all of the actor's tenant, in order of agent and
    number, each with its last answer. Raises NotFoundError."""
    actor.require(Permission.FLAGS_READ)
    if agent_id:
        await agent_tenant(console, actor, agent_id)
    found = await store.list_questions(console.engine, agent_id, tenant=actor.tenant)
    return sorted(found, key=lambda one: (one.agent_id, one.id))


async def answers(console: Console, actor: Actor, question_id: int) -> list[GoldenAnswer]:
    """How a question was answered over time, the latest first. Raises NotFoundError."""
    actor.require(Permission.FLAGS_READ)
    await _question(console, actor, question_id)
    return await store.answers_of(console.engine, question_id)


async def add(
    console: Console, actor: Actor, agent_id: str, new: Sequence[tuple[str, str]]
) -> tuple[list[int], int]:
    """Watch questions of an agent: (question, words of a right answer), all or none. One that is there
    already gets what is expected. Returns the ids in order, and how many are new.

    Raises NotFoundError; UserError: none, or too long.
    """
    actor.require(Permission.FLAGS_DECIDE)
    tenant = await agent_tenant(console, actor, agent_id)
    if not new or len(new) > MOST_AT_ONCE:
        raise UserError(f"Give 1 to {MOST_AT_ONCE} questions at once.")

    async def log(connection: AsyncConnection) -> None:
        detail = {"agent": agent_id, "questions": len(new)}
        await audit.append(connection, actor, "golden.add", agent_id, detail, tenant)

    wanted = [NewQuestion(agent_id, question, expected) for question, expected in new]
    return await store.add_questions(console.engine, wanted, actor.name, log)


async def edit(
    console: Console, actor: Actor, question_id: int, *, expected: str, enabled: bool
) -> GoldenQuestion:
    """Change what a right answer holds, and whether the question is asked. Raises NotFoundError,
    UserError."""
    actor.require(Permission.FLAGS_DECIDE)
    old = await _question(console, actor, question_id)
    tenant = await agent_tenant(console, actor, old.agent_id)

    async def log(connection: AsyncConnection) -> None:
        detail = {"agent": old.agent_id, "expected": expected, "enabled": enabled}
        await audit.append(connection, actor, "golden.edit", str(question_id), detail, tenant)

    await store.edit_question(
        console.engine, question_id, expected=expected, enabled=enabled, also=log
    )
    return await _question(console, actor, question_id)


async def remove(console: Console, actor: Actor, question_id: int) -> None:
    """Watch a question no longer; its answers go with it. Raises NotFoundError."""
    actor.require(Permission.FLAGS_DECIDE)
    old = await _question(console, actor, question_id)
    tenant = await agent_tenant(console, actor, old.agent_id)

    async def log(connection: AsyncConnection) -> None:
        detail = {"agent": old.agent_id}
        await audit.append(connection, actor, "golden.remove", str(question_id), detail, tenant)

    await store.remove_question(console.engine, question_id, log)


async def run(
    console: Console,
    actor: Actor,
    agent_id: str,
    progress: Progress = lambda outcome, done, total: None,
) -> GoldenRun:
    """Ask an agent's questions now, one after the other; ``progress`` is told of each. What changed or
    is wrong is flagged. Raises NotFoundError."""
    actor.require(Permission.FLAGS_DECIDE)
    tenant = await agent_tenant(console, actor, agent_id)
    async with console.engine.begin() as connection:
        await audit.append(connection, actor, "golden.run", agent_id, {}, tenant)
    return await ask_golden(console.engine, console.settings, agent_id, progress)


async def _question(console: Console, actor: Actor, question_id: int) -> GoldenQuestion:
    found = []
    if 0 < question_id <= LARGEST_ID:
        found = await store.list_questions(console.engine, tenant=actor.tenant, ids=[question_id])
    if not found:
        raise NotFoundError("There is no such golden question.")
    return found[0]
