"""Agents in Postgres: published in versions, found by the number that was dialled."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Row, Text, cast, func, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent
from appliance.numbers import candidates, e164
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import ANY_DID, AgentRow, AgentVersionRow, NumberRow

log = logging.getLogger(__name__)

AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""It stands in file names and, dotted with its versions, in URLs of the recogniser."""

DEFAULT_COUNTRY = "IN"
"""As ``switch.country``."""

BOT_URL = re.compile(r"wss?://(?![^/]*@)[A-Za-z0-9.\-\[\]:_]{1,255}(?:[/?][!-~]{0,1000})?")
"""Of an external bot: nothing but a websocket, so that a call opens no other kind of door."""

MOST_PRONUNCIATIONS = 500
LONGEST_WRITTEN_LETTERS, LONGEST_SPELLING_LETTERS = 60, 200
"""Of one entry of ``pronunciations``. It is looked through for each phrase."""
MOST_SLOTS = 16
LONGEST_SLOT_LETTERS, LONGEST_DESCRIPTION_LETTERS = 40, 200
"""Of one entry of ``slots``. They stand in the prompt of each summary."""
LONGEST_CONTINUE_MINUTES = 1440
LONGEST_SHOWN_LETTERS = 80
"""Of a wrong value, in the sentence that says so."""

_FIELDS = frozenset(field.name for field in dataclasses.fields(Agent))
_ROW_FIELDS = frozenset({"id", "version", "name", "knowledge_version"})
"""Fields of Agent that have columns of their own; the rest is ``config``."""
CONFIG_FIELDS = _FIELDS - (_ROW_FIELDS - {"name"})
"""Fields that somebody writes who makes an agent."""
_AGENT = TypeAdapter(Agent)


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """A number (or ``*``) and the latest published version of the agent that answers it."""

    did: str
    agent: Agent


@dataclasses.dataclass(frozen=True, slots=True)
class WrongField:
    """What is wrong with a field of an agent, as the end of a sentence that begins with its name."""

    field: str
    text: str


def wrong_fields(fields: Mapping[str, Any]) -> list[WrongField]:
    """All that is wrong with an agent by itself, whatever the site has; empty for nothing.

    ``fields`` as read from JSON; unknown names are passed over.
    """
    return _read({name: value for name, value in fields.items() if name in _FIELDS})[1]


def _read(fields: Mapping[str, Any]) -> tuple[Agent | None, list[WrongField]]:
    """The agent, unless a type is wrong, and what is wrong with it."""
    try:
        agent = _AGENT.validate_json(orjson.dumps(fields), strict=True)
    except ValidationError as e:
        return None, [
            WrongField(".".join(map(str, x["loc"])), f"= {_short(x['input'])}: {x['msg']}.")
            for x in e.errors(include_url=False)
        ]
    return agent, _wrong_values(agent, fields)


def _wrong_values(agent: Agent, fields: Mapping[str, Any]) -> list[WrongField]:
    wrong = []
    for name, value in fields.items():
        if name.endswith(("_ms", "_s")) and value <= 0:
            wrong.append(WrongField(name, f"= {value}: a time must be greater than 0."))
        if name.endswith(("_days", "_minutes")) and value < 0:
            wrong.append(WrongField(name, f"= {value}: a time cannot be less than 0."))
    if agent.bot_url and not BOT_URL.fullmatch(agent.bot_url):
        text = "must be ws://HOST… or wss://HOST…, without user or password in it."
        wrong.append(WrongField("bot_url", text))
    if text := _wrong_pronunciation(agent.pronunciations):
        wrong.append(WrongField("pronunciations", text))
    if text := _wrong_slots(agent.slots):
        wrong.append(WrongField("slots", text))
    if agent.continue_minutes > LONGEST_CONTINUE_MINUTES:
        text = f"= {agent.continue_minutes}: at most {LONGEST_CONTINUE_MINUTES}, one day."
        wrong.append(WrongField("continue_minutes", text))
    if not AGENT_ID.fullmatch(agent.id):
        text = (
            "may hold only letters, digits, - and _, 64 at most, and begins with a letter or digit."
        )
        wrong.append(WrongField("id", text))
    return wrong


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN_LETTERS else text[:LONGEST_SHOWN_LETTERS] + "…"


def parse_agent(fields: Mapping[str, Any]) -> Agent:
    """``fields``, as read from JSON, as an Agent. Unknown names are logged and left out.

    Raises UserError naming the agent, the field and what is wrong with it.
    """
    who = f"Agent {fields.get('id', '?')} version {fields.get('version', '?')}"
    if unknown := sorted(set(fields) - _FIELDS):
        log.warning("! %s: ignored unknown fields %s", who, ", ".join(unknown))
    known = {name: value for name, value in fields.items() if name in _FIELDS}
    agent, wrong = _read(known)
    for first in wrong:
        what = "its id" if first.field == "id" else f"field {first.field}"
        raise UserError(f"{who}: {what} {first.text}")
    assert agent is not None
    return agent


