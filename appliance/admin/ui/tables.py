"""Tables whose cells are templates of Vue."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from nicegui.slot import Slot


class SteadyTable(ui.table, component="steadytable.js"):
    """``ui.table`` whose cells stay what they are while the page around them changes.

    NiceGUI (3.18; its issue 6284) makes every template anew whenever anything on the page changes: a
    button that was pressed at that moment was another one when it was released, which is no click, and
    whoever walks through the page by keyboard was thrown out of the table.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._props["templates"] = {}

    def add_slot(self, name: str, template: str | None = None) -> Slot:
        """``template`` shows the cells of ``name``, with Quasar's ``props`` of them."""
        if template is None:
            return super().add_slot(name)
        self._props["templates"].setdefault(name, template)
        return self.default_slot
