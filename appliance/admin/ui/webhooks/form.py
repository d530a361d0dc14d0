"""A webhook, new or changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from appliance.admin.services.webhooks import ShownWebhook, WebhookWish
from appliance.admin.ui.page import View
from appliance.admin.ui.webhooks.words import event_words, include_words
from appliance.outreach.webhooks.events import Event, Include

EVERY = "*"
"""Every tenant's calls, in the list of tenants."""


class WebhookForm:
    """A dialog; what it was filled with goes to ``done``, whose refusals leave it open."""

    def __init__(
        self,
        view: View,
        before: ShownWebhook | None,
        tenants: Mapping[str, str],
        done: Callable[[WebhookWish], Awaitable[None]],
    ) -> None:
        self._view = view
        self._before = before
        self._tenants = tenants
        self._done = done

    def open(self) -> None:
        t, before = self._view.t, self._before
        with self._view.client, ui.dialog(value=True) as self._dialog, ui.card().classes("dialog"):
            ui.label(t("Change webhook") if before else t("New webhook")).classes("panel-title")
            self._name = ui.input(t("Name"), value=before.name if before else "")
            self._url = ui.input(t("URL"), value=before.url if before else "https://")
            for field in (self._name, self._url):
                field.props("outlined dense").classes("wide")
            self._url.classes("mono")
            self._tenant = self._tenant_select()
            ui.label(t("It is told when")).classes("form-head")
            chosen = set(before.events) if before else {Event.CALL_ENDED}
            self._events = _boxes({str(k): w for k, w in event_words(t).items()}, chosen)
            ui.label(t("Beside ids, times and figures it is told")).classes("form-head")
            self._include = _boxes(
                {str(k): w for k, w in include_words(t).items()},
                set(before.include) if before else set(),
            )
            self._enabled = ui.switch(t("On"), value=before.enabled if before else True)
            with ui.row().classes("dialog-buttons"):
                ui.button(t("Cancel"), on_click=self._dialog.close).props("flat")
                save = ui.button(t("Save"), on_click=self._view.act(self._save))
                save.props("unelevated")
        self._url.on("keydown.enter", self._view.act(self._save))
        self._dialog.on("hide", self._dialog.delete)

    def _tenant_select(self) -> ui.select | None:
        if self._before is not None or not self._tenants:
            return None
        t = self._view.t
        options = {EVERY: t("every tenant")} | dict(self._tenants)
        select = ui.select(options, value=EVERY, label=t("Whose calls"))
        return select.props("outlined dense").classes("wide")

    async def _save(self, _: Any = None) -> None:
        tenant = self._tenant.value if self._tenant is not None else EVERY
        wish = WebhookWish(
            url=self._url.value or "",
            events=tuple(str(event) for event in Event if self._events[event].value),
            name=self._name.value or "",
            include=tuple(str(item) for item in Include if self._include[item].value),
            enabled=bool(self._enabled.value),
            tenant=None if tenant == EVERY else tenant,
        )
        await self._done(wish)
        self._dialog.close()


def _boxes(words: Mapping[str, str], chosen: set[Any]) -> dict[str, ui.checkbox]:
    with ui.column().classes("form-boxes"):
        return {
            name: ui.checkbox(text, value=name in chosen).props("dense")
            for name, text in words.items()
        }
