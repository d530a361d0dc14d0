"""Two states of an agent side by side: what was there, and what is."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from appliance.admin.agents.diff import Change, Piece
from appliance.admin.ui.agents.fields import SPECS
from appliance.admin.ui.page import View

_SIGN = {"changed": "edit", "added": "add", "removed": "remove"}
_CHIP = {"changed": "chip--accent", "added": "chip--good", "removed": "chip--bad"}
LONGEST_SAME = 160
"""Letters of an unchanged stretch that are shown; of a longer one its two ends."""


def show_changes(view: View, changes: Sequence[Change], left: str, right: str) -> None:
    """One row a change, under the headings ``left`` and ``right``."""
    t = view.t
    if not changes:
        ui.label(t("Nothing is different.")).classes("muted")
        return
    with ui.element("div").classes("diff").props("role=table"):
        with ui.element("div").classes("diff-row diff-head").props("role=row"):
            for title in (t("Field"), left, right):
                ui.label(title).props("role=columnheader")
        for change in changes:
            _row(view, change)


def _row(view: View, change: Change) -> None:
    t = view.t
    with ui.element("div").classes("diff-row").props("role=row"):
        with ui.column().classes("diff-field").props("role=cell"):
            spec = SPECS.get(change.field)
            ui.label(t(spec.label) if spec else change.field).classes("diff-name")
            if change.entry:
                ui.label(change.entry).classes("muted mono")
            with ui.element("span").classes(f"chip {_CHIP[change.kind]}"):
                ui.icon(_SIGN[change.kind])
                ui.label(t(change.kind))
        _side(change.before, change.pieces, "removed", "diff-gone")
        _side(change.after, change.pieces, "added", "diff-new")


def _side(whole: str, pieces: Sequence[Piece], kind: str, mark: str) -> None:
    with ui.element("div").classes("diff-text").props("role=cell"):
        if not pieces:
            if whole:
                ui.label(whole).classes(mark)
            return
        mine = [piece for piece in pieces if piece.kind in ("same", kind)]
        for place, piece in enumerate(mine):
            if piece.kind == kind:
                ui.label(piece.text).classes(mark)
            else:
                ui.label(_ends(piece.text, place == 0, place == len(mine) - 1))


def _ends(text: str, first: bool, last: bool) -> str:
    """An unchanged stretch, without its middle where that is long."""
    if len(text) <= LONGEST_SAME:
        return text
    half = LONGEST_SAME // 2
    before = "" if first else text[:half]
    after = "" if last else text[-half:]
    return f"{before} … {after}"
