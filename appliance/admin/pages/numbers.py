"""``/numbers``: which agent answers, when, who does otherwise, and what happens when it is rung."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import callpath
from appliance.admin.services import numbers as service
from appliance.admin.services.numbers import ShownNumber
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.layout import empty
from appliance.admin.ui.numbers.hours import HoursEditor, open_words
from appliance.admin.ui.numbers.way import draw_way
from appliance.admin.ui.page import View, page
from appliance.admin.ui.paging import pager
from appliance.admin.ui.tables import SteadyTable
from appliance.errors import UserError
from appliance.store.models import ANY_DID
from appliance.store.trunks import NumberEntry

PAGE_SIZE = 50
_NUMBER = """
<q-td :props="props"><span class="mono">{{ props.value }}</span></q-td>
"""
_CHIP = """
<q-td :props="props"><span class="chip" :class="props.row.tone">{{ props.value }}</span></q-td>
"""
_TEXT = '<q-td :props="props"><div class="cell-text">{{ props.value }}</div></q-td>'
_DO = """
<q-td :props="props" class="text-right">
<q-btn flat dense round icon="route" size="sm" :aria-label="props.row.way_words"
 @click="$parent.$emit('way', props.row.did)"></q-btn>
<q-btn v-if="props.row.may_edit" flat dense round icon="edit" size="sm"
 :aria-label="props.row.edit_words" @click="$parent.$emit('edit', props.row.did)"></q-btn>
<q-btn v-if="props.row.may_remove" flat dense round icon="delete" size="sm"
 :aria-label="props.row.remove_words" @click="$parent.$emit('remove', props.row.did)"></q-btn>
