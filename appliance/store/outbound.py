"""Calls to be made, and the numbers that are never called. Synchronous, for ``ivr switch``."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    delete,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from appliance.errors import UserError
from appliance.numbers import e164, is_public
from appliance.store.models import DoNotCallRow, OutboundRow

OutboundState = Literal["waiting", "dialling", "talking", "done", "failed", "refused"]
UNDER_WAY: tuple[OutboundState, ...] = ("dialling", "talking")
OVER: tuple[OutboundState, ...] = ("done", "failed", "refused")
STATES: tuple[OutboundState, ...] = ("waiting", *UNDER_WAY, *OVER)
IMPORT_BATCH = 1000
CANCELLED = "CANCELLED"
LOST = "NETWORK_OUT_OF_ORDER"
"""Result of an attempt whose end nobody saw."""


@dataclasses.dataclass(frozen=True, slots=True)
class OutboundCall:
    """A call to be made; the columns of ``models.OutboundRow``. Times are aware."""

    id: str
    number: str
    agent_id: str
    state: OutboundState
    attempts: int
    """How often it was dialled, this time included."""
    max_attempts: int
    retry_after_s: int
    hours: str
    next_at: datetime
    result: str
    call_id: str
    trunk: str
    created_at: datetime
    ended_at: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class DoNotCall:
    number: str
    reason: str
    added_at: datetime
    tenant: str = ""
    """Whose people added it; empty: the operator's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt; may be stored late, and more than once (:func:`settle`)."""

    id: str
    attempt: int
    """``OutboundCall.attempts`` when it was taken from the list."""
    change: Literal["talking", "done", "failed", "refused", "retry", "postpone"]
    at: datetime
    """When it happened; of ``postpone``: when the call is due."""
    result: str = ""
    call_id: str = ""
    trunk: str = ""


_COLUMNS = tuple(OutboundRow.__table__.columns)


def enqueue(
    connection: Connection,
    number: str,
    agent_id: str,
    country: str,
    *,
    at: datetime | None = None,
    max_attempts: int = 3,
    retry_after_s: int = 900,
    hours: str = "",
) -> OutboundCall:
    """Put a call on the list, due at ``at`` (now). Whether it may be made is asked when it is due.

    Raises UserError: no public number, or no such agent.
    """
    if not is_public(number, country):
        raise UserError(f"{number!r} is no telephone number; write it like +919876543210.")
    if max_attempts < 1 or retry_after_s < 1:
        raise UserError("A call has one attempt at least, and some seconds between two.")
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "number": e164(number, country),
        "agent_id": agent_id,
        "max_attempts": max_attempts,
        "retry_after_s": retry_after_s,
        "hours": hours,
    }
    if at is not None:
        values["next_at"] = at
    try:
        with connection.begin_nested():
            row = connection.execute(insert(OutboundRow).values(values).returning(*_COLUMNS)).one()
    except IntegrityError as e:
        raise UserError(f"There is no agent {agent_id}.") from e
    return OutboundCall(**row._mapping)


