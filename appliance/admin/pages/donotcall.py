"""``/do-not-call``: the numbers that are never called by us."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import donotcall as service
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.layout import crumbs, empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.paging import pager
from appliance.admin.ui.show import when
from appliance.admin.ui.tables import SteadyTable

PAGE_SIZE = 50
_DO = """
<q-td :props="props" class="text-right"><q-btn v-if="props.row.may_edit" flat dense round icon="delete"
 size="sm" :aria-label="props.row.words" @click="$parent.$emit('remove', props.row.number)"></q-btn>
</q-td>
"""


@page("/do-not-call", Permission.CAMPAIGNS_READ, "Do-not-call list", nav="/campaigns")
async def do_not_call(view: View) -> None:
    """The list, and one number looked up."""
    await DoNotCallPage(view).draw()


class DoNotCallPage:
    """The page in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._page = 0
        self._may_edit = view.actor.may(Permission.CAMPAIGNS_EDIT)

    async def draw(self) -> None:
        view, t = self._view, self._view.t
        words = t("Whoever put a number here, nobody on this box calls it. You see what your people"
                  " put here.")  # fmt: skip
        with ui.row().classes("toolbar"):
            crumbs(t("Do-not-call list"), (t("Campaigns"), "/campaigns"))
            ui.label(words).classes("muted")
        with ui.element("div").classes("grid-2"):
            self._look_up()
            if self._may_edit:
                self._add()
        with ui.column().classes("panel panel--table"):
            with ui.row().classes("toolbar"):
                self._text = ui.input(t("Search numbers and reasons"))
                self._text.props("outlined dense debounce=300 clearable maxlength=100")
                self._text.classes("search")
                self._text.on_value_change(view.act(self._searched))
            self._list = ui.column().classes("wide")
        await self._load()

    def _look_up(self) -> None:
        view, t = self._view, self._view.t
        with ui.column().classes("panel"):
            ui.label(t("May a number be called?")).classes("panel-title")
            with ui.row().classes("toolbar"):
                number = ui.input(t("Number")).props("outlined dense maxlength=64")

                async def look() -> None:
                    found = await service.look_up(view.console, view.actor, number.value or "")
                    reasons = " · ".join(e.reason for e in found.mine if e.reason)
                    listed = t("{number} is on the list: nobody calls it.")
                    free = t("{number} is not on the list.")
                    text = (listed if found.listed else free).format(number=found.number)
                    said.set_text(f"{text} {reasons}".strip())
                    said.classes(
                        replace="notice notice--bad" if found.listed else "notice notice--good"
                    )

                number.on("keydown.enter", view.act(look))
                ui.button(t("Look up"), icon="search", on_click=view.act(look)).props("flat")
            said = ui.label().props("role=status")

    def _add(self) -> None:
        view, t = self._view, self._view.t
        with ui.column().classes("panel"):
            ui.label(t("Never call again")).classes("panel-title")
            with ui.row().classes("toolbar"):
                number = ui.input(t("Number")).props("outlined dense maxlength=64")
                reason = ui.input(t("Reason")).props("outlined dense maxlength=200")

                async def add() -> None:
                    added = await service.add(
                        view.console, view.actor, [number.value or ""], reason.value or ""
                    )
                    view.notify(t("Added.") if added else t("It was there already."))
                    number.set_value("")
                    await self._load()

                ui.button(t("Add"), icon="block", on_click=view.act(add)).props("unelevated")

            async def upload(event: Any) -> None:
                data = await event.file.read()
                added, given = await service.upload(
                    view.console, view.actor, data, reason.value or t("uploaded list")
                )
                view.notify(t("{n} of {given} numbers added.").format(n=added, given=given))
                files.reset()
                await self._load()

            files = ui.upload(
                label=t("Or a list (first column of a CSV)"), auto_upload=True, max_files=1,
                max_file_size=view.console.settings.admin.upload_mb << 20,
                on_upload=view.act(upload),
            ).props('accept=".csv,.txt,text/csv" flat bordered').classes("wide")  # fmt: skip

    async def _searched(self) -> None:
        self._page = 0
        await self._load()

    async def _load(self) -> None:
        view, t = self._view, self._view.t
        found = await service.entries(
            view.console, view.actor, text=self._text.value or "", limit=PAGE_SIZE,
            offset=self._page * PAGE_SIZE,
        )  # fmt: skip
        self._list.clear()
        with self._list:
            if not found.entries:
                empty("phone_disabled", t("Nobody has asked not to be called."))
                return
            names = (("number", t("Number")), ("at", t("Since")), ("reason", t("Reason")))
            columns: list[dict[str, Any]] = [
                {"name": n, "label": w, "field": n, "align": "left"} for n, w in names
            ]
            columns.append({"name": "do", "label": "", "field": "number"})
            rows = [
                {
                    "key": f"{e.number} {e.tenant}", "number": e.number, "reason": e.reason or "–",
                    "at": when(view, e.added_at), "may_edit": self._may_edit,
                    "words": t("Remove {name}").format(name=e.number),
                }
                for e in found.entries
            ]  # fmt: skip
            table = SteadyTable(columns=columns, rows=rows, row_key="key", pagination=0)
            table.props("flat dense hide-pagination")
            table.add_slot("body-cell-do", _DO)
            table.on("remove", view.act(self._remove))
            self._pages(found.total)

    def _pages(self, total: int) -> None:
        t = self._view.t

        async def go_to(page: int) -> None:
            self._page = page
            await self._load()

        pager(
            self._view, self._page, (self._page + 1) * PAGE_SIZE < total, go_to,
            before=t("Previous"), after=t("Next"), count=t("Numbers: {n}").format(n=f"{total:,}"),
        )  # fmt: skip

    async def _remove(self, event: Any) -> None:
        view, t, number = self._view, self._view.t, str(event.args)
        with titled(view, t("May {number} be called again?").format(number=number)) as dialog:
            reason = ui.input(t("Why (goes into the audit log)")).props("outlined dense autofocus")

            async def remove() -> None:
                await service.remove(view.console, view.actor, number, reason.value or "")
                dialog.close()
                await self._load()

            buttons(view, dialog, t("Take it off"), remove)
