"""Webhooks: who is told what happens, how that goes, and what could not be delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import LARGEST_ID
from appliance.errors import UserError
from appliance.knowledge.fetching import shown
from appliance.outreach.webhooks import messenger, signing
from appliance.outreach.webhooks.events import Event, Include
from appliance.outreach.webhooks.sending import LONGEST_URL_CHARS, allowed
from appliance.store import users
from appliance.store import webhooks as store
from appliance.store.webhooks import Delivery, Health, Webhook

MOST_WEBHOOKS = 20
"""Of one tenant."""
LONGEST_NAME_LETTERS = 80
MOST_LISTED = 200
OLD_SECRET_H = 24
"""How long the secret before is valid beside a new one."""
STATES = ("waiting", "delivered", "dead")
NONE = "There is no such webhook."


@dataclass(frozen=True, slots=True)
class WebhookWish:
    """A webhook as somebody wants it."""

    url: str
    events: tuple[str, ...]
    name: str = ""
    include: tuple[str, ...] = ()
    enabled: bool = True
    tenant: str | None = None
    """Of an operator's: whose calls it is told of; None: every tenant's. Others have their own."""


@dataclass(frozen=True, slots=True)
class ShownWebhook:
    """A webhook without its secret, and how it is doing."""

    id: int
    name: str
    url: str
    tenant: str | None
    events: tuple[str, ...]
    include: tuple[str, ...]
    enabled: bool
    why: str
    """Why it was switched off by itself."""
    old_secret_until: datetime | None
    """Until then the secret before is valid too."""
    created_by: str
    created_at: datetime
    health: Health


@dataclass(frozen=True, slots=True)
class WithSecret:
    """A webhook and its secret, which is shown this once."""

    webhook: ShownWebhook
    secret: str


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, the latest first."""

    deliveries: tuple[Delivery, ...]
    next: int | None
    """``before`` of the page after it; None: this is the last."""


async def list_webhooks(console: Console, actor: Actor) -> tuple[ShownWebhook, ...]:
    """Theirs, the oldest first."""
    actor.require(Permission.WEBHOOKS_EDIT)
    async with console.engine.connect() as connection:
        found = await store.list_webhooks(connection, actor.tenant)
        return await _shown(connection, found)


async def webhook(console: Console, actor: Actor, webhook_id: int) -> ShownWebhook:
    """One of theirs. Raises NotFoundError."""
    actor.require(Permission.WEBHOOKS_EDIT)
    async with console.engine.connect() as connection:
        return (await _shown(connection, [await _theirs(connection, actor, webhook_id)]))[0]


async def tenants_to_choose(console: Console, actor: Actor) -> dict[str, str]:
    """Whose calls a webhook of the operator's may be told of: names by id; nothing to choose for
    others."""
    actor.require(Permission.WEBHOOKS_EDIT)
    if actor.tenant is not None:
        return {}
    async with console.engine.connect() as connection:
        return {one.id: one.name for one in await users.list_tenants(connection)}


async def create(console: Console, actor: Actor, wish: WebhookWish) -> WithSecret:
    """A new one. Raises UserError where its URL leads where none may."""
    actor.require(Permission.WEBHOOKS_EDIT)
    values = await _checked(console, actor, wish)
    secret = signing.new_secret()
    sealed = await asyncio.to_thread(signing.seal, console.settings, secret)
    async with console.engine.begin() as connection:
        tenant = await _tenant(connection, actor, wish)
        if await store.count_webhooks(connection, tenant) >= MOST_WEBHOOKS:
            raise UserError(f"There are {MOST_WEBHOOKS} webhooks already. Remove one first.")
        values |= {"tenant": tenant, "secret": sealed, "created_by": actor.name}
        made = await store.add_webhook(connection, values)
        (shown_one,) = await _shown(connection, [made])
        await _log(connection, actor, "webhook.create", made)
    return WithSecret(shown_one, secret)


