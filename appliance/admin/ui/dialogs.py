"""Dialogs: a title, what is asked for, *Cancel* and the button that does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from appliance.admin.ui.page import Handler, View


@contextmanager
def titled(view: View, title: str, classes: str = "dialog") -> Iterator[ui.dialog]:
    """A dialog that the block fills; it opens when the block is done, and is deleted once closed."""
    with view.client, ui.dialog() as dialog, ui.card().classes(classes):
        ui.label(title).classes("panel-title")
        yield dialog
    dialog.on("hide", dialog.delete)
    dialog.open()


def buttons(
    view: View, dialog: ui.dialog, yes: str, does: Handler, *, danger: bool = False
) -> ui.button:
    """*Cancel*, and the button that does it: this one is given back."""
    with ui.row().classes("dialog-buttons"):
        ui.button(view.t("Cancel"), on_click=dialog.close).props("flat")
        button = ui.button(yes, on_click=view.act(does))
        return button.props("unelevated color=negative" if danger else "unelevated")
