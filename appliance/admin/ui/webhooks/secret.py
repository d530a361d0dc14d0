"""A webhook's secret, shown once."""

from __future__ import annotations

from nicegui import ui

from appliance.admin.services.webhooks import OLD_SECRET_H, WithSecret
from appliance.admin.ui.page import View


def show_secret(view: View, made: WithSecret, *, renewed: bool) -> None:
    """It is not in the database in a form that anybody could show again."""
    t = view.t
    with (
        view.client,
        ui.dialog(value=True).props("persistent") as dialog,
        ui.card().classes("dialog"),
    ):
        ui.label(t("The secret")).classes("panel-title")
        ui.label(
            t("Give it to the receiver, which checks with it that a message is ours. It is not shown"
              " again.")
        ).classes("help")  # fmt: skip
        with ui.row().classes("secret-row"):
            ui.label(made.secret).classes("mono secret").props("tabindex=0")
            copy = ui.button(icon="content_copy").props("flat dense round")
            copy.props(f'aria-label="{t("Copy")}"')
            copy.on_click(lambda: ui.clipboard.write(made.secret))
        if renewed:
            hours = t("For {n} hours messages are signed with the secret before too.")
            ui.label(hours.format(n=OLD_SECRET_H)).classes("help")
        with ui.row().classes("dialog-buttons"):
            ui.button(t("I have it"), on_click=dialog.close).props("unelevated")
    dialog.on("hide", dialog.delete)
