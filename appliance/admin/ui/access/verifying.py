"""The audit log checked from its first row: what was found, and the hash to keep elsewhere."""

from __future__ import annotations

from nicegui import ui

from appliance.access.audit import Verified
from appliance.admin.services import audit as service
from appliance.admin.ui.dialogs import titled
from appliance.admin.ui.page import View


class Verifying:
    """A dialog that walks the chain."""

    def __init__(self, view: View) -> None:
        self._view = view

    def open(self) -> None:
        """Show it; it removes itself when it is closed."""
        view, t = self._view, self._view.t
        with titled(view, t("Check the audit log"), "dialog dialog--wide") as dialog:
            ui.label(
                t("Each row carries the hash of the one before. Changed, removed and moved rows are"
                  " found by themselves; whether the end was cut off tells only a head hash that"
                  " you kept elsewhere.")
            ).classes("help")  # fmt: skip
            self._expect = ui.input(t("Head hash that you kept (optional)"))
            self._expect.props("outlined dense maxlength=64").classes("mono wide")
            self._result = ui.column().classes("wide")
            with ui.row().classes("dialog-buttons"):
                ui.button(t("Close"), on_click=dialog.close).props("flat")
                self._button = ui.button(t("Check"), on_click=view.act(self._check))
                self._button.props("unelevated")

    async def _check(self) -> None:
        self._button.props("loading")
        try:
            found = await service.verify(
                self._view.console, self._view.actor, self._expect.value or ""
            )
        finally:
            self._button.props(remove="loading")
        self._result.clear()
        with self._result:
            self._show(found)

    def _show(self, found: Verified) -> None:
        view, t = self._view, self._view.t
        if found.why:
            ui.label(found.why).classes("notice notice--bad").props("role=alert")
            return
        well = t("All {n} rows are as they were written.").format(n=found.rows)
        ui.label(well).classes("notice notice--good").props("role=status")
        ui.label(t("Head hash, to keep elsewhere:")).classes("help")
        with ui.row().classes("once-line"):
            ui.label(found.head).classes("mono once-secret")

            async def copy() -> None:
                ui.clipboard.write(found.head)
                view.notify(t("Copied."))

            button = ui.button(icon="content_copy", on_click=view.act(copy))
            button.props("flat dense round").props["aria-label"] = t("Copy")