</q-td>
"""


@page("/numbers", Permission.NUMBERS_READ, "Numbers")
async def numbers(view: View) -> None:
    """The list, and the tester below it."""
    await NumbersPage(view).draw()


class NumbersPage:
    """The page in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._page = 0
        self._found: dict[str, ShownNumber] = {}
        self._agents: Mapping[str, str] = {}

    async def draw(self) -> None:
        view, t = self._view, self._view.t
        self._agents = await service.agents(view.console, view.actor)
        with ui.row().classes("toolbar"):
            self._search = ui.input(t("Search numbers and agents"))
            self._search.props("outlined dense debounce=300 clearable").classes("search")
            self._search.on_value_change(view.act(self._searched))
            ui.space()
            self._new = ui.button(t("New number"), icon="add", on_click=view.act(self._add))
            self._new.props("unelevated")
        self._list = ui.column().classes("panel panel--table")
        await self._load()
        self._tester()

    async def _searched(self) -> None:
        self._page = 0
        await self._load()

    async def _load(self) -> None:
        view, t = self._view, self._view.t
        found = await service.numbers(
            view.console, view.actor, text=self._search.value or "", limit=PAGE_SIZE,
            offset=self._page * PAGE_SIZE,
        )  # fmt: skip
        self._found = {n.line.did: n for n in found.numbers}
        self._new.set_visibility(found.may_assign)
        self._list.clear()
        with self._list:
            if not found.numbers:
                hint = (
                    t("Add a number, and say which agent answers it.")
                    if found.may_assign
                    else t("The operator assigns numbers to your agents. Ask them.")
                )
                empty("dialpad", t("No number is answered here."), hint)
                return
            self._table(found.may_assign)
            self._pages(found.total)

    def _table(self, may_assign: bool) -> None:
        t, view = self._view.t, self._view
        names = (
            ("number", t("Number")), ("agent", t("Agent")), ("now", t("Now")),
            ("hours", t("Hours")), ("closed", t("When closed")), ("full", t("When full")),
        )  # fmt: skip
        columns: list[dict[str, Any]] = [
            {"name": n, "label": w, "field": n, "align": "left"} for n, w in names
        ]
        columns.append({"name": "do", "label": "", "field": "did"})
        rows = [self._row(one, may_assign) for one in self._found.values()]
        table = SteadyTable(columns=columns, rows=rows, row_key="did", pagination=0)
        table.props("flat dense hide-pagination")
        table.add_slot("body-cell-number", _NUMBER)
        table.add_slot("body-cell-now", _CHIP)
        for name in ("hours", "closed", "full"):
            table.add_slot(f"body-cell-{name}", _TEXT)
        table.add_slot("body-cell-do", _DO)
        table.on("way", view.act(self._way))
        table.on("edit", view.act(self._edit))
        table.on("remove", view.act(self._remove))

    def _row(self, one: ShownNumber, may_assign: bool) -> dict[str, Any]:
        t, line = self._view.t, one.line
        shown = t("every other number") if line.did == ANY_DID else line.did
        says = f"“{line.closed_text}”" if line.closed_text else ""
        tone = "chip--good" if one.now.open else "chip--warn"
        if one.now.problem or not line.published:
            tone = "chip--bad"
        now = open_words(self._view, one.now)
        may_edit = self._view.actor.may(Permission.NUMBERS_EDIT)
        return {
            "did": line.did, "number": shown, "agent": line.agent_name, "hours": line.hours or "–",
            "now": now if line.published else t("its agent is not published"), "tone": tone,
            "closed": " ".join(x for x in (says, line.closed_to) if x) or "–",
            "full": line.overflow_to or "–", "may_edit": may_edit,
            "may_remove": may_edit and may_assign,
            "way_words": t("What happens when {number} is rung").format(number=shown),
            "edit_words": t("Edit {number}").format(number=shown),
            "remove_words": t("Remove {number}").format(number=shown),
        }  # fmt: skip

    def _pages(self, total: int) -> None:
        t = self._view.t

        async def go_to(page: int) -> None:
            self._page = page
            await self._load()

        pager(
            self._view, self._page, (self._page + 1) * PAGE_SIZE < total, go_to,
            before=t("Previous"), after=t("Next"), count=t("Numbers: {n}").format(n=f"{total:,}"),
        )  # fmt: skip

    # --- the tester -------------------------------------------------------------------------------

    def _tester(self) -> None:
        view, t = self._view, self._view.t
        with ui.column().classes("panel"):
            ui.label(t("What happens when somebody rings?")).classes("panel-title")
            with ui.row().classes("toolbar"):
                self._did = ui.input(t("Number that is rung"), value=self._first())
                self._did.props("outlined dense maxlength=64")
                self._at = ui.input(t("At (empty: now)")).props(
                    "outlined dense stack-label type=datetime-local clearable"
                )
                self._full = ui.checkbox(t("every line is busy"))
                ui.button(t("Show the way"), icon="route", on_click=view.act(self._trace)).props(
                    "unelevated"
                )
                self._did.on("keydown.enter", view.act(self._trace))
            self._drawn = ui.column().classes("wide").props("aria-live=polite")

    def _first(self) -> str:
        """A number to begin with."""
        return next((did for did in self._found if did != ANY_DID), "")

    async def _way(self, event: Any) -> None:
        self._did.set_value(str(event.args))
        await self._trace()

    async def _trace(self) -> None:
        view = self._view
        self._drawn.clear()
        at = _moment(self._at.value, view.console.settings.switch.timezone)
        found = await callpath.trace(
            view.console, view.actor, self._did.value or "", at=at, full=bool(self._full.value)
        )
        with self._drawn:
            draw_way(view, found)

    # --- changes ----------------------------------------------------------------------------------

    async def _add(self) -> None:
        self._dialog(None)

    async def _edit(self, event: Any) -> None:
        if (one := self._found.get(str(event.args))) is not None:
            self._dialog(one)

    async def _remove(self, event: Any) -> None:
        view, t = self._view, self._view.t
        did = str(event.args)
        question = t("Let no agent answer {number} any more?").format(number=did)
        if await view.confirm(question, t("Remove"), danger=True):
            force = await service.remove(view.console, view.actor, did)
            view.notify(t(force))
            await self._load()

    def _dialog(self, one: ShownNumber | None) -> None:
        view, t = self._view, self._view.t
        line = None if one is None else one.line
        title = t("New number") if line is None else t("Edit {number}").format(number=line.did)
        with titled(view, title, "dialog dialog--wide") as dialog:
            did = ui.input(t("Number, or * for every other one"), value=line.did if line else "")
            did.props("outlined dense autofocus maxlength=64").set_enabled(line is None)
            agents = dict(self._agents)
            if line is not None:
                agents.setdefault(line.agent_id, line.agent_name)
            agent = ui.select(
                agents, label=t("Agent who answers"), value=line.agent_id if line else None,
                with_input=True,
            ).props("outlined dense").classes("wide")  # fmt: skip
            hours = HoursEditor(
                view, line.hours if line else "", t("Hours"), empty=t("No hours: always open.")
            )
            texts = {}
            for name, label, most in (
                ("closed_text", t("Said when closed"), service.LONGEST_TEXT_LETTERS),
                ("closed_to", t("Then goes to (queue:NAME, extension, number, sip:…)"), 256),
                ("overflow_to", t("When every line is busy goes to"), 256),
            ):
                texts[name] = ui.input(label, value=getattr(line, name) if line else "")
                texts[name].props(f"outlined dense maxlength={most}").classes("wide")

            async def save() -> None:
                if not agent.value:
                    raise UserError("Choose the agent who answers.")
                entry = NumberEntry(
                    did.value or "", agent.value, hours.value,
                    **{name: field.value or "" for name, field in texts.items()},
                )  # fmt: skip
                saved = await service.save(view.console, view.actor, entry, new=line is None)
                dialog.close()
                view.notify(t(saved.in_force))
                for note in saved.notes:
                    view.notify(note, "warning")
                await self._load()

            buttons(view, dialog, t("Save"), save)


def _moment(text: str | None, zone: str) -> datetime | None:
    """What a datetime field says, by the site's clock. Raises UserError."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    except ValueError as e:
        raise UserError(f"{text[:40]!r} is no moment; write it like 2026-05-04T09:30.") from e
