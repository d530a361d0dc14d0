"""The database behind the first answer: its version, pgvector, tables, clock, connections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State, Step
from appliance.ops.doctor.sentences import worded, words
from appliance.store.database import database_url, migrate
from appliance.store.health import Server, read_server, schema_revision
from appliance.store.schema import Phase, head_of, pending, revisions

LEAST_VERSION = 150_000
"""Postgres 15."""
LEAST_PGVECTOR = (0, 5)
"""HNSW."""
SKEW_WARNING_S, SKEW_BAD_S = 2.0, 60.0
CONNECTIONS_FULL = 0.9


async def look_at_server(box: Box) -> Sequence[Finding]:
    """Version, encoding, pgvector, connections, and its clock against ours."""
    async with box.engine.connect() as connection:
        server = await read_server(connection)
        ours = datetime.now(UTC)
    found = [*_versions(server), *_clock(server, ours), *_connections(server)]
    good = worded(
        "pgvector {version}, {mb} MB, clocks agree.",
        version=server.pgvector,
        mb=f"{server.bytes / 1e6:.0f}",
    )
    return found or [Finding("postgres", State.GOOD, good, detail={"bytes": server.bytes})]


def _versions(server: Server) -> list[Finding]:
    found = []
    if server.version < LEAST_VERSION:
        do = "Move to Postgres 15 or later; 18 comes with the appliance."
        what = worded("Postgres {version} is too old.", version=server.version // 10_000)
        found.append(Finding("postgres", State.BAD, what, do, code="old-postgres"))
    if server.encoding != "UTF8":
        do = "Make the database anew with ENCODING 'UTF8'; Hindi cannot be kept otherwise."
        found.append(
            Finding(
                "postgres",
                State.BAD,
                worded("The database's encoding is {encoding}.", encoding=server.encoding),
                do,
            )
        )
    if not server.pgvector:
        there = bool(server.pgvector_available)
        do = (
            "A superuser says CREATE EXTENSION vector in that database." if there else
            "Install it on that server: apt-get install postgresql-NN-pgvector; then CREATE EXTENSION"
            " vector."
        )  # fmt: skip
        found.append(Finding("postgres", State.BAD, "pgvector is not there.", do, code="pgvector"))
    elif tuple(int(part) for part in server.pgvector.split(".")[:2]) < LEAST_PGVECTOR:
        do = "Install a newer one, then: ALTER EXTENSION vector UPDATE."
        what = worded(
            "pgvector {version} is too old for our indexes (0.5).", version=server.pgvector
        )
        found.append(Finding("postgres", State.BAD, what, do, code="pgvector"))
    return found


def _clock(server: Server, ours: datetime) -> list[Finding]:
    skew_s = (server.now - ours).total_seconds()
    if abs(skew_s) < SKEW_WARNING_S:
        return []
    state = State.BAD if abs(skew_s) >= SKEW_BAD_S else State.WARNING
    way = words("ahead of" if skew_s > 0 else "behind")
    return [
        Finding(
            "postgres",
            state,
            worded(
                "The clock of Postgres is {seconds} s {way} ours.",
                seconds=f"{abs(skew_s):.0f}",
                way=way,
            ),
            "Have both machines follow one time server.",
            code="skew",
        )
    ]


def _connections(server: Server) -> list[Finding]:
    if server.connections < CONNECTIONS_FULL * server.most_connections:
        return []
    what = worded(
        "{taken} of {total} connections of Postgres are taken.",
        taken=server.connections,
        total=server.most_connections,
    )
    do = "Raise max_connections, or see who holds them (pg_stat_activity)."
    return [Finding("postgres", State.WARNING, what, do, code="connections")]


async def look_at_schema(box: Box) -> Sequence[Finding]:
    """The revision of the tables against the one that this version wants."""
    head = await asyncio.to_thread(head_of)
    async with box.engine.connect() as connection:
        there = await schema_revision(connection)
    if there == head:
        return [
            Finding(
                "schema",
                State.GOOD,
                worded("The tables are at {head}, as this version wants.", head=head),
            )
        ]
    if there and (found := await asyncio.to_thread(_between_releases, there)):
        return [found]
    if not there:
        do = "Run `ivr db upgrade` (or `ivr doctor --fix --yes`)."
        return [
            Finding("schema", State.BAD, "The database has no tables yet.", do, code="no-tables")
        ]
    do = (
        "Run `ivr db upgrade` (or `ivr doctor --fix --yes`). If a newer version wrote them, install"
        " that version instead."
    )
    what = worded("The tables are at {there}; this version wants {head}.", there=there, head=head)
    return [Finding("schema", State.BAD, what, do, detail={"there": there, "head": head})]


def _between_releases(there: str) -> Finding | None:
    """What is as an upgrade or a rollback leaves it (docs/upgrade.md); None: it is not."""
    known = revisions()
    if there not in {revision.id for revision in known}:
        what = worded(
            "The tables are at {there}, which a newer version brought; this one goes on with them.",
            there=there,
        )
        do = "After a rollback that is as it should be. Otherwise install the newer version."
        return Finding("schema", State.WARNING, what, do, code="newer-tables")
    left = pending(known, there)
    if any(revision.phase is not Phase.CONTRACT for revision in left):
        return None
    what = worded(
        "The tables are at {there}; {count} more revisions wait until no way back is wanted.",
        there=there,
        count=len(left),
    )
    return Finding("schema", State.GOOD, what, "`ivr upgrade --finish` applies them.")


async def fix_schema(box: Box) -> Sequence[Step]:
    """``ivr db upgrade``: only with --yes."""

    async def upgrade() -> None:
        await asyncio.to_thread(migrate, database_url(box.settings))

    return [Step("Bring the database's tables up to this version (ivr db upgrade)", upgrade, True)]


CHECKS = (
    Check(
        "postgres", "Postgres in detail", Group.DATABASE, look_at_server,
        how="asks version, extension, clock and connections",
    ),
    Check(
        "schema", "Tables", Group.DATABASE, look_at_schema, fix_schema,
        how="alembic_version against the migrations that are here",
    ),
)  # fmt: skip
