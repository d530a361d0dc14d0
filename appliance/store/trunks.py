"""Trunks, telephones, queues and numbers in Postgres, for call control and for its operator.

Synchronous: ``ivr switch`` is a gevent process and asks in native threads. Functions that change
something want a connection inside a transaction (``engine.begin()``).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, delete, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from appliance.errors import UserError
from appliance.events import Agent
from appliance.numbers import candidates, e164
from appliance.store.agents import LATEST, parse_agent
from appliance.store.base import Base
from appliance.store.knowledge_models import KnowledgeBaseRow
from appliance.store.models import (
    ANY_DID,
    AgentRow,
    ExtensionRow,
    NumberRow,
    QueueRow,
    TrunkRow,
)
from appliance.store.phonebook import (
    Extension,
    NumberRoute,
    Queue,
    Telephony,
    Trunk,
    check_extension,
    check_queue,
    check_trunk,
)

log = logging.getLogger(__name__)

_WATCHED = (
    "trunks", "extensions", "queues", "numbers", "agents", "agent_versions", "knowledge_bases",
)  # fmt: skip
_VERSION = text(
    "SELECT md5(string_agg(v, ',' ORDER BY v)) FROM ("
    + " UNION ALL ".join(
        f"SELECT '{table}:' || count(*) || ':' ||"
        f" coalesce(sum(hashtextextended(t.ctid::text || ' ' || t.xmin::text, 0)), 0) AS v"
        f" FROM {table} t"
        for table in _WATCHED
    )
    + ") AS versions"
)
"""Every insert, update and delete gives a row another place (ctid) or writer (xmin), or takes it
away; so no table needs a column for it, and no trigger. Wide columns are not read."""

_AGENTS = (
    select(
        AgentRow.id,
        AgentRow.name,
        LATEST.c.version,
        LATEST.c.config,
        func.coalesce(KnowledgeBaseRow.version, 0).label("knowledge_version"),
    )
    .select_from(AgentRow)
    .join(LATEST, true())
    .outerjoin(
        KnowledgeBaseRow,
        (KnowledgeBaseRow.name == LATEST.c.config["knowledge"].as_string())
        & (KnowledgeBaseRow.tenant == AgentRow.tenant),  # another tenant's base is none
    )
)
T = TypeVar("T")


def telephony_version(connection: Connection) -> str:
    """Something that changes with any trunk, extension, queue, number, agent or knowledge.

    One statement, some ms for 10 000 numbers; two equal answers mean that nothing has changed.
    """
    return str(connection.execute(_VERSION).scalar_one())


def load_telephony(connection: Connection) -> Telephony:
    """All of it, as of one moment: ``connection`` must not be inside a transaction yet.

    A row that breaks a rule, or a number whose agent is not published, is logged and left out.
    Raises DBAPIError when Postgres is away.
    """
    with connection.execution_options(isolation_level="REPEATABLE READ").begin():
        version = telephony_version(connection)
        agents = {agent.id: agent for agent in _agents(connection)}
        return Telephony(
            version=version,
            trunks=tuple(list_trunks(connection)),
            extensions={e.extension: e for e in list_extensions(connection)},
            queues={q.name: q for q in list_queues(connection)},
            numbers={n.did: n for n in _numbers(connection, agents)},
            agents=agents,
            tenants=_tenants(connection),
        )


def list_trunks(connection: Connection) -> list[Trunk]:
    """Every trunk, in the order in which calls try them."""
    return _read(connection, TrunkRow, (TrunkRow.priority, TrunkRow.name), _trunk)


def save_trunk(connection: Connection, trunk: Trunk) -> None:
    """Add ``trunk``, or put it in the place of the one of that name. Raises UserError."""
    _upsert(connection, TrunkRow, dataclasses.asdict(check_trunk(trunk)))


def set_trunk_enabled(connection: Connection, name: str, enabled: bool) -> bool:
    """False when there is no such trunk."""
    change = update(TrunkRow).where(TrunkRow.name == name).values(enabled=enabled)
    return connection.execute(change).rowcount > 0


def remove_trunk(connection: Connection, name: str) -> bool:
    """False when there is no such trunk."""
    return connection.execute(delete(TrunkRow).where(TrunkRow.name == name)).rowcount > 0


def list_extensions(connection: Connection) -> list[Extension]:
    return _read(connection, ExtensionRow, (ExtensionRow.extension,), _extension)


def save_extension(connection: Connection, extension: Extension) -> None:
    """Add ``extension``, or replace it (a new password). Raises UserError."""
    _upsert(connection, ExtensionRow, dataclasses.asdict(check_extension(extension)))


def remove_extension(connection: Connection, extension: str) -> bool:
    """False when there is no such extension."""
    gone = delete(ExtensionRow).where(ExtensionRow.extension == extension)
    return connection.execute(gone).rowcount > 0


def list_queues(connection: Connection) -> list[Queue]:
    return _read(connection, QueueRow, (QueueRow.name,), _queue)


def save_queue(connection: Connection, queue: Queue) -> None:
    """Add ``queue``, or replace it. Raises UserError."""
    _upsert(connection, QueueRow, dataclasses.asdict(check_queue(queue)))


def remove_queue(connection: Connection, name: str) -> bool:
    """False when there is no such queue."""
    return connection.execute(delete(QueueRow).where(QueueRow.name == name)).rowcount > 0


@dataclasses.dataclass(frozen=True, slots=True)
class NumberEntry:
    """A row of ``numbers`` as its operator sees it, whether or not the agent is published."""

    did: str
    agent_id: str
    hours: str = ""
    closed_text: str = ""
    closed_to: str = ""
    overflow_to: str = ""


def list_numbers(connection: Connection) -> list[NumberEntry]:
    return _read(connection, NumberRow, (NumberRow.did,), _entry)


def save_number(connection: Connection, entry: NumberEntry, country: str) -> NumberEntry:
    """Add or replace a number, in its normal form; the entry as it is stored.

    A row of the same number in another form is taken away. Raises UserError for a wrong agent.
    """
    did = ANY_DID if entry.did.strip() == ANY_DID else e164(entry.did, country)
    stored = dataclasses.replace(entry, did=did)
    others = [form for form in candidates(entry.did, country) if form != did]
    try:
        with connection.begin_nested():
            connection.execute(delete(NumberRow).where(NumberRow.did.in_(others)))
            _upsert(connection, NumberRow, dataclasses.asdict(stored))
    except IntegrityError as e:
        raise UserError(
            f"There is no agent {entry.agent_id}; publish it before it gets a number."
        ) from e
    return stored


def remove_number(connection: Connection, did: str, country: str) -> bool:
    """Take ``did`` away, in whatever form it is written or stored; False when there is none."""
    gone = delete(NumberRow).where(NumberRow.did.in_(candidates(did, country)))
    return connection.execute(gone).rowcount > 0


def _agents(connection: Connection) -> Iterable[Agent]:
    for row in connection.execute(_AGENTS.order_by(AgentRow.id)):
        own = {
            "id": row.id,
            "name": row.name,
            "version": row.version,
            "knowledge_version": row.knowledge_version,
        }
        try:
            yield parse_agent(row.config | own)
        except UserError as e:
            log.warning("! agent %s is left out: %s", row.id, e)


def _tenants(connection: Connection) -> dict[str, str]:
    return {row.id: row.tenant for row in connection.execute(select(AgentRow.id, AgentRow.tenant))}


def _numbers(connection: Connection, agents: dict[str, Agent]) -> Iterable[NumberRoute]:
    for entry in list_numbers(connection):
        agent = agents.get(entry.agent_id)
        if agent is None:
            log.warning("! number %s: its agent %s is not published", entry.did, entry.agent_id)
            continue
        yield NumberRoute(
            entry.did, agent, entry.hours, entry.closed_text, entry.closed_to, entry.overflow_to
        )


def _read(
    connection: Connection,
    model: type[Base],
    order: tuple[Any, ...],
    make: Callable[[Row[Any]], T],
) -> list[T]:
    found = []
    for row in connection.execute(select(*model.__table__.columns).order_by(*order)):
        try:
            found.append(make(row))
        except UserError as e:
            log.warning("! a row of %s is left out: %s", model.__tablename__, e)
    return found


def _upsert(connection: Connection, model: type[Base], values: dict[str, Any]) -> None:
    values = {key: list(x) if isinstance(x, tuple) else x for key, x in values.items()}
    keys = [column.name for column in model.__table__.primary_key]
    rest = {key: value for key, value in values.items() if key not in keys}
    statement = insert(model).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest))


def _trunk(row: Row[Any]) -> Trunk:
    return check_trunk(_made(Trunk, row))


def _extension(row: Row[Any]) -> Extension:
    return check_extension(_made(Extension, row))


def _queue(row: Row[Any]) -> Queue:
    return check_queue(_made(Queue, row))


def _entry(row: Row[Any]) -> NumberEntry:
    return _made(NumberEntry, row)


def _made(kind: Callable[..., T], row: Row[Any]) -> T:
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {name: x for name, x in row._mapping.items() if name in names}
    return kind(**{name: tuple(x) if isinstance(x, list) else x for name, x in values.items()})
