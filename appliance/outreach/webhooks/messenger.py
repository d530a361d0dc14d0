"""Finds what is to be told, and tells it: each webhook at its own pace.

One run lasts most of a minute and is then begun anew by the clock of ``ivr jobs``. Whoever is slow, or
dead, holds up nobody but itself: it has two attempts under way at most, and the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError, reason_of
from appliance.outreach.webhooks import events, signing
from appliance.outreach.webhooks.backoff import wait_s
from appliance.outreach.webhooks.events import EndedCall, Event, FlagTold, Private
from appliance.outreach.webhooks.sending import GONE, Attempt, send
from appliance.settings import Settings
from appliance.store import outbox
from appliance.store.outbox import Due, NewDelivery, Tried, Untold
from appliance.store.webhooks import Delivery, Webhook, erase_old, get_delivery

RUN_S = 50.0
"""Of one run: a bit less than the clock's minute."""
LOOK_S = 2.0
"""Between two looks for what is new or due."""
SETTLED = timedelta(seconds=10)
"""A call that ended so lately may have been taken over by another worker: its row is about to live
again."""
USUAL_WINDOW = timedelta(hours=1)
"""Rows are written behind the call: mostly seconds, and minutes where Postgres was away."""
LATE_WINDOW = timedelta(days=7)
"""Looked at now and then: what a worker's disk kept while Postgres was away for long."""
TEST_WITHIN = timedelta(minutes=1)
"""Longer than an attempt takes: the messenger leaves a test to whoever asked for it."""
EACH = 2
"""Attempts under way for one webhook."""
MOST = 32
"""Attempts under way for all. When so many hang, each for ``sending.TIMEOUT_S`` at most, the next wait
for the first of them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a run did."""

    found: int = 0
    """Events put into the outbox."""
    delivered: int = 0
    failed: int = 0
    """Attempts that are to be repeated."""
    dead: int = 0
    """Deliveries that were given up."""


async def deliver(engine: AsyncEngine, settings: Settings) -> Delivered:
    """Find and send for ``RUN_S``, or not at all where there is no webhook."""
    return await Messenger(engine, settings).run(RUN_S)


async def find_late(engine: AsyncEngine, settings: Settings) -> int:
    """Put into the outbox what came very late, and erase what is long over; how many came."""
    async with engine.begin() as connection:
        await erase_old(connection)
        if not await outbox.any_enabled(connection):
            return 0
    return await find(engine, datetime.now(UTC), LATE_WINDOW)


async def find(engine: AsyncEngine, now: datetime, window: timedelta) -> int:
    """Put into the outbox what happened within ``window`` and was not yet; how many. Safe to run twice
    at once."""
    since, until = now - window, now - SETTLED
    async with engine.begin() as connection:
        untold = [
            *await outbox.untold_calls(
                connection, Event.CALL_ENDED, since, until, transferred=False
            ),
            *await outbox.untold_calls(
                connection, Event.CALL_TRANSFERRED, since, until, transferred=True
            ),
            *await outbox.untold_flags(connection, Event.CALL_FLAGGED, since, now),
        ]
        return len(await outbox.put(connection, [_delivery(one) for one in untold]))


_PAYLOADS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    Event.CALL_ENDED: lambda row: events.ended(EndedCall(**row)),
    Event.CALL_TRANSFERRED: lambda row: events.transferred(EndedCall(**row)),
    Event.CALL_FLAGGED: lambda row: events.flagged(FlagTold(**row)),
}


def _delivery(untold: Untold) -> NewDelivery:
    payload = _PAYLOADS[untold.event](untold.row)
    return NewDelivery(untold.webhook_id, untold.event, untold.subject, payload)


