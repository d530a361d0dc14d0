"""``/audit-log``: who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import audit
from appliance.store.audit_log import AuditSearch

router = APIRouter(prefix="/audit-log", tags=["audit log"])

Reader = Annotated[Actor, needs(Permission.AUDIT_READ)]
Word = Annotated[str, Query(max_length=200)]


class Expectation(BaseModel):
    """A head hash that was kept elsewhere."""

    model_config = ConfigDict(extra="forbid")
    expect: Annotated[str, StringConstraints(max_length=64)] = ""


class ShownRow(BaseModel):
    """One change, or one listening."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    at: datetime
    actor: str
    tenant: str | None
    address: str
    action: str
    subject: str
    detail: dict[str, Any]
    hash: str


class Rows(BaseModel):
    """A page of the log, the latest first."""

    rows: list[ShownRow]
    before: int | None
    """For the next page; null: this is the last."""


class ShownVerified(BaseModel):
    """What a walk along the chain found."""

    ok: bool
    rows: int
    first_bad: int | None
    why: str
    head: str
    """Keep it elsewhere: it tells later that nothing was cut off."""


@router.get("", summary="Search the audit log")
async def search(
    console: ConsoleOf,
    actor: Reader,
    who: Word = "",
    action: Word = "",
    subject: Word = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    before: Annotated[int | None, Query(ge=1, le=(1 << 63) - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=audit.MOST_ROWS)] = 50,
) -> Rows:
    """``who`` is a part of a name; ``action`` one (``call.listen``) or all of a noun (``call``)."""
    wanted = AuditSearch(
        actor=who, action=action, subject=subject, since=since, until=until, before=before
    )
    page = await audit.search(console, actor, wanted, limit)
    return Rows(rows=[ShownRow.model_validate(row) for row in page.rows], before=page.before)


@router.post("/verify", summary="Check the audit log")
async def verify(console: ConsoleOf, actor: Reader, body: Expectation) -> ShownVerified:
    """Which row was changed, removed or put elsewhere, if any. For the operator's staff."""
    found = await audit.verify(console, actor, body.expect)
    return ShownVerified(
        ok=not found.why, rows=found.rows, first_bad=found.first_bad, why=found.why,
        head=found.head,
    )  # fmt: skip
