"""Telephones and queues, below the trunks: their lists and dialogs."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import destinations
from appliance.admin.services import telephones as service
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View
from appliance.admin.ui.show import chip
from appliance.store.phonebook import Queue


class Telephones:
    """Two panels side by side, and who a destination would reach."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._may_edit = view.actor.may(Permission.TRUNKS_EDIT)

    async def draw(self) -> None:
        view, t = self._view, self._view.t
        with ui.element("div").classes("grid-2"):
            with ui.column().classes("panel"):
                self._head(t("Telephones"), t("New telephone"), self._add_extension)
                self._extensions = ui.column().classes("wide")
            with ui.column().classes("panel"):
                self._head(t("Queues"), t("New queue"), self._add_queue)
                self._queues = ui.column().classes("wide")
        with ui.column().classes("panel"):
            ui.label(t("Who would be rung?")).classes("panel-title")
            with ui.row().classes("toolbar"):
                to = ui.input(t("queue:NAME, extension, number or sip:…")).props("outlined dense")
                to.classes("grow")

                async def check() -> None:
                    found = await destinations.check(view.console, view.actor, to.value or "")
                    words = found.problem or " · ".join(
                        part
                        for part in (
                            t(found.kind), found.name,
                            t("rings up to {s} s").format(s=found.longest_s),
                        )
                        if part
                    )  # fmt: skip
                    said.set_text(words)
                    said.classes(
                        replace="notice notice--bad" if found.problem else "notice notice--good"
                    )

                to.on("keydown.enter", view.act(check))
                ui.button(t("Check"), icon="person_search", on_click=view.act(check)).props("flat")
            said = ui.label().props("role=status")
        await self._load()

    def _head(self, title: str, new: str, handler: Any) -> None:
        with ui.row().classes("toolbar"):
            ui.label(title).classes("panel-title").props("role=heading aria-level=2")
            ui.space()
            if self._may_edit:
                ui.button(new, icon="add", on_click=self._view.act(handler)).props("flat dense")

    async def _load(self) -> None:
        view, t = self._view, self._view.t
        extensions = await service.list_extensions(view.console, view.actor)
        queues = await service.list_queues(view.console, view.actor)
        self._extensions.clear()
        with self._extensions:
            if not extensions:
                ui.label(t("No telephones yet: people who take calls over need one.")).classes(
                    "muted"
                )
            for one in extensions:
                self._extension(one)
        self._queues.clear()
        with self._queues:
            if not queues:
                ui.label(t("No queues yet: people who share calls.")).classes("muted")
            for queue in queues:
                self._queue(queue)

    def _extension(self, one: service.ShownExtension) -> None:
        view, t = self._view, self._view.t
        with ui.row().classes("system-row"):
            ui.label(one.extension).classes("mono")
            ui.label(one.name).classes("system-name")
            chip(t("enabled") if one.enabled else t("disabled"), "good" if one.enabled else "")
            if not self._may_edit:
                return

            async def renew() -> None:
                question = t("Give {name} a new password? The old one stops working.")
                if await view.confirm(question.format(name=one.extension), t("New password")):
                    await self._save_extension(one.extension, one.name)

            async def enable() -> None:
                changed = await service.set_extension_enabled(
                    view.console, view.actor, one.extension, not one.enabled
                )
                view.notify(t(changed.in_force))
                await self._load()

            async def remove() -> None:
                question = t("Remove {name}?").format(name=one.extension)
                if await view.confirm(question, t("Remove"), danger=True):
                    gone = await service.remove_extension(view.console, view.actor, one.extension)
                    self._told(gone)
                    await self._load()

            toggle = "toggle_on" if one.enabled else "toggle_off"
            self._icon("key", t("New password of {name}"), one.extension, renew)
            self._icon(toggle, t("Enable or disable {name}"), one.extension, enable)
            self._icon("delete", t("Remove {name}"), one.extension, remove)

    def _queue(self, queue: Queue) -> None:
        view, t = self._view, self._view.t
        order = {"all": t("all at once"), "order": t("one after the other")}[queue.strategy]
        with ui.row().classes("system-row"):
            ui.label(queue.name).classes("mono")
            ui.label(", ".join(queue.members)).classes("system-name")
            ui.label(order).classes("muted")
            if not self._may_edit:
                return

            async def edit() -> None:
                self._queue_dialog(queue)

            async def remove() -> None:
                question = t("Remove {name}?").format(name=queue.name)
                if await view.confirm(question, t("Remove"), danger=True):
                    self._told(await service.remove_queue(view.console, view.actor, queue.name))
                    await self._load()

            self._icon("edit", t("Edit {name}"), queue.name, edit)
            self._icon("delete", t("Remove {name}"), queue.name, remove)

    def _icon(self, icon: str, words: str, name: str, handler: Any) -> None:
        button = ui.button(icon=icon, on_click=self._view.act(handler))
        button.props["aria-label"] = words.format(name=name)
        button.props("flat dense round size=sm")

    def _told(self, changed: service.Changed) -> None:
        self._view.notify(self._view.t(changed.in_force))
        for note in changed.notes:
            self._view.notify(note, "warning")

    async def _add_extension(self) -> None:
        view, t = self._view, self._view.t
        with titled(view, t("New telephone")) as dialog:
            number = ui.input(t("Extension: 2 to 6 digits")).props("outlined dense autofocus")
            name = ui.input(t("Whose it is")).props("outlined dense maxlength=200")

            async def save() -> None:
                await self._save_extension(number.value or "", name.value or "")
                dialog.close()

            buttons(view, dialog, t("Save"), save)

    async def _save_extension(self, extension: str, name: str) -> None:
        """Save, and show the password: this once."""
        view, t = self._view, self._view.t
        made = await service.save_extension(view.console, view.actor, extension, name)
        await self._load()
        with view.client, ui.dialog() as dialog, ui.card().classes("dialog"):
            ui.label(t("Set up the telephone with this. It is shown once.")).classes("panel-title")
            for words, value in (
                (t("User"), made.extension), (t("Domain"), made.domain),
                (t("Password"), made.password),
            ):  # fmt: skip
                with ui.row().classes("system-row"):
                    ui.label(words).classes("muted system-stage")
                    ui.label(value).classes("mono")
            with ui.row().classes("dialog-buttons"):
                ui.button(t("I have written it down"), on_click=dialog.close).props("unelevated")
        dialog.props("persistent").on("hide", dialog.delete)
        dialog.open()

    async def _add_queue(self) -> None:
        self._queue_dialog(None)

    def _queue_dialog(self, queue: Queue | None) -> None:
        view, t = self._view, self._view.t
        title = t("New queue") if queue is None else t("Edit {name}").format(name=queue.name)
        with titled(view, title) as dialog:
            name = ui.input(t("Name"), value=queue.name if queue else "")
            name.props("outlined dense maxlength=64").set_enabled(queue is None)
            members = ui.input(
                t("Members: extensions, numbers, sip:…, commas between"),
                value=", ".join(queue.members) if queue else "",
            ).props("outlined dense").classes("wide")  # fmt: skip
            strategy = ui.select(
                {"all": t("all at once"), "order": t("one after the other")}, label=t("They ring"),
                value=queue.strategy if queue else "all",
            ).props("outlined dense")  # fmt: skip
            ring = ui.number(t("Each rings for s"), value=queue.ring_s if queue else 20, min=3)
            wait = ui.number(t("Wait at most s"), value=queue.max_wait_s if queue else 120, min=5)
            for field in (ring, wait):
                field.props("outlined dense")

            async def save() -> None:
                people = tuple(m.strip() for m in (members.value or "").split(",") if m.strip())
                new = Queue(
                    name.value or "", people, strategy.value, int(ring.value or 0),
                    int(wait.value or 0),
                )  # fmt: skip
                self._told(await service.save_queue(view.console, view.actor, new))
                dialog.close()
                await self._load()

            buttons(view, dialog, t("Save"), save)
