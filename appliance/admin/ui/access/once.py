"""A secret that is shown once: to read, to copy, and then gone."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from appliance.admin.ui.page import View


def show_once(view: View, title: str, note: str, secrets: Sequence[str]) -> None:
    """``title`` and ``note`` in the person's language. Esc does not close it: it is not shown again."""
    t = view.t
    with view.client, ui.dialog().props("persistent") as dialog, ui.card().classes("dialog"):
        ui.label(title).classes("panel-title")
        ui.label(note).classes("help")
        with ui.column().classes("once"):
            for secret in secrets:
                ui.label(secret).classes("mono once-secret")
        with ui.row().classes("dialog-buttons"):

            async def copy() -> None:
                ui.clipboard.write("\n".join(secrets))
                view.notify(t("Copied."))

            ui.button(t("Copy"), icon="content_copy", on_click=view.act(copy)).props("flat")
            done = ui.button(t("I have kept it"), on_click=dialog.close)
            done.props("unelevated autofocus")
    dialog.on("hide", dialog.delete)
    dialog.open()
