"""Webhooks and the log of their deliveries, as people see and change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, true, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.outreach_models import DeliveryRow, WebhookRow

HEALTH_DAYS = 1
KEPT_DAYS = 30
"""Deliveries that are over are erased so long after; dead ones too."""
MOST_REDELIVERED = 1000
"""Of one request."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that is told what happens."""

    id: int
    tenant: str | None
    name: str
    url: str
    secret: str
    """Encrypted."""
    old_secret: str
    old_secret_until: datetime | None
    events: tuple[str, ...]
    include: tuple[str, ...]
    enabled: bool
    why: str
    told_since: datetime
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Health:
    """How a webhook has been doing for ``HEALTH_DAYS``, and what is left."""

    delivered: int = 0
    waiting: int = 0
    """Not told yet, those among them that failed before included."""
    failing: int = 0
    """Of those that wait: tried at least once."""
    dead: int = 0
    """Given up, at whatever time."""
    last_delivered_at: datetime | None = None
    last_error: str = ""
    """Of the latest attempt that failed; empty where a later one did not."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook."""

    id: int
    webhook_id: int
    event: str
    subject: str
    payload: dict[str, Any]
    state: str
    attempts: int
    next_at: datetime
    status: int
    error: str
    answer: str
    took_ms: int
    created_at: datetime
    tried_at: datetime | None
    delivered_at: datetime | None


_WEBHOOK = tuple(WebhookRow.__table__.columns)
_DELIVERY = tuple(DeliveryRow.__table__.columns)


def webhook_of(row: Any) -> Webhook:
    """The webhook of a row that has all of its columns."""
    return Webhook(
        **(dict(row) | {"events": tuple(row["events"]), "include": tuple(row["include"])})
    )


def _theirs(tenant: str | None) -> ColumnElement[bool]:
    return true() if tenant is None else WebhookRow.tenant == tenant


async def list_webhooks(connection: AsyncConnection, tenant: str | None) -> list[Webhook]:
    """Those of ``tenant`` (None: all), the oldest first."""
    query = select(*_WEBHOOK).where(_theirs(tenant)).order_by(WebhookRow.id)
    return [webhook_of(row) for row in (await connection.execute(query)).mappings()]


async def get_webhook(
    connection: AsyncConnection, webhook_id: int, tenant: str | None, *, lock: bool = False
) -> Webhook | None:
    """None: there is none, or none of ``tenant``."""
    query = select(*_WEBHOOK).where(WebhookRow.id == webhook_id, _theirs(tenant))
    if lock:
        query = query.with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else webhook_of(row)


async def count_webhooks(connection: AsyncConnection, tenant: str | None) -> int:
    """How many belong to ``tenant``; of None: to the operator itself."""
    mine = WebhookRow.tenant.is_(None) if tenant is None else WebhookRow.tenant == tenant
    found = await connection.scalar(select(func.count()).select_from(WebhookRow).where(mine))
    return int(found or 0)


async def add_webhook(connection: AsyncConnection, values: dict[str, Any]) -> Webhook:
    statement = insert(WebhookRow).values(values).returning(*_WEBHOOK)
    return webhook_of((await connection.execute(statement)).mappings().one())


async def change_webhook(
    connection: AsyncConnection, webhook_id: int, values: dict[str, Any]
) -> Webhook:
    mine = WebhookRow.id == webhook_id
    statement = update(WebhookRow).where(mine).values(values).returning(*_WEBHOOK)
    return webhook_of((await connection.execute(statement)).mappings().one())


async def remove_webhook(connection: AsyncConnection, webhook_id: int) -> None:
    """With its deliveries."""
    await connection.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))


async def read_health(
    connection: AsyncConnection, ids: Sequence[int], now: datetime
) -> dict[int, Health]:
    """By webhook."""
    d = DeliveryRow
    since = now - timedelta(days=HEALTH_DAYS)
    counts = (
        select(
            d.webhook_id,
            func.count().filter(d.state == "delivered", d.delivered_at >= since).label("delivered"),
            func.count().filter(d.state == "waiting").label("waiting"),
            func.count().filter(d.state == "waiting", d.attempts > 0).label("failing"),
            func.count().filter(d.state == "dead").label("dead"),
            func.max(d.delivered_at).label("last_delivered_at"),
        )
        .where(d.webhook_id.in_(ids))
        .group_by(d.webhook_id)
    )
    latest = (
        select(d.webhook_id, d.error)
        .ext(distinct_on(d.webhook_id))
        .where(d.webhook_id.in_(ids), d.tried_at.is_not(None))
        .order_by(d.webhook_id, d.tried_at.desc())
    )
    errors = {row[0]: row[1] for row in await connection.execute(latest)}
    rows = (await connection.execute(counts)).mappings()
    return {
        row["webhook_id"]: Health(
            delivered=row["delivered"],
            waiting=row["waiting"],
            failing=row["failing"],
            dead=row["dead"],
            last_delivered_at=row["last_delivered_at"],
            last_error=errors.get(row["webhook_id"], ""),
        )
        for row in rows
    }


async def list_deliveries(
    connection: AsyncConnection,
    tenant: str | None,
    *,
    webhook_id: int | None = None,
    state: str = "",
    before_id: int | None = None,
    limit: int = 50,
) -> list[Delivery]:
    """The latest first; ``before_id``: those that come after it in that order."""
    query = select(*_DELIVERY).order_by(DeliveryRow.id.desc()).limit(limit)
    if tenant is not None:
        mine = select(WebhookRow.id).where(_theirs(tenant))
        query = query.where(DeliveryRow.webhook_id.in_(mine))
    if webhook_id is not None:
        query = query.where(DeliveryRow.webhook_id == webhook_id)
    if state:
        query = query.where(DeliveryRow.state == state)
    if before_id is not None:
        query = query.where(DeliveryRow.id < before_id)
    return [Delivery(**row) for row in (await connection.execute(query)).mappings()]


async def get_delivery(
    connection: AsyncConnection, delivery_id: int, tenant: str | None
) -> Delivery | None:
    """None: there is none, or none of ``tenant``'s webhooks."""
    query = (
        select(*_DELIVERY)
        .join(WebhookRow, WebhookRow.id == DeliveryRow.webhook_id)
        .where(DeliveryRow.id == delivery_id, _theirs(tenant))
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else Delivery(**row)


async def redeliver(
    connection: AsyncConnection, webhook_id: int, ids: Sequence[int] | None = None
) -> list[int]:
    """Have deliveries sent anew, with all their attempts before them: ``ids``, or all dead ones; at
    most ``MOST_REDELIVERED``. The ids of those that are."""
    d = DeliveryRow
    wanted = select(d.id).where(d.webhook_id == webhook_id)
    wanted = wanted.where(d.state == "dead" if ids is None else d.id.in_(ids))
    wanted = wanted.order_by(d.id).limit(MOST_REDELIVERED)
    statement = (
        update(d)
        .where(d.id.in_(wanted))
        .values(state="waiting", attempts=0, next_at=func.now(), delivered_at=None)
        .returning(d.id)
    )
    return sorted((await connection.execute(statement)).scalars())


async def erase_old(connection: AsyncConnection, now: datetime | None = None) -> int:
    """Deliveries that were over ``KEPT_DAYS`` ago; how many."""
    old = (now or datetime.now(UTC)) - timedelta(days=KEPT_DAYS)
    over = delete(DeliveryRow).where(DeliveryRow.state != "waiting", DeliveryRow.created_at < old)
    return (await connection.execute(over)).rowcount