def take_due(connection: Connection, now: datetime, limit: int) -> list[OutboundCall]:
    """Up to ``limit`` calls that are due, the longest due first; each is ``dialling`` from now on.

    Its ``attempts`` counts this one. Two processes never take the same call.
    """
    due = (
        select(OutboundRow.id)
        .where(OutboundRow.state == "waiting", OutboundRow.next_at <= now)
        .order_by(OutboundRow.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(OutboundRow)
        .where(OutboundRow.id.in_(due.scalar_subquery()))
        .values(state="dialling", attempts=OutboundRow.attempts + 1, result="", call_id="")
        .returning(*_COLUMNS)
    )
    calls = [OutboundCall(**row._mapping) for row in connection.execute(taken)]
    return sorted(calls, key=lambda call: call.next_at)


def begin_ringing(connection: Connection, call: OutboundCall, call_id: str) -> bool:
    """Note that ``call_id`` rings from now on; False, and nothing noted, for a number that is not to
    be called. Asked at the last moment: the number may have been put on that list since."""
    if do_not_call(connection, call.number):
        return False
    change = update(OutboundRow).where(OutboundRow.id == call.id)
    connection.execute(change.values(call_id=call_id))
    return True


def settle(connection: Connection, outcome: Outcome) -> bool:
    """Store ``outcome``; False when it is an attempt that has been settled otherwise since."""
    query = select(OutboundRow.state, OutboundRow.attempts).where(OutboundRow.id == outcome.id)
    row = connection.execute(query.with_for_update()).one_or_none()
    open_states = ("dialling",) if outcome.change == "talking" else UNDER_WAY
    if row is None or row.attempts != outcome.attempt or row.state not in open_states:
        return False
    places = {"call_id": outcome.call_id, "trunk": outcome.trunk}
    match outcome.change:
        case "talking":
            set_talking(connection, outcome.id, **places)
        case "retry":
            retry(connection, outcome.id, outcome.result, outcome.at, **places)
        case "postpone":
            postpone(connection, outcome.id, outcome.at, outcome.result)
        case "done" | "failed" | "refused":
            finish(
                connection, outcome.id, outcome.change, outcome.result, outcome.at, **places
            )  # fmt: skip
    return True


def cancel(connection: Connection, id_: str, at: datetime) -> bool:
    """Take a call that waits off the list; False when it does not wait (any more)."""
    waits = update(OutboundRow).where(OutboundRow.id == id_, OutboundRow.state == "waiting")
    gone = waits.values(state="refused", result=CANCELLED, ended_at=at)
    return connection.execute(gone).rowcount > 0


def set_talking(connection: Connection, id_: str, *, call_id: str, trunk: str) -> None:
    """Somebody, or something, has answered."""
    change = update(OutboundRow).where(OutboundRow.id == id_)
    connection.execute(change.values(state="talking", call_id=call_id, trunk=trunk))


def finish(
    connection: Connection,
    id_: str,
    state: Literal["done", "failed", "refused"],
    result: str,
    at: datetime,
    *,
    call_id: str = "",
    trunk: str = "",
) -> None:
    """The call is over and is not made again."""
    values = _known(call_id=call_id, trunk=trunk)
    change = update(OutboundRow).where(OutboundRow.id == id_)
    connection.execute(change.values(state=state, result=result, ended_at=at, **values))


def retry(
    connection: Connection,
    id_: str,
    result: str,
    at: datetime,
    *,
    call_id: str = "",
    trunk: str = "",
) -> OutboundState:
    """Nobody came: again after the row's own wait, or ``failed`` when its attempts are used up."""
    row = connection.execute(select(*_COLUMNS).where(OutboundRow.id == id_)).one_or_none()
    if row is None:
        return "failed"
    call = OutboundCall(**row._mapping)
    if call.attempts >= call.max_attempts:
        finish(connection, id_, "failed", result, at, call_id=call_id, trunk=trunk)
        return "failed"
    next_at = at + timedelta(seconds=call.retry_after_s)
    values = _known(call_id=call_id, trunk=trunk)
    change = update(OutboundRow).where(OutboundRow.id == id_)
    connection.execute(change.values(state="waiting", result=result, next_at=next_at, **values))
    return "waiting"


def postpone(connection: Connection, id_: str, next_at: datetime, result: str = "") -> None:
    """It may not be made now (hours, no free trunk): due at ``next_at``, no attempt counted."""
    change = update(OutboundRow).where(OutboundRow.id == id_)
    attempts = func.greatest(OutboundRow.attempts - 1, 0)
    connection.execute(
        change.values(state="waiting", next_at=next_at, attempts=attempts, result=result)
    )


def release_orphans(connection: Connection, living: Iterable[str], now: datetime) -> list[str]:
    """Rows that a dead process left under way, and not among ``living``: their ids.

    One that was being talked to is done, and not rung again. One that had not been rung yet is due at
    once. One that may have been rung has had its attempt, and waits its time for the next, if there
    is one left.
    """
    lost = OutboundRow.id.not_in(list(living))
    talked = update(OutboundRow).where(OutboundRow.state == "talking", lost)
    done = talked.values(state="done", ended_at=now, result=LOST)
    ids = list(connection.execute(done.returning(OutboundRow.id)).scalars())
    dialled = update(OutboundRow).where(OutboundRow.state == "dialling", lost)
    again = dialled.where(OutboundRow.call_id == "").values(
        state="waiting", attempts=func.greatest(OutboundRow.attempts - 1, 0), next_at=now
    )
    ids += connection.execute(again.returning(OutboundRow.id)).scalars()
    rung = select(OutboundRow.id).where(OutboundRow.state == "dialling", lost)
    for id_ in connection.execute(rung.with_for_update()).scalars().all():
        retry(connection, id_, LOST, now)
        ids.append(id_)
    return ids


def list_outbound(
    connection: Connection, *, states: Sequence[str] = (), limit: int = 100
) -> list[OutboundCall]:
    """The calls to be made and made, the latest first; all states, or only ``states``."""
    query = select(*_COLUMNS).order_by(OutboundRow.created_at.desc()).limit(limit)
    if states:
        query = query.where(OutboundRow.state.in_(states))
    return [OutboundCall(**row._mapping) for row in connection.execute(query)]


def read_outbound(connection: Connection, id_: str) -> OutboundCall | None:
    """The call of that id, or of the only id that begins so. Raises UserError: several do."""
    query = select(*_COLUMNS).where(OutboundRow.id.startswith(id_, autoescape=True)).limit(2)
    rows = connection.execute(query).all()
    if len(rows) > 1:
        raise UserError(f"{id_} is several calls; write more of the id.")
    return OutboundCall(**rows[0]._mapping) if rows else None


def do_not_call(connection: Connection, number: str) -> bool:
    """Whether ``number`` (E.164) is never to be called."""
    return bool(
        connection.execute(select(exists().where(DoNotCallRow.number == number))).scalar_one()
    )


def add_do_not_call(
    connection: Connection,
    numbers: Iterable[str],
    reason: str,
    country: str,
    tenant: str = "",
) -> int:
    """Add ``numbers``, each in its normal form, as ``tenant``'s people wish; how many were new. All or
    none.

    Raises UserError naming the first that is no public number.
    """
    forms = list(dict.fromkeys(_public(number, country) for number in numbers))
    added = 0
    for start in range(0, len(forms), IMPORT_BATCH):
        rows = [
            {"number": n, "reason": reason, "tenant": tenant}
            for n in forms[start : start + IMPORT_BATCH]
        ]
        statement = insert(DoNotCallRow).values(rows).on_conflict_do_nothing()
        added += len(connection.execute(statement.returning(DoNotCallRow.number)).all())
    return added


def remove_do_not_call(connection: Connection, number: str, country: str, tenant: str = "") -> bool:
    """Take off what ``tenant``'s people put there (empty: the operator); False: they did not."""
    gone = delete(DoNotCallRow).where(
        DoNotCallRow.number == e164(number, country), DoNotCallRow.tenant == tenant
    )
    return connection.execute(gone).rowcount > 0


def who_lists(connection: Connection, number: str) -> list[str]:
    """The tenants whose people do not want ``number`` (E.164) called; empty text: the operator."""
    query = select(DoNotCallRow.tenant).where(DoNotCallRow.number == number)
    return list(connection.scalars(query.order_by(DoNotCallRow.tenant)))


def list_do_not_call(
    connection: Connection, limit: int = 1000, tenant: str | None = None
) -> list[DoNotCall]:
    """The latest entries first; ``tenant`` None: everybody's."""
    columns = DoNotCallRow.__table__.columns
    query = select(*columns).order_by(DoNotCallRow.added_at.desc(), DoNotCallRow.number)
    if tenant is not None:
        query = query.where(DoNotCallRow.tenant == tenant)
    return [DoNotCall(**row._mapping) for row in connection.execute(query.limit(limit))]


def _public(number: str, country: str) -> str:
    if not is_public(number, country):
        raise UserError(f"{number!r} is no telephone number; write it like +919876543210.")
    return e164(number, country)


def _known(**texts: str) -> dict[str, str]:
    return {name: value for name, value in texts.items() if value}
