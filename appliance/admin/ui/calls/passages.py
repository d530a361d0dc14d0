"""A passage that an answer rests on: a chip with document and page, opened in a dialog."""

from __future__ import annotations

from nicegui import ui

from appliance.admin.ui.dialogs import titled
from appliance.admin.ui.page import View
from appliance.events import Passage

LONGEST_NAME_LETTERS = 40


def show_passage(view: View, passage: Passage) -> None:
    """The chip; cited ones stand out."""
    kind = "chip--accent" if passage.cited else ""
    chip = ui.button(on_click=lambda: open_passage(view, passage)).props("flat dense no-caps")
    chip.classes(f"chip chip-button {kind}")
    with chip:
        ui.icon("menu_book").props("size=12px")
        ui.label(place_of(view, passage)).classes("ellipsis")
    if passage.cited:
        chip.tooltip(view.t("The answer rests on this passage"))


def place_of(view: View, passage: Passage) -> str:
    """ "tariffs.pdf, page 3"."""
    name = passage.document
    if len(name) > LONGEST_NAME_LETTERS:
        name = f"…{name[-LONGEST_NAME_LETTERS:]}"
    if passage.page is None:
        return name
    return view.t("{document}, page {page}").format(document=name, page=passage.page)


def open_passage(view: View, passage: Passage) -> None:
    """Its whole text, in a dialog."""
    t = view.t
    with titled(view, place_of(view, passage), "dialog dialog--wide") as dialog:
        if passage.heading:
            ui.label(passage.heading).classes("passage-heading")
        ui.label(passage.text).classes("passage-text")
        with ui.row().classes("dialog-buttons"):
            ui.label(f"{t('score')} {passage.score:.3f}").classes("muted mono grow")
            ui.button(t("Close"), on_click=dialog.close).props("flat")
