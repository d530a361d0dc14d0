"""The numbers that are never called, as people look at them; ``ivr switch`` asks in ``outbound``.

Whoever put a number there, it is called for nobody; the people of a tenant see and remove what they put
there themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Text, any_, cast, delete, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.models import DoNotCallRow

BATCH = 1000
"""Numbers asked for in one query."""


@dataclass(frozen=True, slots=True)
class DoNotCallEntry:
    number: str
    reason: str
    added_at: datetime
    tenant: str
    """Empty: the operator's."""


async def list_do_not_call(
    connection: AsyncConnection, tenant: str | None, *, text: str = "", limit: int, offset: int
) -> list[DoNotCallEntry]:
    """What people of ``tenant`` added (None: everybody's), the latest first."""
    query = (
        select(*DoNotCallRow.__table__.columns)
        .where(*_listed(tenant, text))
        .order_by(DoNotCallRow.added_at.desc(), DoNotCallRow.number, DoNotCallRow.tenant)
        .limit(limit)
        .offset(offset)
    )
    return [DoNotCallEntry(**row) for row in (await connection.execute(query)).mappings()]


async def count_do_not_call(connection: AsyncConnection, tenant: str | None, text: str = "") -> int:
    query = select(func.count()).select_from(DoNotCallRow).where(*_listed(tenant, text))
    return int((await connection.execute(query)).scalar_one())


def _listed(tenant: str | None, text: str) -> list[ColumnElement[bool]]:
    which = [] if tenant is None else [DoNotCallRow.tenant == tenant]
    if text:
        which.append(
            or_(
                DoNotCallRow.number.contains(text, autoescape=True),
                DoNotCallRow.reason.icontains(text, autoescape=True),
            )
        )
    return which


async def remove_do_not_call(connection: AsyncConnection, number: str, tenant: str | None) -> int:
    """Take ``number`` (E.164) off what ``tenant`` added (None: whoever added it); rows that went."""
    which = [DoNotCallRow.number == number]
    if tenant is not None:
        which.append(DoNotCallRow.tenant == tenant)
    return (await connection.execute(delete(DoNotCallRow).where(*which))).rowcount


async def on_do_not_call(connection: AsyncConnection, numbers: Sequence[str]) -> set[str]:
    """Those of ``numbers`` (E.164) that nobody may call, whoever asked for it."""
    found: set[str] = set()
    for start in range(0, len(numbers), BATCH):
        some = numbers[start : start + BATCH]
        among = DoNotCallRow.number == any_(cast(list(some), ARRAY(Text)))
        query = select(DoNotCallRow.number).where(among).distinct()
        found |= set(await connection.scalars(query))
    return found
