"""The audit log, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance.access import audit
from appliance.access.actor import Actor, ForbiddenError
from appliance.access.audit import Verified
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.errors import UserError
from appliance.store import audit_log as store
from appliance.store.audit_log import AuditEntry, AuditSearch

MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The latest rows first."""

    rows: Sequence[AuditEntry]
    before: int | None
    """``before`` of the next page; None: this is the last."""


async def search(console: Console, actor: Actor, wanted: AuditSearch, limit: int = 50) -> AuditPage:
    """What was done in the actor's tenant; for the operator's staff everywhere."""
    actor.require(Permission.AUDIT_READ)
    if actor.tenant is not None:
        wanted = replace(wanted, tenant=actor.tenant)
    limit = min(max(limit, 1), MOST_ROWS)
    async with console.engine.connect() as connection:
        rows = await store.search(connection, wanted, limit + 1)
    page = rows[:limit]
    return AuditPage(page, page[-1].id if len(rows) > limit else None)


async def verify(console: Console, actor: Actor, expect: str = "") -> Verified:
    """Walk the whole chain. It is one for all tenants, so only the operator's staff may.

    Raises ForbiddenError; UserError: ``expect`` is no hash.
    """
    actor.require(Permission.AUDIT_READ)
    if actor.tenant is not None:
        raise ForbiddenError("The log is one for the whole box; the operator checks it.")
    expect = expect.strip().lower()
    if expect and not audit.is_hash(expect):
        raise UserError("A head hash has 64 digits and letters a-f.")
    return await audit.verify(console.engine, expect)
