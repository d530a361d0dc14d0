"""Webhooks over HTTP: who is told what happens, and how that goes."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import webhooks as service
from appliance.admin.services.theirs import LARGEST_ID
from appliance.admin.services.webhooks import (
    DeliveryPage,
    ShownWebhook,
    WebhookWish,
    WithSecret,
)
from appliance.outreach.webhooks.events import Event, Include
from appliance.outreach.webhooks.sending import LONGEST_URL_CHARS
from appliance.store.webhooks import MOST_REDELIVERED, Delivery

router = APIRouter(prefix="/webhooks", tags=["Webhooks"])

Editor = Annotated[Actor, needs(Permission.WEBHOOKS_EDIT)]
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Name = Annotated[str, Field(max_length=service.LONGEST_NAME_LETTERS)]


class WebhookBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=1, max_length=LONGEST_URL_CHARS)
    """Where it is told: https, or http inside `admin.webhook_networks`."""
    events: list[Event] = Field(min_length=1, max_length=len(Event))
    name: Name = ""
    include: list[Include] = Field([], max_length=len(Include))
    """What it is told beside ids, times and figures."""
    enabled: bool = True

    def wish(self, tenant: str | None = None) -> WebhookWish:
        return WebhookWish(
            self.url, tuple(self.events), self.name, tuple(self.include), self.enabled, tenant
        )


class NewWebhook(WebhookBody):
    tenant: str | None = Field(None, max_length=64)
    """Whose calls it is told of; an operator's alone to say, and null is every tenant's."""


class RedeliverBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deliveries: (
        Annotated[
            list[Annotated[int, Field(ge=1, le=LARGEST_ID)]],
            Field(min_length=1, max_length=MOST_REDELIVERED),
        ]
        | None
    ) = None
    """Which; null: all that were given up."""


class Redelivered(BaseModel):
    deliveries: int


@router.get("")
async def list_webhooks(console: ConsoleOf, actor: Editor) -> list[ShownWebhook]:
    """Your webhooks, with how each is doing."""
    return list(await service.list_webhooks(console, actor))


@router.post("", status_code=201)
async def add_webhook(console: ConsoleOf, actor: Editor, body: NewWebhook) -> WithSecret:
    """A new webhook. The secret that its deliveries are signed with is shown in this answer alone."""
    return await service.create(console, actor, body.wish(body.tenant))


@router.get("/deliveries")
async def list_deliveries(
    console: ConsoleOf,
    actor: Editor,
    webhook: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    state: Literal["", "waiting", "delivered", "dead"] = "",
    before: Annotated[int | None, Query(ge=0, le=LARGEST_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=service.MOST_LISTED)] = 50,
) -> DeliveryPage:
    """What was told, the latest first; `state=dead`: what was given up. `next` is the `before` of the
    page after it."""
    return await service.deliveries(
        console, actor, webhook_id=webhook, state=state, before=before, limit=limit
    )


@router.get("/{webhook_id}")
async def get_webhook(console: ConsoleOf, actor: Editor, webhook_id: Id) -> ShownWebhook:
    """One webhook."""
    return await service.webhook(console, actor, webhook_id)


@router.put("/{webhook_id}")
async def change_webhook(
    console: ConsoleOf, actor: Editor, webhook_id: Id, body: WebhookBody
) -> ShownWebhook:
    """Change it, or switch it off and on."""
    return await service.change(console, actor, webhook_id, body.wish())


@router.delete("/{webhook_id}", status_code=204)
async def remove_webhook(console: ConsoleOf, actor: Editor, webhook_id: Id) -> None:
    """Remove it with the log of its deliveries."""
    await service.remove(console, actor, webhook_id)


@router.post("/{webhook_id}/secret")
async def new_secret(console: ConsoleOf, actor: Editor, webhook_id: Id) -> WithSecret:
    """A new secret; the one before stays valid for 24 hours beside it."""
    return await service.new_secret(console, actor, webhook_id)


@router.post("/{webhook_id}/test")
async def send_test(console: ConsoleOf, actor: Editor, webhook_id: Id) -> Delivery:
    """Send `webhook.test` now and once, and say what came of it."""
    return await service.send_test(console, actor, webhook_id)


@router.post("/{webhook_id}/redeliver")
async def redeliver(
    console: ConsoleOf, actor: Editor, webhook_id: Id, body: RedeliverBody
) -> Redelivered:
    """Send deliveries anew, with all their attempts before them."""
    count = await service.redeliver(console, actor, webhook_id, body.deliveries)
    return Redelivered(deliveries=count)
