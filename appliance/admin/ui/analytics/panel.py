"""A chart with the same figures as a table, and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from appliance.admin.csvtext import BYTE_ORDER_MARK, csv_lines
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View
from appliance.admin.ui.tables import SteadyTable

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Figures in rows; the first column is what they are of."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]


def panel(
    view: View,
    title: str,
    help_text: str,
    options: dict[str, Any],
    table: Table,
    *,
    file: str,
    tall: bool = False,
) -> None:
    """``title`` and ``help_text`` as they are shown; ``file``: the name of the CSV, without its end."""
    with ui.column().classes("panel chart-panel"):
        shown = _head(view, title, help_text, table, file, switch=bool(table.rows))
        if not table.rows:
            nothing(view)
            return
        drawing = ui.echart(options, renderer="svg")
        drawing.classes("chart chart--tall" if tall else "chart")
        drawing.props(f'role=img aria-label="{_plain(title)}"')
        drawing.bind_visibility_from(shown, "value", lambda value: not value)
        plain = figures(table)
        plain.bind_visibility_from(shown, "value")


def table_panel(view: View, title: str, help_text: str, table: Table, *, file: str) -> ui.column:
    """The frame of a table that the caller draws, with its CSV."""
    with ui.column().classes("panel chart-panel") as place:
        _head(view, title, help_text, table, file, switch=False)
        if not table.rows:
            nothing(view)
    return place


def nothing(view: View) -> None:
    """There is no figure."""
    hint = view.t("Choose a longer time, or take a filter away.")
    empty("query_stats", view.t("Nothing of this happened then."), hint)


def figures(table: Table) -> SteadyTable:
    """``table`` as it is."""
    columns = [
        {"name": str(n), "label": name, "field": str(n), "sortable": True,
         "align": "right" if n else "left"}
        for n, name in enumerate(table.columns)
    ]  # fmt: skip
    rows = [
        {"key": key} | {str(n): _shown(value) for n, value in enumerate(row)}
        for key, row in enumerate(table.rows)
    ]
    made = SteadyTable(columns=columns, rows=rows, row_key="key", pagination={"rowsPerPage": 0})
    return made.props("flat dense hide-pagination virtual-scroll").classes("chart-table num")


def _head(
    view: View, title: str, help_text: str, table: Table, file: str, *, switch: bool
) -> ui.switch:
    t = view.t

    async def save() -> None:
        content = BYTE_ORDER_MARK.encode() + csv_lines([table.columns, *table.rows])
        ui.download.content(content, f"{file}.csv", "text/csv")

    with ui.row().classes("chart-head"):
        ui.label(title).classes("panel-title").props("role=heading aria-level=2")
        with (
            ui.icon("info_outline")
            .classes("chart-help")
            .props(f'aria-label="{t("What is this?")}"')
        ):
            ui.tooltip(help_text).classes("chart-tip")
        ui.space()
        shown = ui.switch(t("Table")).props("dense size=xs").classes("chart-switch")
        shown.set_visibility(switch)
        button = ui.button(icon="download", on_click=view.act(save)).props(
            "flat dense round size=sm"
        )
        button.props(f'aria-label="{t("Download CSV")}: {_plain(title)}"')
        with button:
            ui.tooltip(t("Download CSV"))
        button.set_visibility(bool(table.rows))
    return shown


def _plain(text: str) -> str:
    """Fit for a quoted prop; titles are ours, but a quote would end it."""
    return text.replace('"', "'")


def _shown(value: Value) -> Value:
    if value is None:
        return "—"
    return round(value, 1) if isinstance(value, float) else value
