"""The outbox of webhooks: what has happened and was not told yet, and what is due to be sent.

Nothing keeps a mark of how far it has read. The journal is written behind the calls, rows come minutes
late and out of order; so each sweep looks at a whole window again, and the key of a delivery (webhook,
event, subject) sees to it that nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Float, and_, cast, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.store.endings import COUNTS, TRANSFERRED
from appliance.store.models import AgentRow, CallRow, TurnRow
from appliance.store.outcomes import outcome_column
from appliance.store.outreach_models import DeliveryRow, WebhookRow
from appliance.store.review_models import FlagRow
from appliance.store.webhooks import Delivery, Webhook, webhook_of

MOST_AT_ONCE = 500
"""Events that one look puts into the outbox; the next look takes more."""


@dataclass(frozen=True, slots=True)
class Untold:
    """Something that a webhook wants to know and has no delivery for; ``row`` as the journal has it."""

    webhook_id: int
    event: str
    subject: str
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An event for a webhook, to be put into the outbox."""

    webhook_id: int
    event: str
    subject: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to be tried now."""

    webhook: Webhook
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of an attempt."""

    delivery_id: int
    state: str
    next_at: datetime
    status: int
    error: str
    answer: str
    took_ms: int


_SUBJECT = func.concat(CallRow.call_id, ".", CallRow.part)
"""A call that a person gave back, or another worker took over after its end, ends again: of each part
there is an end to tell."""
_CALL_FIELDS = (
    "call_id", "part", "direction", "did", "agent_id", "agent_version", "language", "started_at",
    "ended_at", "cause", "ended_by", "transferred_to", "transfer_reason", "turns", "continues",
)  # fmt: skip
_FLAG_FIELDS = (
    "at", "call_id", "turn", "agent_id", "agent_version", "found_by", "side", "rule", "category",
    "severity", "action", "state",
)  # fmt: skip


async def any_enabled(connection: AsyncConnection) -> bool:
    """Whether there is a webhook to be told anything."""
    query = select(WebhookRow.id).where(WebhookRow.enabled).limit(1)
    return await connection.scalar(query) is not None


def _wants(event: str, at: Any, subject: Any) -> Any:
    """On a row joined with AgentRow: webhooks that want ``event``, that were there when it happened and
    have no delivery for it."""
    told = (
        select(DeliveryRow.id)
        .where(
            DeliveryRow.webhook_id == WebhookRow.id,
            DeliveryRow.event == event,
            DeliveryRow.subject == subject,
        )
        .exists()
    )
    return and_(
        WebhookRow.enabled,
        WebhookRow.events.contains([event]),
        or_(WebhookRow.tenant.is_(None), WebhookRow.tenant == AgentRow.tenant),
        at >= WebhookRow.told_since,
        ~told,
    )


async def untold_calls(
    connection: AsyncConnection, event: str, since: datetime, until: datetime, *, transferred: bool
) -> list[Untold]:
    """Calls that ended from ``since`` to ``until``, with their figures; ``transferred``: only those
    that a person has."""
    wanted = (
        select(
            WebhookRow.id.label("webhook_id"),
            _SUBJECT.label("subject"),
            *(getattr(CallRow, name) for name in _CALL_FIELDS),
            AgentRow.tenant,
            outcome_column().label("outcome"),
        )
        .select_from(CallRow)
        .outerjoin(AgentRow, AgentRow.id == CallRow.agent_id)
        .join(WebhookRow, _wants(event, CallRow.ended_at, _SUBJECT))
        .where(CallRow.ended_at >= since, CallRow.ended_at < until, COUNTS)
        .order_by(CallRow.ended_at)
        .limit(MOST_AT_ONCE)  # also keeps the figures from being worked out for all the others
    )
    if transferred:
        wanted = wanted.where(TRANSFERRED)
    calls = wanted.subquery()
    figures = (
        select(
            func.count().filter(TurnRow.barged_in).label("barge_ins"),
            *(
                cast(func.percentile_cont(share).within_group(TurnRow.gap_ms), Float).label(name)
                for share, name in ((0.5, "gap_p50_ms"), (0.95, "gap_p95_ms"))
            ),
        )
        .where(TurnRow.call_id == calls.c.call_id)
        .lateral("figures")
    )
    flags = select(func.count()).where(FlagRow.call_id == calls.c.call_id).scalar_subquery()
    query = select(calls, figures, flags.label("flags")).join_from(
        calls, figures, figures.c.barge_ins >= 0
    )
    return [_untold(event, row) for row in (await connection.execute(query)).mappings()]


async def untold_flags(
    connection: AsyncConnection, event: str, since: datetime, until: datetime
) -> list[Untold]:
    """Flags of calls; those of golden questions are no call's."""
    query = (
        select(
            WebhookRow.id.label("webhook_id"),
            FlagRow.id.label("subject"),
            FlagRow.id.label("flag_id"),
            *(getattr(FlagRow, name) for name in _FLAG_FIELDS),
            AgentRow.tenant,
        )
        .select_from(FlagRow)
        .join(CallRow, CallRow.call_id == FlagRow.call_id)
        .outerjoin(AgentRow, AgentRow.id == FlagRow.agent_id)
        .join(WebhookRow, _wants(event, FlagRow.at, FlagRow.id))
        .where(FlagRow.at >= since, FlagRow.at < until, COUNTS)
        .order_by(FlagRow.at)
        .limit(MOST_AT_ONCE)
    )
    return [_untold(event, row) for row in (await connection.execute(query)).mappings()]


