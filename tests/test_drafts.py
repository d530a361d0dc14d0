"""Drafts: two editors, revisions that are never another's, and the agent that a draft is."""

from __future__ import annotations

import dataclasses
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent
from appliance.store.agent_views import lock_agent
from appliance.store.agents import (
    CONFIG_FIELDS,
    agent_fields,
    load_agent,
    load_agents,
    publish_agent,
)
from appliance.store.drafts import (
    LARGEST_BYTES,
    Draft,
    DraftConflictError,
    end_draft,
    load_draft,
    read_draft,
    save_draft,
)

pytestmark = pytest.mark.server

HELP = Agent(id="help", version=0, name="Help desk", keypad={"1": "billing"}, knowledge="sunrise")


def fields_of(agent: Agent, **changes: object) -> dict[str, object]:
    return {k: v for k, v in agent_fields(agent).items() if k in CONFIG_FIELDS} | changes


async def save(engine: AsyncEngine, seen: int, who: str = "asha", **changes: object) -> Draft:
    async with engine.begin() as connection:
        assert await lock_agent(connection, "help", None)
        return await save_draft(connection, "help", fields_of(HELP, **changes), seen, who, 1)


async def test_a_draft_is_an_agent_of_version_0(engine: AsyncEngine, database_url: str) -> None:
    await publish_agent(engine, HELP)
    assert await load_draft(engine, "help") is None
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO knowledge_bases (name, version) VALUES ('sunrise', 7)")
    draft = await save(engine, 0, greeting="New.", name="Desk")
    assert (draft.revision, draft.based_on, draft.updated_by) == (1, 1, "asha")
    tried = await load_draft(engine, "help")
    assert tried == dataclasses.replace(
        HELP, greeting="New.", name="Desk", version=0, knowledge_version=7
    )
    published = await load_agent(engine, "help")
    assert published and published.greeting == "" and published.name == "Help desk"
    assert [agent.version for agent in await load_agents(engine)] == [1]
    assert await load_draft(engine, "nobody") is None


def test_the_context_of_a_draft_is_that_of_no_version_and_of_no_other_draft() -> None:
    published = dataclasses.replace(HELP, version=3, knowledge_version=7)
    assert published.context == "help.3.7"
    draft = dataclasses.replace(published, version=0)
    others = [dataclasses.replace(draft, language="hi"), dataclasses.replace(draft, knowledge="b")]
    contexts = {agent.context for agent in (published, draft, *others)}
    assert len(contexts) == 4
    assert dataclasses.replace(draft, greeting="x").context == draft.context  # the same words


async def test_the_second_of_two_editors_is_told_who_was_quicker(engine: AsyncEngine) -> None:
    await publish_agent(engine, HELP)
    first = await save(engine, 0, greeting="One.")
    await save(engine, first.revision, who="bela", greeting="Two.")
    with pytest.raises(
        DraftConflictError, match=r"^bela changed this draft at .* Nothing of yours"
    ):
        await save(engine, first.revision, greeting="Three.")
    with pytest.raises(DraftConflictError, match="bela changed"):
        await save(engine, 0, greeting="Three.")  # who has seen none at all
    async with engine.connect() as connection:
        now = await read_draft(connection, "help")
    assert now and now.fields["greeting"] == "Two." and now.revision == 2


async def test_a_draft_that_ended_is_never_taken_for_the_next(engine: AsyncEngine) -> None:
    await publish_agent(engine, HELP)
    first = await save(engine, 0)
    async with engine.begin() as connection:
        was = await end_draft(connection, "help", first.revision, "bela")
        assert was == first
    assert await load_draft(engine, "help") is None
    with pytest.raises(DraftConflictError, match="bela discarded"):
        await save(engine, first.revision)
    again = await save(engine, 0)
    assert again.revision > first.revision
    with pytest.raises(DraftConflictError, match="asha changed"):
        await save(engine, first.revision)
    async with engine.begin() as connection:
        with pytest.raises(DraftConflictError):
            await end_draft(connection, "help", first.revision, "bela")
        await end_draft(connection, "help", again.revision, "bela", version=2)
        assert await end_draft(connection, "help", 0, "bela") is None
    with pytest.raises(DraftConflictError, match="bela published this draft as version 2"):
        await save(engine, again.revision)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"colour": "blue"}, "no field 'colour'"),
        ({"version": 3}, "no field 'version'"),
        ({"prompt": "x" * LARGEST_BYTES}, "256 kB at most"),
        ({"prompt": "\ud800"}, "cannot be kept"),
        ({"silence_ms": 1 << 70}, "cannot be kept"),
        ({"silence_ms": float("nan")}, "cannot be kept"),
        ({"keypad": {"1": ["a\0"]}}, "NUL"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    engine: AsyncEngine, changes: dict[str, Any], why: str
) -> None:
    await publish_agent(engine, HELP)
    with pytest.raises(UserError, match=why):
        await save(engine, 0, **changes)


async def test_a_draft_may_be_wrong_but_not_answer(engine: AsyncEngine) -> None:
    await publish_agent(engine, HELP)
    await save(engine, 0, silence_ms=0)
    with pytest.raises(UserError, match="silence_ms"):
        await load_draft(engine, "help")
