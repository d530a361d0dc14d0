"""A new API key: its name, what it may do, how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import keys as service
from appliance.admin.ui.access.once import show_once
from appliance.admin.ui.access.scopes import scope_words
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View

DAYS = (30, 90, 365)


class KeyDialog:
    """A dialog that makes one key."""

    def __init__(self, view: View, reload: Callable[[], Awaitable[None]]) -> None:
        self._view = view
        self._reload = reload
        self._boxes: dict[Permission, ui.checkbox] = {}

    def open(self) -> None:
        """Show it; it removes itself when it is closed."""
        view, t = self._view, self._view.t
        lasts = {days: t("{n} days").format(n=days) for days in DAYS} | {0: t("Until revoked")}
        with titled(view, t("New API key"), "dialog dialog--wide") as dialog:
            self._dialog = dialog
            with ui.row().classes("toolbar"):
                self._name = ui.input(t("What is it for?"))
                self._name.props("outlined dense autofocus maxlength=80").classes("grow")
                self._lasts = ui.select(lasts, label=t("Lasts"), value=DAYS[1])
                self._lasts.props("outlined dense").classes("key-lasts")
            ui.label(
                t("It may do what you choose here, as long as you may do it yourself.")
            ).classes("help")
            with ui.element("div").classes("scopes"):
                for group, words in scope_words(t):
                    self._group(group, {p: w for p, w in words.items() if view.actor.may(p)})
            buttons(view, dialog, t("Make the key"), self._make)

    def _group(self, name: str, words: dict[Permission, str]) -> None:
        if not words:
            return
        with ui.element("fieldset").classes("scope-group"):
            with ui.element("legend").classes("scope-name"):
                ui.label(name)
            for permission, text in words.items():
                self._boxes[permission] = ui.checkbox(text).props("dense")

    async def _make(self) -> None:
        view, t = self._view, self._view.t
        days = self._lasts.value
        expires = datetime.now(UTC) + timedelta(days=days) if days else None
        scopes = frozenset(p for p, box in self._boxes.items() if box.value)
        made = await service.create_key(
            view.console, view.actor, self._name.value or "", scopes, expires
        )
        self._dialog.close()
        note = t("Send it as: Authorization: Bearer KEY. It is not shown again.")
        show_once(view, t("Your new key"), note, [made.secret])
        await self._reload()