def _wrong_slots(slots: Mapping[str, str]) -> str:
    """What is wrong with an agent's slots, as the end of a sentence; empty for nothing."""
    if len(slots) > MOST_SLOTS:
        return f"has {len(slots)} entries; {MOST_SLOTS} at most."
    for name, description in slots.items():
        if not name.strip() or not description.strip():
            return f"has an entry that is half empty: {name!r} = {description!r}; write both sides."
        if len(name) > LONGEST_SLOT_LETTERS or len(description) > LONGEST_DESCRIPTION_LETTERS:
            return (
                f"has an entry that is too long: {name[:LONGEST_SLOT_LETTERS]!r}; a name may have"
                f" {LONGEST_SLOT_LETTERS} letters and its description {LONGEST_DESCRIPTION_LETTERS}."
            )
    return ""


def _wrong_pronunciation(pronunciations: Mapping[str, str]) -> str:
    """What is wrong with an agent's dictionary, as the end of a sentence; empty for nothing."""
    if len(pronunciations) > MOST_PRONUNCIATIONS:
        return f"has {len(pronunciations)} entries; {MOST_PRONUNCIATIONS} at most."
    for written, spelling in pronunciations.items():
        if not written.strip() or not spelling.strip():
            return f"has an entry that is half empty: {written!r} = {spelling!r}; write both sides."
        if len(written) > LONGEST_WRITTEN_LETTERS or len(spelling) > LONGEST_SPELLING_LETTERS:
            return (
                f"has an entry that is too long: {written[:LONGEST_WRITTEN_LETTERS]!r}; a word may have"
                f" {LONGEST_WRITTEN_LETTERS} letters and its spelling {LONGEST_SPELLING_LETTERS}."
            )
    return ""


def agent_fields(agent: Agent) -> dict[str, Any]:
    """The inverse of :func:`parse_agent`."""
    fields = dataclasses.asdict(agent)
    return {name: list(x) if isinstance(x, tuple) else x for name, x in fields.items()}


LATEST = (
    select(AgentVersionRow.version, AgentVersionRow.config)
    .where(AgentVersionRow.agent_id == AgentRow.id)
    .order_by(AgentVersionRow.version.desc())
    .limit(1)
    .lateral("latest")
)
"""Joined to agents: the version that answers, the last one published."""
_ASSIGNMENTS = (
    select(
        NumberRow.did,
        AgentRow.id,
        AgentRow.name,
        LATEST.c.version,
        LATEST.c.config,
        func.coalesce(KnowledgeBaseRow.version, 0).label("knowledge_version"),
    )
    .join(AgentRow, AgentRow.id == NumberRow.agent_id)
    .join(LATEST, true())
    .outerjoin(
        KnowledgeBaseRow,
        (KnowledgeBaseRow.name == LATEST.c.config["knowledge"].as_string())
        & (KnowledgeBaseRow.tenant == AgentRow.tenant),  # another tenant's base is none
    )
)


def _assignment(row: Row[Any]) -> Assignment:
    own = {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "knowledge_version": row.knowledge_version,
    }
    return Assignment(row.did, parse_agent(row.config | own))