class Messenger:
    """One run."""

    def __init__(
        self, engine: AsyncEngine, settings: Settings, chance: Callable[[], float] = random.random
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._chance = chance
        self._under_way: dict[int, asyncio.Task[None]] = {}
        """By delivery; ``MOST`` at most."""
        self._over: set[int] = set()
        """Whose attempt ended while Postgres was asked what is due: its answer may be older."""
        self._of_webhook: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._freed = asyncio.Event()
        """An attempt is over: there is room for the next one."""

    async def run(self, run_s: float) -> Delivered:
        """Look for what is new and what is due every ``LOOK_S``; what is under way at the end is
        waited for. Raises SQLAlchemyError or OSError when Postgres is away: what was under way is
        then sent again some day, with the same id."""
        until = time.monotonic() + run_s
        async with asyncio.TaskGroup() as tasks:
            while await self._is_wanted():
                self._counts["found"] += await find(self._engine, datetime.now(UTC), USUAL_WINDOW)
                look_at = time.monotonic() + LOOK_S
                await self._begin(tasks)
                while await self._room_before(look_at):
                    await self._begin(tasks)
                if time.monotonic() + LOOK_S > until:
                    break
        counts = self._counts
        return Delivered(counts["found"], counts["delivered"], counts["failed"], counts["dead"])

    async def send_due(self) -> Delivered:
        """Send what is due now, once."""
        async with asyncio.TaskGroup() as tasks:
            await self._begin(tasks)
        counts = self._counts
        return Delivered(0, counts["delivered"], counts["failed"], counts["dead"])

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        self._over.clear()
        busy = [webhook for webhook, count in self._of_webhook.items() if count >= EACH]
        async with self._engine.connect() as connection:
            due = await outbox.due(connection, datetime.now(UTC), busy, EACH)
        for one in due:
            webhook_id = one.webhook.id
            if one.delivery.id in self._under_way or one.delivery.id in self._over:
                continue
            if self._of_webhook[webhook_id] >= EACH:
                continue
            if len(self._under_way) >= MOST:
                break
            self._of_webhook[webhook_id] += 1
            self._under_way[one.delivery.id] = tasks.create_task(self._one(one))

    async def _is_wanted(self) -> bool:
        async with self._engine.connect() as connection:
            return await outbox.any_enabled(connection)

    async def _room_before(self, at_s: float) -> bool:
        """Wait until an attempt is over: True; or until ``at_s``: False."""
        try:
            async with asyncio.timeout(max(0.0, at_s - time.monotonic())):
                await self._freed.wait()
        except TimeoutError:
            return False
        self._freed.clear()
        return True

    async def _one(self, due: Due) -> None:
        try:
            await self._try(due)
        except SQLAlchemyError as e:
            _log.warning("! delivery %d is sent again: %s", due.delivery.id, reason_of(e))
        finally:
            del self._under_way[due.delivery.id]
            self._over.add(due.delivery.id)
            self._of_webhook[due.webhook.id] -= 1
            self._freed.set()

    async def _try(self, due: Due) -> None:
        webhook, delivery = due.webhook, due.delivery
        attempt = await attempt_one(self._engine, self._settings, webhook, delivery)
        tried = _tried(delivery, attempt, self._chance())
        async with self._engine.begin() as connection:
            await outbox.note(connection, tried, datetime.now(UTC))
            if attempt.status == GONE:
                why = "The receiver answered 410: it wants no more."
                await outbox.switch_off(connection, webhook.id, why)
        what = {"waiting": "failed"}.get(tried.state, tried.state)
        self._counts[what] += 1
        if tried.error:
            _log.info(
                "= webhook %d, delivery %d, attempt %d: %s %s",
                *(webhook.id, delivery.id, delivery.attempts + 1, what, tried.status or ""),
            )


async def send_test(engine: AsyncEngine, settings: Settings, webhook: Webhook, by: str) -> Delivery:
    """Send ``webhook.test`` now and once, and write down what came of it. Raises SQLAlchemyError."""
    now = datetime.now(UTC)
    payload = events.test_payload(now, webhook.tenant, by)
    new = NewDelivery(webhook.id, events.TEST, secrets.token_hex(8), payload)
    async with engine.begin() as connection:
        delivery = await outbox.put_test(connection, new, now + TEST_WITHIN)
    attempt = await attempt_one(engine, settings, webhook, delivery)
    tried = _tried(delivery, attempt, 0.0)
    if not attempt.delivered:
        tried = replace(
            tried, state="dead"
        )  # whoever pressed the button sees why, and presses again
    async with engine.begin() as connection:
        await outbox.note(connection, tried, datetime.now(UTC))
        found = await get_delivery(connection, delivery.id, None)
    return found or delivery


async def attempt_one(
    engine: AsyncEngine, settings: Settings, webhook: Webhook, delivery: Delivery
) -> Attempt:
    """Send a delivery once; nothing is written down. Raises SQLAlchemyError."""
    try:
        valid = await asyncio.to_thread(valid_secrets, settings, webhook)
        payload = await _whole(engine, webhook, delivery)
    except UserError as e:
        return Attempt(error=str(e))
    body = events.body_of(payload)
    networks = settings.admin.webhook_networks
    return await send(webhook.url, networks, valid, message_id(delivery.id), body)


def message_id(delivery_id: int) -> str:
    """The header ``webhook-id``: the same for each attempt, so that a receiver can tell."""
    return f"msg_{delivery_id}"


def valid_secrets(settings: Settings, webhook: Webhook) -> list[str]:
    """With which it is signed now, the newest first. Raises UserError."""
    found = [signing.unseal(settings, webhook.secret)]
    until = webhook.old_secret_until
    if webhook.old_secret and until is not None and until > datetime.now(UTC):
        found.append(signing.unseal(settings, webhook.old_secret))
    return found


async def _whole(engine: AsyncEngine, webhook: Webhook, delivery: Delivery) -> dict[str, Any]:
    if not webhook.include or delivery.event not in set(Event):
        return delivery.payload
    async with engine.connect() as connection:
        if delivery.event == Event.CALL_FLAGGED:
            caller, words = await outbox.private_of_flag(connection, delivery.subject)
        else:
            call_id = str(delivery.payload["data"]["call_id"])
            caller, words = await outbox.private_of_call(connection, call_id)
    return events.with_private(delivery.payload, webhook.include, Private(caller, tuple(words)))


def _tried(delivery: Delivery, attempt: Attempt, chance: float) -> Tried:
    now = datetime.now(UTC)
    wait = None
    if attempt.delivered:
        state = "delivered"
    elif attempt.status == GONE:
        state = "dead"
    else:
        wait = wait_s(delivery.attempts + 1, chance, attempt.retry_after_s)
        state = "dead" if wait is None else "waiting"
    return Tried(
        delivery.id,
        state,
        now + timedelta(seconds=wait or 0),
        attempt.status,
        attempt.error,
        attempt.answer,
        attempt.took_ms,
    )
