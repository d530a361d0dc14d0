"""A list of contacts on its way into a campaign: chosen, looked at, added."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from appliance.admin.services import campaigns as service
from appliance.admin.services.campaigns import Preview
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View
from appliance.admin.ui.tables import SteadyTable
from appliance.outreach.campaigns.contacts import MOST_ROWS, Sheet

PROBLEMS_SHOWN = 20


class ContactsUpload:
    """A dialog; what was read stays here until it is added or the dialog closes."""

    def __init__(self, view: View, campaign_id: int, added: Callable[[], Awaitable[None]]) -> None:
        self._view, self._id, self._added = view, campaign_id, added
        self._sheet: Sheet | None = None

    def open(self) -> None:
        view, t = self._view, self._view.t
        with titled(view, t("Add contacts"), "dialog dialog--wide") as dialog:
            hint = t("A CSV file with a column of telephone numbers, {n} rows at most. The first row"
                     " may name the columns: number, name, …")  # fmt: skip
            ui.label(hint.format(n=f"{MOST_ROWS:,}")).classes("help")
            most = view.console.settings.admin.upload_mb << 20
            upload = ui.upload(
                label=t("Choose a list (CSV)"), auto_upload=True, max_files=1, max_file_size=most,
                on_upload=view.act(self._read), on_rejected=view.act(self._rejected),
            )  # fmt: skip
            upload.props('accept=".csv,.txt,text/csv" flat bordered').classes("wide")
            self._shown = ui.column().classes("wide").props("aria-live=polite")

            async def add() -> None:
                await self._add()
                dialog.close()

            self._button = buttons(view, dialog, t("Add them"), add)
            self._button.set_enabled(False)

    async def _rejected(self) -> None:
        self._view.notify(self._view.t("That file is too large, or no CSV."), "negative")

    async def _read(self, event: Any) -> None:
        view = self._view
        self._shown.clear()
        self._sheet = None
        self._button.set_enabled(False)
        data = await event.file.read()
        sheet = await service.read(view.console, view.actor, data)
        preview = await service.preview_of(view.console, view.actor, sheet)
        self._sheet = sheet
        self._button.set_enabled(bool(preview.good))
        with self._shown:
            _draw(view, preview)

    async def _add(self) -> None:
        view, t = self._view, self._view.t
        assert self._sheet is not None
        done = await service.add_contacts(view.console, view.actor, self._id, self._sheet)
        words = t("{n} contacts added, {there} were there already.")
        view.notify(words.format(n=done.loaded.added, there=done.loaded.there_already))
        await self._added()


def _draw(view: View, found: Preview) -> None:
    t = view.t
    good = t("{good} of {rows} rows can be called.").format(good=found.good, rows=found.rows)
    ui.label(good).classes("notice notice--good" if found.good else "notice notice--bad")
    names = [("row", t("Row")), ("number", found.number_column)]
    names += [("name", found.name_column)] if found.name_column else []
    names += [(f"f{i}", name) for i, name in enumerate(found.other_columns[:6])]
    columns = [{"name": n, "label": w, "field": n, "align": "left"} for n, w in names]
    rows = [
        {"row": c.row, "number": c.number, "name": c.name}
        | {f"f{i}": c.fields.get(n, "") for i, n in enumerate(found.other_columns[:6])}
        for c in found.first
    ]
    SteadyTable(columns=columns, rows=rows, row_key="row", pagination=0).props(
        "flat dense hide-pagination"
    )
    if found.do_not_call_count:
        words = t("{n} of them are on the do-not-call list: they are kept and never rung.")
        ui.label(words.format(n=found.do_not_call_count)).classes("notice notice--warn")
    if found.problem_count:
        words = t("{n} rows are left out:").format(n=found.problem_count)
        with ui.expansion(words, value=found.problem_count <= 5).classes("wide").props("dense"):
            for problem in found.problems[:PROBLEMS_SHOWN]:
                row = t("row {n}").format(n=problem.row)
                ui.label(f"{row}: {problem.what}").classes("problem")
            if found.problem_count > PROBLEMS_SHOWN:
                ui.label("…").classes("muted")