async def load_assignment(
    engine: AsyncEngine, did: str, country: str = DEFAULT_COUNTRY
) -> Assignment | None:
    """Who answers ``did``: the agent of that very number, of its E.164 form (read as dialled in
    ``country``) or another form of it, else of ``*``; None for nobody.

    A number whose agent has no published version counts as not assigned. One round trip.

    Raises UserError when the version's config is not an agent, DBAPIError when Postgres is away.
    """
    forms = [*candidates(did, country), ANY_DID]
    query = (
        _ASSIGNMENTS.where(NumberRow.did.in_(forms))
        .order_by(func.array_position(cast(forms, ARRAY(Text)), NumberRow.did))
        .limit(1)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return _assignment(row) if row else None


async def load_assignments(engine: AsyncEngine) -> list[Assignment]:
    """Every number that is answered; one whose agent cannot be read is logged and left out."""
    async with engine.connect() as connection:
        rows = (await connection.execute(_ASSIGNMENTS.order_by(NumberRow.did))).all()
    found = []
    for row in rows:
        try:
            found.append(_assignment(row))
        except UserError as e:
            log.warning("! number %s is left out: %s", row.did, e)
    return found


_PUBLISHED = (
    select(
        AgentRow.id,
        AgentRow.name,
        AgentVersionRow.version,
        AgentVersionRow.config,
        func.coalesce(KnowledgeBaseRow.version, 0).label("knowledge_version"),
        literal("").label("did"),
    )
    .join(AgentVersionRow, AgentVersionRow.agent_id == AgentRow.id)
    .outerjoin(
        KnowledgeBaseRow,
        (KnowledgeBaseRow.name == AgentVersionRow.config["knowledge"].as_string())
        & (KnowledgeBaseRow.tenant == AgentRow.tenant),
    )
)


async def load_agent(engine: AsyncEngine, agent_id: str, version: int = 0) -> Agent | None:
    """The agent ``agent_id`` in ``version``, or in its latest (0, and when there is no such
    version); None when it has none. One round trip.

    Raises UserError when the version's config is not an agent, DBAPIError when Postgres is away.
    """
    query = (
        _PUBLISHED.where(AgentRow.id == agent_id)
        .order_by((AgentVersionRow.version == version).desc(), AgentVersionRow.version.desc())
        .limit(1)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return _assignment(row).agent if row else None


async def load_agents(engine: AsyncEngine) -> list[Agent]:
    """Every agent in its latest version, with or without a number (a menu or a call that we make
    may lead to it); one that cannot be read is logged and left out."""
    query = _PUBLISHED.ext(distinct_on(AgentRow.id)).order_by(
        AgentRow.id, AgentVersionRow.version.desc()
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all()
    found = []
    for row in rows:
        try:
            found.append(_assignment(row).agent)
        except UserError as e:
            log.warning("! agent %s is left out: %s", row.id, e)
    return found


async def publish_agent(engine: AsyncEngine, agent: Agent, who: str = "", note: str = "") -> Agent:
    """As :func:`publish_in`, in a transaction of its own."""
    async with engine.begin() as connection:
        return await publish_in(connection, agent, who, note)


async def publish_in(
    connection: AsyncConnection, agent: Agent, who: str = "", note: str = ""
) -> Agent:
    """Publish ``agent`` (its ``version`` is ignored) as the next version; calls from now get it.
    ``note``: what was changed, in the words of ``who``.

    The same again is a no-op. Returns the agent with the version it has. Raises UserError when a
    field is wrong.
    """
    fields = agent_fields(parse_agent(agent_fields(agent)))
    config = {name: value for name, value in fields.items() if name not in _ROW_FIELDS}
    # the upsert locks the agent's row: two publishers never make the same version
    await connection.execute(
        insert(AgentRow)
        .values(id=agent.id, name=agent.name)
        .on_conflict_do_update(index_elements=[AgentRow.id], set_={"name": agent.name})
    )
    version = await _publish_config(connection, agent.id, config, who, note)
    knowledge = (
        select(KnowledgeBaseRow.version)
        .join(AgentRow, AgentRow.tenant == KnowledgeBaseRow.tenant)
        .where(KnowledgeBaseRow.name == agent.knowledge, AgentRow.id == agent.id)
    )
    knowledge_version = (await connection.execute(knowledge)).scalar_one_or_none() or 0
    return dataclasses.replace(agent, version=version, knowledge_version=knowledge_version)


async def _publish_config(
    connection: AsyncConnection, agent_id: str, config: dict[str, Any], who: str, note: str
) -> int:
    latest = (
        select(AgentVersionRow.version, AgentVersionRow.config)
        .where(AgentVersionRow.agent_id == agent_id)
        .order_by(AgentVersionRow.version.desc())
        .limit(1)
    )
    row = (await connection.execute(latest)).one_or_none()
    if row and row.config == config:
        return int(row.version)
    version = row.version + 1 if row else 1
    await connection.execute(
        insert(AgentVersionRow).values(
            agent_id=agent_id, version=version, config=config, published_by=who, note=note
        )
    )
    log.info("= agent %s version %d published", agent_id, version)
    return int(version)


async def set_number(
    engine: AsyncEngine, did: str, agent_id: str, country: str = DEFAULT_COUNTRY
) -> None:
    """Let ``agent_id`` answer ``did`` (``*``: every number without an agent of its own).

    A public number is stored in E.164, as read in ``country``. Raises UserError when there is no
    such agent.
    """
    statement = insert(NumberRow).values(did=e164(did, country), agent_id=agent_id)
    statement = statement.on_conflict_do_update(
        index_elements=[NumberRow.did], set_={"agent_id": agent_id}
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(statement)
    except IntegrityError as e:
        raise UserError(f"There is no agent {agent_id}; publish it before it gets a number.") from e
