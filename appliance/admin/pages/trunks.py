"""``/trunks``: the carriers' gateways and what is wrong with them; telephones and queues."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import trunks as service
from appliance.admin.services.trunks import ShownTrunk, Trunks
from appliance.admin.ui.layout import empty
from appliance.admin.ui.numbers.telephones import Telephones
from appliance.admin.ui.numbers.trunkform import TrunkForm
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import when
from appliance.admin.ui.tables import SteadyTable
from appliance.telephony.diagnose import Check

REFRESH_S = 10.0
_STATE = """
<q-td :props="props"><span class="chip" :class="props.row.tone">{{ props.value }}</span></q-td>
"""
_NAME = """
<q-td :props="props"><span class="strong">{{ props.value }}</span>
<div class="muted">{{ props.row.carrier }}</div></q-td>
"""
_DO = """
<q-td :props="props" class="text-right">
<q-btn flat dense no-caps icon="troubleshoot" size="sm" :label="props.row.diagnose_words"
 @click="$parent.$emit('diagnose', props.row.name)"></q-btn>
<template v-if="props.row.may_edit">
<q-btn flat dense round icon="edit" size="sm" :aria-label="props.row.edit_words"
 @click="$parent.$emit('edit', props.row.name)"></q-btn>
<q-btn flat dense round :icon="props.row.enabled ? 'toggle_on' : 'toggle_off'" size="sm"
 :aria-label="props.row.enable_words" @click="$parent.$emit('enable', props.row.name)"></q-btn>
<q-btn flat dense round icon="delete" size="sm" :aria-label="props.row.remove_words"
 @click="$parent.$emit('remove', props.row.name)"></q-btn>