async def change(
    console: Console, actor: Actor, webhook_id: int, wish: WebhookWish
) -> ShownWebhook:
    """All of it but its tenant and its secret. What happened while it was off, or before it wanted an
    event, is not told. Raises NotFoundError, UserError."""
    actor.require(Permission.WEBHOOKS_EDIT)
    async with console.engine.connect() as connection:
        await _theirs(connection, actor, webhook_id)
    values = await _checked(console, actor, wish)
    async with console.engine.begin() as connection:
        before = await _theirs(connection, actor, webhook_id, lock=True)
        if (wish.enabled and not before.enabled) or set(values["events"]) - set(before.events):
            values["told_since"] = datetime.now(UTC)
        if wish.enabled:
            values["why"] = ""
        made = await store.change_webhook(connection, webhook_id, values)
        (shown_one,) = await _shown(connection, [made])
        await _log(connection, actor, "webhook.change", made)
    return shown_one


async def remove(console: Console, actor: Actor, webhook_id: int) -> None:
    """With its deliveries. Raises NotFoundError."""
    actor.require(Permission.WEBHOOKS_EDIT)
    async with console.engine.begin() as connection:
        gone = await _theirs(connection, actor, webhook_id, lock=True)
        await store.remove_webhook(connection, webhook_id)
        await _log(connection, actor, "webhook.remove", gone)


async def new_secret(console: Console, actor: Actor, webhook_id: int) -> WithSecret:
    """Give it a new secret; for ``OLD_SECRET_H`` hours deliveries are signed with the one before too.
    Raises NotFoundError."""
    actor.require(Permission.WEBHOOKS_EDIT)
    secret = signing.new_secret()
    sealed = await asyncio.to_thread(signing.seal, console.settings, secret)
    async with console.engine.begin() as connection:
        before = await _theirs(connection, actor, webhook_id, lock=True)
        values = {
            "secret": sealed,
            "old_secret": before.secret,
            "old_secret_until": datetime.now(UTC) + timedelta(hours=OLD_SECRET_H),
        }
        made = await store.change_webhook(connection, webhook_id, values)
        (shown_one,) = await _shown(connection, [made])
        await _log(connection, actor, "webhook.new-secret", made)
    return WithSecret(shown_one, secret)


async def send_test(console: Console, actor: Actor, webhook_id: int) -> Delivery:
    """Send ``webhook.test`` now, once; what came of it. Raises NotFoundError."""
    actor.require(Permission.WEBHOOKS_EDIT)
    async with console.engine.begin() as connection:
        found = await _theirs(connection, actor, webhook_id)
        await _log(connection, actor, "webhook.test", found)
    return await messenger.send_test(console.engine, console.settings, found, actor.name)


async def deliveries(
    console: Console,
    actor: Actor,
    *,
    webhook_id: int | None = None,
    state: str = "",
    before: int | None = None,
    limit: int = 50,
) -> DeliveryPage:
    """The log, of one webhook or of all of theirs; ``state`` dead: what was given up."""
    actor.require(Permission.WEBHOOKS_EDIT)
    if state and state not in STATES:
        raise UserError(f"A delivery is {', '.join(STATES)}; choose one of these.")
    limit = min(max(limit, 1), MOST_LISTED)
    if before is not None:
        before = min(max(before, 0), LARGEST_ID)
    async with console.engine.connect() as connection:
        if webhook_id is not None:
            await _theirs(connection, actor, webhook_id)
        found = await store.list_deliveries(
            connection, actor.tenant, webhook_id=webhook_id, state=state, before_id=before,
            limit=limit + 1,
        )  # fmt: skip
    shown_ones = tuple(found[:limit])
    return DeliveryPage(shown_ones, shown_ones[-1].id if len(found) > limit else None)


