"""What ``ivr doctor`` asks of Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.store.access_models import UserRow
from appliance.store.database import UNDEFINED_TABLE
from appliance.store.models import AgentRow, AgentVersionRow, CallRow, NumberRow
from appliance.store.outreach_models import DeliveryRow


@dataclass(frozen=True, slots=True)
class Server:
    """What the server says of itself."""

    version: int
    """As ``server_version_num``: 150004 is 15.4."""
    encoding: str
    now: datetime
    connections: int
    most_connections: int
    pgvector: str
    """Version installed in our database; empty: none."""
    pgvector_available: str
    """Version that the server could install; empty: none."""
    bytes: int
    """Size of our database."""


@dataclass(frozen=True, slots=True)
class People:
    """Who may log in to the console."""

    enabled: int
    operators: int
    """Enabled, with a password."""
    powerful_without_factor: tuple[str, ...]
    """Logins of operators and admins who have no second factor."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which numbers lead to an agent that can answer."""

    numbers: int
    agents: int
    """Published ones."""
    nowhere: tuple[tuple[str, str], ...]
    """Numbers whose agent has no published version: number, agent."""


async def schema_revision(connection: AsyncConnection) -> str:
    """The revision that the tables are at; empty: there are none yet."""
    try:
        async with connection.begin_nested():
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as e:
        if getattr(e.orig, "sqlstate", "") != UNDEFINED_TABLE:
            raise
        return ""
    return str(found or "")


async def read_server(connection: AsyncConnection) -> Server:
    """One round trip."""
    row = (
        await connection.execute(
            text(
                "SELECT current_setting('server_version_num')::int AS version,"
                " pg_encoding_to_char(encoding) AS encoding, clock_timestamp() AS now,"
                " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
                " AS connections, current_setting('max_connections')::int AS most_connections,"
                " coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), '')"
                " AS pgvector,"
                " coalesce((SELECT default_version FROM pg_available_extensions"
                " WHERE name = 'vector'), '') AS pgvector_available,"
                " pg_database_size(oid) AS bytes"
                " FROM pg_database WHERE datname = current_database()"
            )
        )
    ).mappings()
    return Server(**row.one())


async def read_people(connection: AsyncConnection) -> People:
    """Of the console's users."""
    rows = (
        await connection.execute(
            select(UserRow.login, UserRow.role, UserRow.password_hash != "", UserRow.totp_secret)
            .where(UserRow.enabled)
            .order_by(UserRow.login)
        )
    ).all()
    operators = [row for row in rows if row[1] == "operator" and row[2]]
    bare = tuple(row[0] for row in rows if row[1] in ("operator", "admin") and not row[3])
    return People(len(rows), len(operators), bare)


async def read_numbers(connection: AsyncConnection) -> Numbers:
    """Numbers and the agents behind them; bounded by what the operator made."""
    published = select(AgentVersionRow.agent_id).distinct()
    rows = await connection.execute(
        select(NumberRow.did, NumberRow.agent_id)
        .where(NumberRow.agent_id.not_in(published))
        .order_by(NumberRow.did)
    )
    numbers = await connection.scalar(select(func.count()).select_from(NumberRow))
    agents = await connection.scalar(
        select(func.count()).select_from(AgentRow).where(AgentRow.id.in_(published))
    )
    return Numbers(numbers or 0, agents or 0, tuple((did, agent) for did, agent in rows))


async def dead_deliveries(connection: AsyncConnection) -> int:
    """Deliveries of webhooks that were given up."""
    query = select(func.count()).select_from(DeliveryRow).where(DeliveryRow.state == "dead")
    return await connection.scalar(query) or 0


async def call_of_caller(engine: AsyncEngine, caller: str) -> str:
    """The id of the latest call of ``caller``; empty: there is none."""
    query = (
        select(CallRow.call_id)
        .where(or_(CallRow.caller == caller, CallRow.caller.contains(caller, autoescape=True)))
        .order_by(CallRow.started_at.desc())
        .limit(1)
    )
    async with engine.connect() as connection:
        return await connection.scalar(query) or ""