def _untold(event: str, row: Any) -> Untold:
    fields = dict(row)
    return Untold(fields.pop("webhook_id"), event, fields.pop("subject"), fields)


async def put(connection: AsyncConnection, deliveries: Sequence[NewDelivery]) -> list[int]:
    """Ids of those that were not there."""
    if not deliveries:
        return []
    rows = [
        {"webhook_id": d.webhook_id, "event": d.event, "subject": d.subject, "payload": d.payload}
        for d in deliveries
    ]
    statement = insert(DeliveryRow).values(rows).on_conflict_do_nothing().returning(DeliveryRow.id)
    return list((await connection.execute(statement)).scalars())


async def put_test(
    connection: AsyncConnection, delivery: NewDelivery, next_at: datetime
) -> Delivery:
    """A delivery that its maker sends at once; nobody else takes it before ``next_at``."""
    values = {"webhook_id": delivery.webhook_id, "event": delivery.event}
    values |= {"subject": delivery.subject, "payload": delivery.payload, "next_at": next_at}
    statement = insert(DeliveryRow).values(values).returning(*DeliveryRow.__table__.columns)
    return Delivery(**(await connection.execute(statement)).mappings().one())


async def due(
    connection: AsyncConnection, now: datetime, busy: Sequence[int], each: int
) -> list[Due]:
    """What is due now, at most ``each`` for a webhook, the oldest first; nothing for webhooks in
    ``busy``, nor what is under way already."""
    d = DeliveryRow
    mine = (
        select(d.id)
        .where(d.webhook_id == WebhookRow.id, d.state == "waiting", d.next_at <= now)
        .order_by(d.next_at, d.id)
        .limit(each)
        .correlate(WebhookRow)
        .lateral("mine")
    )
    query = (
        select(WebhookRow.__table__, *(c.label(f"d_{c.name}") for c in d.__table__.columns))
        .select_from(WebhookRow)
        .join(mine, literal(True))
        .join(d, d.id == mine.c.id)
        .where(WebhookRow.enabled, WebhookRow.id.not_in(list(busy)))
        .order_by(d.next_at, d.id)
    )
    found = []
    for row in (await connection.execute(query)).mappings():
        webhook = {key: row[key] for key in row if not key.startswith("d_")}
        delivery = {key.removeprefix("d_"): row[key] for key in row if key.startswith("d_")}
        found.append(Due(webhook_of(webhook), Delivery(**delivery)))
    return found


async def note(connection: AsyncConnection, tried: Tried, now: datetime) -> None:
    """Write down what came of an attempt."""
    d = DeliveryRow
    await connection.execute(
        update(d)
        .where(d.id == tried.delivery_id, d.state == "waiting")
        .values(
            state=tried.state,
            attempts=d.attempts + 1,
            next_at=tried.next_at,
            status=tried.status,
            error=tried.error,
            answer=tried.answer,
            took_ms=tried.took_ms,
            tried_at=now,
            delivered_at=now if tried.state == "delivered" else None,
        )
    )


async def switch_off(connection: AsyncConnection, webhook_id: int, why: str) -> None:
    """The receiver wants no more; what waits for it is given up."""
    mine = DeliveryRow.webhook_id == webhook_id
    await connection.execute(
        update(WebhookRow).where(WebhookRow.id == webhook_id).values(enabled=False, why=why)
    )
    await connection.execute(
        update(DeliveryRow).where(mine, DeliveryRow.state == "waiting").values(state="dead")
    )


async def private_of_call(
    connection: AsyncConnection, call_id: str
) -> tuple[str, list[dict[str, Any]]]:
    """The caller's number and what was said, as far as the journal has it."""
    caller = await connection.scalar(select(CallRow.caller).where(CallRow.call_id == call_id))
    query = (
        select(TurnRow.index, TurnRow.at, TurnRow.said, TurnRow.heard)
        .where(TurnRow.call_id == call_id)
        .order_by(TurnRow.index)
    )
    rows = (await connection.execute(query)).mappings()
    return caller or "", [dict(row) | {"at": row["at"].isoformat()} for row in rows]


async def private_of_flag(
    connection: AsyncConnection, flag_id: str
) -> tuple[str, list[dict[str, Any]]]:
    """The caller's number, and the words that were flagged."""
    query = (
        select(CallRow.caller, FlagRow.turn, FlagRow.phrase, FlagRow.question, FlagRow.answer)
        .select_from(FlagRow)
        .outerjoin(CallRow, CallRow.call_id == FlagRow.call_id)
        .where(FlagRow.id == flag_id)
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return "", []
    words = {key: row[key] for key in ("turn", "phrase", "question", "answer")}
    return row["caller"] or "", [words]