async def redeliver(
    console: Console, actor: Actor, webhook_id: int, delivery_ids: Sequence[int] | None = None
) -> int:
    """Send deliveries anew, in a few seconds: ``delivery_ids``, or all that were given up (the oldest
    ``store.MOST_REDELIVERED``); how many. Raises NotFoundError, UserError."""
    actor.require(Permission.WEBHOOKS_EDIT)
    async with console.engine.begin() as connection:
        found = await _theirs(connection, actor, webhook_id, lock=True)
        if not found.enabled:
            raise UserError("This webhook is switched off. Switch it on first.")
        if delivery_ids is not None:
            delivery_ids = [one for one in delivery_ids if 0 < one <= LARGEST_ID]
        ids = await store.redeliver(connection, webhook_id, delivery_ids)
        if delivery_ids is not None and not ids:
            raise NotFoundError("There is no such delivery.")
        detail = {"deliveries": len(ids)}
        await audit.append(
            connection, actor, "webhook.redeliver", str(webhook_id), detail, found.tenant
        )
    return len(ids)


async def _theirs(
    connection: AsyncConnection, actor: Actor, webhook_id: int, *, lock: bool = False
) -> Webhook:
    found = None
    if 0 < webhook_id <= LARGEST_ID:
        found = await store.get_webhook(connection, webhook_id, actor.tenant, lock=lock)
    if found is None:
        raise NotFoundError(NONE)
    return found


async def _tenant(connection: AsyncConnection, actor: Actor, wish: WebhookWish) -> str | None:
    if actor.tenant is not None:
        return actor.tenant
    if wish.tenant is not None and not await users.tenant_exists(connection, wish.tenant):
        raise UserError("There is no such tenant.")
    return wish.tenant


async def _checked(console: Console, actor: Actor, wish: WebhookWish) -> dict[str, Any]:
    """The columns of ``wish``. Raises UserError."""
    url, name = wish.url.strip(), " ".join(wish.name.replace("\0", "").split())
    if len(url) > LONGEST_URL_CHARS or len(name) > LONGEST_NAME_LETTERS:
        raise UserError(
            f"A name has at most {LONGEST_NAME_LETTERS} letters, a URL {LONGEST_URL_CHARS}."
        )
    unknown = {*wish.events} - {*Event} | {*wish.include} - {*Include}
    if unknown:
        raise UserError(
            f"{', '.join(sorted(unknown))[:100]} is nothing that webhooks are told; they are told"
            f" {', '.join(Event)}, and may include {', '.join(Include)}."
        )
    if not wish.events:
        raise UserError("Choose at least one event that it is told.")
    if wish.include and not actor.may(Permission.CALLS_READ):
        raise ForbiddenError("Only who may read calls may have their words and numbers sent.")
    await allowed(url, console.settings.admin.webhook_networks)
    return {
        "url": url,
        "name": name,
        "events": [str(event) for event in Event if event in wish.events],
        "include": [str(item) for item in Include if item in wish.include],
        "enabled": wish.enabled,
    }


async def _shown(connection: AsyncConnection, found: Sequence[Webhook]) -> tuple[ShownWebhook, ...]:
    now = datetime.now(UTC)
    health = await store.read_health(connection, [one.id for one in found], now)
    return tuple(
        ShownWebhook(
            id=one.id,
            name=one.name,
            url=one.url,
            tenant=one.tenant,
            events=one.events,
            include=one.include,
            enabled=one.enabled,
            why=one.why,
            old_secret_until=one.old_secret_until
            if one.old_secret_until and one.old_secret_until > now
            else None,
            created_by=one.created_by,
            created_at=one.created_at,
            health=health.get(one.id, Health()),
        )
        for one in found
    )


async def _log(connection: AsyncConnection, actor: Actor, action: str, one: Webhook) -> None:
    detail = {
        "name": one.name,
        "url": shown(one.url),  # without its query, which may hold a password
        "events": one.events,
        "include": one.include,
        "enabled": one.enabled,
    }
    await audit.append(connection, actor, action, str(one.id), detail, one.tenant)
