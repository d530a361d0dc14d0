"""Drafts of agents in Postgres: what an agent shall become, until somebody publishes it.

Two people may have the same draft open: who saves says which ``revision`` they saw, and when it is no
longer that one they are told who was quicker, and nothing is written. A draft that has ended
(published, discarded) leaves its row behind with an empty ``config``: it tells who ended it, and its
revisions go on counting, so that none is ever taken for another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent
from appliance.store.agents import CONFIG_FIELDS, parse_agent
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import AgentDraftRow, AgentRow

LARGEST_BYTES = 256 << 10
"""Of a draft as JSON; the longest prompt that a language model is given here has some 30 kB."""

_OPEN: ColumnElement[bool] = AgentDraftRow.config != {}


@dataclass(frozen=True, slots=True)
class Draft:
    """An agent's draft, or where its last one ended."""

    agent_id: str
    fields: dict[str, Any]
    """Of Agent but for id and versions, by name; a value may be wrong. Empty: there is no draft."""
    based_on: int
    """The version that it was begun from (of one that ended: that it became); 0: none."""
    revision: int
    """0: there never was one."""
    updated_by: str
    updated_at: datetime


class DraftConflictError(UserError):
    """Somebody else was quicker; ``now`` is what stands there."""

    def __init__(self, now: Draft) -> None:
        at = f"{now.updated_at:%d %b %H:%M:%S} UTC"
        who = now.updated_by or "somebody"
        if now.fields:
            what = f"{who} changed this draft at {at}"
        elif now.based_on:
            what = f"{who} published this draft as version {now.based_on} at {at}"
        else:
            what = f"{who} discarded this draft at {at}"
        super().__init__(
            f"{what}, after you had opened it. Nothing of yours was saved: compare, then load theirs"
            " or save yours over it."
        )
        self.now = now


async def load_draft(engine: AsyncEngine, agent_id: str) -> Agent | None:
    """The draft of ``agent_id`` as the agent that answers whoever tries it: version 0, with the
    knowledge in force; None when there is none. One round trip.

    Raises UserError when it is not yet an agent (a field is wrong), DBAPIError when Postgres is away.
    """
    query = (
        select(
            AgentDraftRow.config,
            AgentRow.name,
            func.coalesce(KnowledgeBaseRow.version, 0).label("knowledge_version"),
        )
        .join(AgentRow, AgentRow.id == AgentDraftRow.agent_id)
        .outerjoin(
            KnowledgeBaseRow,
            (KnowledgeBaseRow.name == AgentDraftRow.config["knowledge"].as_string())
            & (KnowledgeBaseRow.tenant == AgentRow.tenant),  # another tenant's base is none
        )
        .where(AgentDraftRow.agent_id == agent_id, _OPEN)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    own = {"id": agent_id, "version": 0, "knowledge_version": row.knowledge_version}
    return parse_agent({"name": row.name} | row.config | own)


async def read_draft(connection: AsyncConnection, agent_id: str) -> Draft | None:
    """What stands there, also of a draft that ended; None: there never was one."""
    query = select(AgentDraftRow.__table__).where(AgentDraftRow.agent_id == agent_id)
    row = (await connection.execute(query)).one_or_none()
    return _draft(row) if row else None


async def save_draft(
    connection: AsyncConnection,
    agent_id: str,
    fields: dict[str, Any],
    seen: int,
    who: str,
    based_on: int,
) -> Draft:
    """Write the whole draft; the same again is no change. ``seen``: the revision that its author
    last saw (0: none); ``based_on`` holds for one that begins now.

    Raises DraftConflictError, and UserError for what is no draft. The agent's row has to be locked
    (``agent_views.lock_agent``): two who save at once are told apart.
    """
    check_fields(fields)
    now = await expect_draft(connection, agent_id, seen)
    if now is not None and now.fields:
        if now.fields == fields:
            return now
        based_on = now.based_on
    return await _write(connection, agent_id, fields, based_on, who)


async def end_draft(
    connection: AsyncConnection, agent_id: str, seen: int, who: str, version: int = 0
) -> Draft | None:
    """Discard the draft, or (``version``) note that it became that one. What it was; None: there
    was none. Raises DraftConflictError. The agent's row has to be locked."""
    was = await expect_draft(connection, agent_id, seen)
    if was is None or not was.fields:
        return None
    await _write(connection, agent_id, {}, version, who)
    return was


def check_fields(fields: dict[str, Any]) -> None:
    """Raises UserError where ``fields`` can not be kept: unknown names, what is no JSON, too much
    of it. Wrong values are let pass: nothing that somebody typed is lost."""
    if unknown := sorted(set(fields) - CONFIG_FIELDS):
        raise UserError(f"An agent has no field {', '.join(map(repr, unknown[:5]))}.")
    try:
        size = len(orjson.dumps(fields))
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError) as e:  # lone surrogates, numbers beyond 64 bit, no numbers
        raise UserError(f"The draft holds something that cannot be kept: {e}.") from e
    if size > LARGEST_BYTES:
        raise UserError(
            f"The draft has {size >> 10} kB; {LARGEST_BYTES >> 10} kB at most. Put long texts into"
            " the knowledge base."
        )
    if _has_nul(fields):
        raise UserError("The draft holds a NUL character; take it out.")


async def expect_draft(connection: AsyncConnection, agent_id: str, seen: int) -> Draft | None:
    """What stands there, if it is the revision ``seen``. Raises DraftConflictError."""
    now = await read_draft(connection, agent_id)
    # who saw no draft need not know of those that ended
    if now is not None and now.revision != seen and (now.fields or seen):
        raise DraftConflictError(now)
    return now


async def _write(
    connection: AsyncConnection, agent_id: str, fields: dict[str, Any], based_on: int, who: str
) -> Draft:
    values = {"config": fields, "based_on": based_on, "updated_by": who, "updated_at": func.now()}
    statement = (
        insert(AgentDraftRow)
        .values(agent_id=agent_id, **values)
        .on_conflict_do_update(
            index_elements=[AgentDraftRow.agent_id],
            set_=values | {"revision": AgentDraftRow.revision + 1},
        )
        .returning(AgentDraftRow.__table__)
    )
    return _draft((await connection.execute(statement)).one())


def _draft(row: Row[Any]) -> Draft:
    return Draft(
        row.agent_id, row.config, row.based_on, row.revision, row.updated_by, row.updated_at
    )


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))
