"""A table of two columns in the editor of an agent; rows are added and taken away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from appliance.admin.agents.diff import shown
from appliance.admin.ui.agents.editing import Editing
from appliance.admin.ui.agents.fields import Spec
from appliance.admin.ui.page import View

OUTLINED = "outlined dense"
Say = Callable[[str], Awaitable[None]]
"""Plays a text in the agent's voice."""


class Pairs:
    """The rows of one field; ``draw`` them once."""

    def __init__(
        self, view: View, editing: Editing, spec: Spec, agents: Mapping[str, str], say: Say
    ) -> None:
        self._view, self._editing, self._spec, self._say = view, editing, spec, say
        self._agents = agents
        value = editing.fields.get(spec.name)
        pairs = value.items() if isinstance(value, Mapping) else ()
        self._rows = [[str(key), shown(item)] for key, item in pairs]

    @ui.refreshable_method
    def draw(self) -> None:
        t = self._view.t
        with ui.column().classes("agent-pairs"):
            for row in self._rows:
                self._row(row)
            if not self._rows:
                ui.label(t("No entry.")).classes("muted")
            if self._editing.may_edit:
                add = ui.button(t("Add"), icon="add", on_click=self._add)
                add.props("flat dense")

    def _row(self, row: list[str]) -> None:
        t, spec = self._view.t, self._spec
        with ui.row().classes("agent-pair"):
            key = ui.input(t(spec.columns[0]), value=row[0])
            key.props(OUTLINED).classes("agent-pair-key")
            key.on_value_change(lambda e: self._change(row, 0, e.value))
            if spec.name == "language_menu":
                options = dict(self._agents) | ({row[1]: row[1]} if row[1] else {})
                item: Any = ui.select(options, label=t(spec.columns[1]), value=row[1] or None)
            else:
                item = ui.input(t(spec.columns[1]), value=row[1])
            item.props(OUTLINED).classes("grow")
            item.on_value_change(lambda e: self._change(row, 1, e.value))
            if not self._editing.may_edit:
                key.disable()
                item.disable()
                return
            if spec.name == "pronunciations":
                play = ui.button(
                    icon="volume_up", on_click=self._view.act(lambda: self._say(row[0]))
                )
                play.props("flat round dense").props["aria-label"] = t(
                    "Listen, as on the telephone"
                )
            remove = ui.button(icon="close", on_click=lambda: self._remove(row))
            remove.props("flat round dense").props["aria-label"] = t("Take out")

    def _add(self) -> None:
        self._rows.append(["", ""])
        self.draw.refresh()

    def _remove(self, row: list[str]) -> None:
        self._rows = [other for other in self._rows if other is not row]
        self._tell()
        self.draw.refresh()

    def _change(self, row: list[str], column: int, value: str | None) -> None:
        row[column] = value or ""
        self._tell()

    def _tell(self) -> None:
        """A row of which nothing is written yet is nobody's entry."""
        pairs = {key: value for key, value in self._rows if key or value}
        self._editing.set(self._spec.name, pairs)
