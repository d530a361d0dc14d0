"""``ivr audit-log``: who did what, and proof that nobody has changed it since."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import audit
from appliance.errors import UserError
from appliance.ops.calls import parse_since
from appliance.ops.console import print_json, print_table, short
from appliance.settings import Settings
from appliance.store import audit_log as store
from appliance.store.audit_log import AuditEntry, AuditSearch
from appliance.store.database import answer

QUERY_TIMEOUT_S = 10.0
VERIFY_TIMEOUT_S = 3600.0
"""Millions of rows."""
BROKEN_STATUS = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed; empty lets all through."""

    actor: str
    action: str
    subject: str
    since: str


def print_rows(settings: Settings, wanted: Wanted, limit: int, *, as_json: bool) -> None:
    """The latest first. Raises UserError."""
    since = parse_since(wanted.since, datetime.now(UTC)) if wanted.since else None
    search = AuditSearch(
        actor=wanted.actor, action=wanted.action, subject=wanted.subject, since=since
    )

    async def ask(engine: AsyncEngine) -> Sequence[AuditEntry]:
        async with engine.connect() as connection:
            return await store.search(connection, search, limit)

    rows = answer(settings, ask, QUERY_TIMEOUT_S)
    if as_json:
        print_json({"rows": [dataclasses.asdict(row) for row in rows]})
        return
    print_table(
        ("row", "when", "who", "from", "what", "to", "tenant", "details"),
        [
            (
                row.id, f"{row.at.astimezone():%Y-%m-%d %H:%M:%S}", row.actor, row.address,
                row.action, short(row.subject), row.tenant or "",
                short(orjson.dumps(row.detail).decode()) if row.detail else "",
            )
            for row in rows
        ],
        "Nothing of that kind was done.",
    )  # fmt: skip


def verify(settings: Settings, expect: str, *, as_json: bool) -> int:
    """Walk the chain; returns the exit status. Raises UserError."""
    expect = expect.strip().lower()
    if expect and not audit.is_hash(expect):
        raise UserError("--expect takes the whole head hash: 64 digits and letters a-f.")
    found = answer(settings, lambda engine: audit.verify(engine, expect), VERIFY_TIMEOUT_S)
    if as_json:
        print_json({"ok": not found.why} | dataclasses.asdict(found))
    else:
        print(found.why or f"All {found.rows} rows are as they were written.")
        print(f"Head: {found.head}")
    return BROKEN_STATUS if found.why else 0