</template></q-td>
"""
MARKS = {True: ("check_circle", "good"), False: ("error", "bad"), None: ("help", "unknown")}


@page("/trunks", Permission.TRUNKS_READ, "Trunks")
async def trunks(view: View) -> None:
    """Trunks, their diagnosis, telephones and queues."""
    await TrunksPage(view).draw()


class TrunksPage:
    """The page in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._may_edit = view.actor.may(Permission.TRUNKS_EDIT)
        self._found: dict[str, ShownTrunk] = {}

    async def draw(self) -> None:
        view, t = self._view, self._view.t
        with ui.row().classes("toolbar"):
            ui.label(t("Calls that we make try the lowest priority first.")).classes("muted")
            ui.space()
            if self._may_edit:
                new = ui.button(t("New trunk"), icon="add", on_click=view.act(self._add))
                new.props("unelevated")
        self._list = ui.column().classes("panel panel--table")
        self._diagnosis = ui.column().classes("panel")
        self._diagnosis.set_visibility(False)
        await self._load()
        await Telephones(view).draw()
        ui.timer(REFRESH_S, view.act(self._load), immediate=False)

    async def _load(self) -> None:
        found = await service.trunks(self._view.console, self._view.actor)
        self._found = {trunk.name: trunk for trunk in found.trunks}
        self._list.clear()
        with self._list:
            self._draw(found)

    def _draw(self, found: Trunks) -> None:
        view, t = self._view, self._view.t
        if found.note:
            ui.label(t(found.note[0].upper() + found.note[1:])).classes("notice notice--warn")
        if not found.trunks:
            empty(
                "cable", t("No trunks yet."), t("Add the gateway that your carrier named to you.")
            )
            return
        names = (
            ("name", t("Trunk")), ("proxy", t("Server")), ("state", t("State")),
            ("ping", t("Ping")), ("calls", t("Calls")), ("failures", t("Failed in a day")),
            ("priority", t("Priority")), ("caller_id", t("Caller ID")),
        )  # fmt: skip
        columns: list[dict[str, Any]] = [
            {"name": n, "label": w, "field": n, "align": "left"} for n, w in names
        ]
        columns.append({"name": "do", "label": "", "field": "name"})
        rows = [self._row(trunk) for trunk in found.trunks]
        table = SteadyTable(columns=columns, rows=rows, row_key="name", pagination=0)
        table.props("flat dense hide-pagination")
        table.add_slot("body-cell-name", _NAME)
        table.add_slot("body-cell-state", _STATE)
        table.add_slot("body-cell-do", _DO)
        for name, handler in (
            ("diagnose", self._diagnose), ("edit", self._edit), ("enable", self._enable),
            ("remove", self._remove),
        ):  # fmt: skip
            table.on(name, view.act(handler))
        for trunk in found.trunks:
            for note in trunk.notes:
                ui.label(f"{trunk.name}: {note}").classes("help")

    def _row(self, trunk: ShownTrunk) -> dict[str, Any]:
        t, state = self._view.t, trunk.state
        words = {True: t("up"), False: t("down"), None: t("not known")}[state.up]
        tone = {True: "chip--good", False: "chip--bad", None: ""}[state.up]
        if not trunk.enabled:
            words, tone = t("disabled"), ""
        elif state.up and trunk.register:
            words = t("up, registered")
        most = f"/{trunk.max_calls}" if trunk.max_calls else ""
        return {
            "name": trunk.name, "carrier": trunk.carrier,
            "proxy": f"{trunk.proxy} {trunk.transport}", "state": words, "tone": tone,
            "ping": f"{state.ping_ms} ms" if state.ping_ms else "–",
            "calls": f"{state.calls}{most}", "failures": trunk.failures or "–",
            "priority": trunk.priority, "caller_id": trunk.caller_id or "–",
            "enabled": trunk.enabled, "may_edit": self._may_edit,
            "diagnose_words": t("Diagnose"),
            "edit_words": t("Edit {name}").format(name=trunk.name),
            "enable_words": (t("Take {name} out of use") if trunk.enabled else
                             t("Take {name} into use")).format(name=trunk.name),
            "remove_words": t("Remove {name}").format(name=trunk.name),
        }  # fmt: skip

    # --- diagnosis --------------------------------------------------------------------------------

    async def _diagnose(self, event: Any) -> None:
        view, t, name = self._view, self._view.t, str(event.args)
        checks = await service.diagnose(view.console, view.actor, name)
        self._diagnosis.clear()
        self._diagnosis.set_visibility(True)
        with self._diagnosis:
            title = t("What is wrong with {name}?").format(name=name)
            ui.label(title).classes("panel-title").props("role=heading aria-level=2")
            lines = ui.column().classes("wide").props("aria-live=polite")
            busy = ui.linear_progress(show_value=False).props("indeterminate rounded size=3px")
            rest = ui.column().classes("wide")
        wrong = 0
        async for check in checks:
            wrong += check.ok is False
            with lines:
                _draw_check(view, check)
        busy.delete()
        with rest:
            good = t("Nothing is wrong with it as far as can be told from here.")
            one, more = t("One thing is wrong."), t("{n} things are wrong.").format(n=wrong)
            bad = one if wrong == 1 else more
            ui.label(bad if wrong else good).classes(
                "notice notice--bad" if wrong else "notice notice--good"
            )
        await self._facts(name, rest)

    async def _facts(self, name: str, place: ui.column) -> None:
        """Audio of the last calls, and those that failed."""
        view, t = self._view, self._view.t
        heard = await service.audio(view.console, view.actor, name)
        failed = await service.failures(view.console, view.actor, name)
        with place, ui.element("div").classes("grid-2"):
            with ui.column():
                ui.label(t("Audio of the last calls, packets")).classes("panel-title")
                if not heard:
                    ui.label(t("Nobody knows of any call since ivr switch began.")).classes("muted")
                for call in (heard or [])[-8:]:
                    _draw_audio(view, call.from_carrier, call.to_carrier)
            with ui.column():
                ui.label(t("Calls that failed in the last day")).classes("panel-title")
                if not failed:
                    ui.label(t("None.")).classes("muted")
                for one in failed[:8]:
                    status = f" · SIP {one.sip_status}" if one.sip_status else ""
                    ui.label(f"{when(view, one.at)} · {one.callee} · {one.cause}{status}").classes(
                        "mono"
                    )

    # --- changes ----------------------------------------------------------------------------------

    async def _add(self) -> None:
        TrunkForm(self._view, None, self._load).open()

    async def _edit(self, event: Any) -> None:
        if (trunk := self._found.get(str(event.args))) is not None:
            TrunkForm(self._view, trunk, self._load).open()

    async def _enable(self, event: Any) -> None:
        view, t = self._view, self._view.t
        trunk = self._found.get(str(event.args))
        if trunk is None:
            return
        question = t("Make no more calls through {name}? Its live calls go on.")
        if trunk.enabled and not await view.confirm(
            question.format(name=trunk.name), t("Take it out of use"), danger=True
        ):
            return
        saved = await service.set_enabled(view.console, view.actor, trunk.name, not trunk.enabled)
        view.notify(t(saved.in_force))
        await self._load()

    async def _remove(self, event: Any) -> None:
        view, t, name = self._view, self._view.t, str(event.args)
        question = t("Remove {name}? Its live calls go on.").format(name=name)
        if await view.confirm(question, t("Remove"), danger=True):
            view.notify(t(await service.remove(view.console, view.actor, name)))
            await self._load()


def _draw_check(view: View, check: Check) -> None:
    icon, tone = MARKS[check.ok]
    with ui.row().classes("check"):
        ui.icon(icon).classes(f"check-icon check-icon--{tone}").props("aria-hidden=true")
        ui.label(check.name).classes("check-name")
        with ui.column().classes("check-words"):
            ui.label(check.what)
            if check.remedy:
                ui.label(f"→ {check.remedy}").classes("help")


def _draw_audio(view: View, got: int, sent: int) -> None:
    """Two bars; a side that is missing is what one-way audio is."""
    t, most = view.t, max(got, sent, 1)
    for words, packets in ((t("from the carrier"), got), (t("to the carrier"), sent)):
        with ui.row().classes("audio-line"):
            ui.label(words).classes("audio-name muted")
            with ui.element("div").classes("load"):
                tone = "" if packets * 10 > most else " load-fill--bad"
                bar = ui.element("div").classes(f"load-fill{tone}")
                bar.style(f"width:{100 * packets / most:.0f}%")
            ui.label(str(packets)).classes("num muted")
