"""``/webhooks``: who is told what happens, and how that goes."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import webhooks as service
from appliance.admin.services.webhooks import ShownWebhook, WebhookWish
from appliance.admin.ui.layout import crumbs, empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import ago, chip
from appliance.admin.ui.webhooks.form import WebhookForm
from appliance.admin.ui.webhooks.log import DeliveryLog
from appliance.admin.ui.webhooks.secret import show_secret
from appliance.admin.ui.webhooks.words import event_words, health_of, include_words


@page("/webhooks", Permission.WEBHOOKS_EDIT, "Webhooks")
async def webhooks_page(view: View, state: str = "") -> None:
    """The list, and under it the log of deliveries; ``state``: those alone."""
    await WebhooksPage(view).draw(state if state in service.STATES else "")


@page("/webhooks/{webhook_id}", Permission.WEBHOOKS_EDIT, "Webhook", nav="/webhooks")
async def webhook_page(view: View, webhook_id: int, state: str = "") -> None:
    """One webhook and its deliveries."""
    await WebhooksPage(view, webhook_id).draw(state if state in service.STATES else "")


class WebhooksPage:
    """All of theirs, or one, in one browser."""

    def __init__(self, view: View, webhook_id: int | None = None) -> None:
        self._view = view
        self._only = webhook_id

    async def draw(self, state: str) -> None:
        view, t = self._view, self._view.t
        with ui.row().classes("toolbar"):
            if self._only is None:
                ui.label(
                    t("Your other systems are told, signed and again until they have it.")
                ).classes("muted")
            else:
                here = crumbs("", (t("Webhooks"), "/webhooks"))
            ui.space()
            if self._only is None:
                new = ui.button(t("New webhook"), icon="add", on_click=view.act(self._new))
                new.props("unelevated")
        self._place = ui.column().classes("wide")
        found = await self._load()
        if not found:
            return
        names = {one.id: one.name or one.url for one in found}
        if self._only is not None:
            here.set_text(names.get(self._only, ""))
        with ui.column().classes("panel"):
            self._log = DeliveryLog(view, self._only, names)
            await self._log.draw(state)

    async def _load(self) -> tuple[ShownWebhook, ...]:
        view, t = self._view, self._view.t
        if self._only is None:
            found = await service.list_webhooks(view.console, view.actor)
        else:
            found = (await service.webhook(view.console, view.actor, self._only),)
        self._place.clear()
        with self._place:
            if not found:
                hint = t("A help desk or a CRM can be told when a call has ended, was flagged or"
                         " transferred.")  # fmt: skip
                empty("webhook", t("There is no webhook yet."), hint)
            with ui.element("div").classes("grid-2"):
                for one in found:
                    self._card(one)
        return found

    def _card(self, one: ShownWebhook) -> None:
        view, t = self._view, self._view.t
        words, includes = event_words(t), include_words(t)
        health, tone = health_of(one, t)
        with ui.column().classes("panel"):
            with ui.row().classes("toolbar"):
                ui.link(one.name or one.url, f"/webhooks/{one.id}").classes(
                    "panel-title webhook-name"
                )
                chip(health, tone)
                ui.space()
                self._buttons(one)
            ui.label(one.url).classes("mono webhook-url")
            with ui.row().classes("webhook-chips"):
                for event in one.events:
                    chip(words.get(event, event), "accent")
                for item in one.include:
                    chip(includes.get(item, item), "warn")
                if view.actor.tenant is None:
                    chip(one.tenant or t("every tenant"))
            self._figures(one)

    def _figures(self, one: ShownWebhook) -> None:
        t, health = self._view.t, one.health
        with ui.row().classes("webhook-figures num"):
            ui.label(t("{n} told in 24 hours").format(n=health.delivered))
            if health.waiting:
                ui.label(t("{n} waiting").format(n=health.waiting))
            if health.dead:
                words = t("{n} given up").format(n=health.dead)
                ui.link(words, f"/webhooks/{one.id}?state=dead").classes("bad")
            last = ago(self._view, health.last_delivered_at)
            if last:
                ui.label(t("last told {ago}").format(ago=last)).classes("muted")
        trouble = one.why or health.last_error
        if trouble:
            ui.label(t(trouble)).classes("notice notice--bad")

    def _buttons(self, one: ShownWebhook) -> None:
        view, t = self._view, self._view.t

        async def test() -> None:
            sent = await service.send_test(view.console, view.actor, one.id)
            if sent.state == "delivered":
                told = t("Delivered: status {n} after {ms} ms.")
                view.notify(told.format(n=sent.status, ms=sent.took_ms))
            else:
                view.notify(t(sent.error), "negative")
            await self._again()

        async def change() -> None:
            WebhookForm(view, one, {}, lambda wish: self._change(one.id, wish)).open()

        async def renew() -> None:
            question = t("Give {name} a new secret? The one now is valid for 24 hours more.")
            if await view.confirm(question.format(name=one.name or one.url), t("New secret")):
                made = await service.new_secret(view.console, view.actor, one.id)
                show_secret(view, made, renewed=True)

        async def remove() -> None:
            question = t("Remove {name} and the log of its deliveries?")
            sure = question.format(name=one.name or one.url)
            if await view.confirm(sure, t("Remove"), danger=True):
                await service.remove(view.console, view.actor, one.id)
                ui.navigate.to("/webhooks")

        actions: tuple[tuple[str, str, Any], ...] = (
            ("send", t("Send a test"), test), ("edit", t("Change"), change),
            ("vpn_key", t("New secret"), renew), ("delete", t("Remove"), remove),
        )  # fmt: skip
        for icon, words, handler in actions:
            button = ui.button(icon=icon, on_click=view.act(handler)).props("flat dense round")
            button.props(f'aria-label="{words}"')
            with button:
                ui.tooltip(words)

    async def _again(self) -> None:
        await self._load()
        await self._log.fill()

    async def _new(self) -> None:
        view = self._view
        theirs = await service.tenants_to_choose(view.console, view.actor)
        WebhookForm(view, None, theirs, self._create).open()

    async def _create(self, wish: WebhookWish) -> None:
        view = self._view
        made = await service.create(view.console, view.actor, wish)
        show_secret(view, made, renewed=False)
        with self._place:
            await self._load()

    async def _change(self, webhook_id: int, wish: WebhookWish) -> None:
        view = self._view
        await service.change(view.console, view.actor, webhook_id, wish)
        view.notify(view.t("Saved."))
        await self._load()
