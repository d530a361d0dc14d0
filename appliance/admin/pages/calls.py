"""The log of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.api.app import PREFIX
from appliance.admin.services import calls as service
from appliance.admin.services.calls import CallCount, CallPage
from appliance.admin.ui.calls.filters import Filters, read_filters
from appliance.admin.ui.calls.transcript import gap_chip
from appliance.admin.ui.calls.words import (
    DIRECTION_WORDS,
    LANGUAGE_NAMES,
    OUTCOME_CHIPS,
    OUTCOME_WORDS,
    clock,
    language_name,
    length_of,
    when,
)
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.tables import SteadyTable
from appliance.errors import UserError
from appliance.store.call_log import AgentName, LoggedCall

_CELL_CALL = (
    """<q-td :props="props"><a class="num" :href="props.row.url">{{ props.value }}</a></q-td>"""
)
_CELL_CHIP = """<q-td :props="props"><span v-if="props.value" class="chip num"
  :class="props.row[props.col.name + '_chip']">{{ props.value }}</span></q-td>"""
_CELL_PEOPLE = """<q-td :props="props"><q-icon size="16px" class="muted" :name="props.row.icon">
  <q-tooltip>{{ props.row.direction }}</q-tooltip></q-icon>
  <span class="mono">{{ props.value }}</span></q-td>"""
_CELL_HEARD = """<q-td :props="props"><q-icon v-if="props.value" size="16px" name="graphic_eq"
  class="muted"><q-tooltip>{{ props.value }}</q-tooltip></q-icon></q-td>"""
_ICONS = {"in": "call_received", "out": "call_made", "test": "science"}


@page("/calls", Permission.CALLS_READ, "Calls")
async def calls(view: View) -> None:
    """Filters, the list, the way to older calls."""
    filters = read_filters(view.request.query_params)
    agents = await service.agents_to_filter(view.console, view.actor)
    await _Log(view, filters).draw(agents)


class _Log:
    """The page in one browser."""

    def __init__(self, view: View, filters: Filters) -> None:
        self._view = view
        self._filters = filters
        self._zone = view.console.settings.switch.timezone
        self._names: dict[str, str] = {}

    async def draw(self, agents: Sequence[AgentName]) -> None:
        self._names = {agent.id: agent.name for agent in agents}
        self._export = self._bar()
        self._list = ui.column().classes("panel log-panel")
        await self._fill()

    def _bar(self) -> ui.link:
        t, filters = self._view.t, self._filters
        search = self._view.act(self._search)
        with ui.row().classes("panel toolbar log-filters"):
            number = ui.input(t("Number"), value=filters.number).props("clearable debounce=400")
            number.classes("log-number")
            self._select("period", t("Time"), self._periods(), search)
            self._select("agent", t("Agent"), {"": t("all")} | self._names, search)
            self._select("outcome", t("Outcome"), self._outcomes(), search)
            self._select("flagged", t("Flagged"), self._flagged(), search)
            slow = ui.input(t("Gap p95 over, ms"), value=filters.slow).props("debounce=600")
            slow.classes("log-slow").props("inputmode=numeric clearable")
            self._more(search)
            ui.element("div").classes("grow")
            clear = ui.button(icon="filter_alt_off", on_click=self._view.act(self._clear))
            clear.props(f'flat dense round aria-label="{t("Clear")}"').tooltip(t("Clear"))
            export = ui.link(t("Export CSV"), "#").classes("log-export").props("download")
        for element, name in ((number, "number"), (slow, "slow")):
            element.props("outlined dense").bind_value(
                filters, name, forward=lambda value: value or ""
            )
            element.on_value_change(search)
        return export

    def _more(self, search: Any) -> None:
        t = self._view.t
        with ui.button(icon="tune").props(f'flat dense round aria-label="{t("More filters")}"'):
            ui.tooltip(t("More filters"))
            with ui.menu(), ui.column().classes("log-more"):
                languages = {"": t("all")} | {k: t(name) for k, name in LANGUAGE_NAMES.items()}
                self._select("language", t("Language"), languages, search)
                directions = {"": t("all but tests")} | {
                    k: t(w) for k, w in DIRECTION_WORDS.items()
                }
                self._select("direction", t("Direction"), directions, search)
                recorded = {"": t("all"), "yes": t("recorded"), "no": t("not recorded")}
                self._select("recorded", t("Recording"), recorded, search)
                for name, words in (("since", t("From day")), ("until", t("To day"))):
                    day = ui.input(words).props("outlined dense type=date stack-label clearable")
                    day.bind_value(self._filters, name, forward=lambda value: value or "")
                    day.on_value_change(search)

    def _select(self, name: str, label: str, options: dict[str, str], search: Any) -> None:
        if getattr(self._filters, name) not in options:
            options = options | {getattr(self._filters, name): getattr(self._filters, name)}
        select = ui.select(options, label=label).props("outlined dense options-dense")
        select.classes("log-select").bind_value(self._filters, name)
        select.on_value_change(search)

    def _periods(self) -> dict[str, str]:
        t = self._view.t
        return {
            "24h": t("24 hours"), "7d": t("7 days"), "30d": t("30 days"), "90d": t("90 days"),
            "all": t("all"),
        }  # fmt: skip

    def _outcomes(self) -> dict[str, str]:
        t = self._view.t
        return {"": t("all")} | {
            outcome.value: t(words) for outcome, words in OUTCOME_WORDS.items()
        }

    def _flagged(self) -> dict[str, str]:
        t = self._view.t
        return {"": t("all"), "open": t("open flags"), "any": t("any flag")}

    async def _clear(self) -> None:
        ui.navigate.to("/calls")

    async def _search(self) -> None:
        self._filters.cursor = ""
        await self._fill()

    async def _older(self, cursor: str) -> None:
        self._filters.cursor = cursor
        await self._fill()

    async def _fill(self) -> None:
        """Ask, and draw what was found; the address says what was asked."""
        view, now = self._view, datetime.now(UTC)
        with self._list:
            query = self._filters.query()
            ui.navigate.history.replace(f"/calls?{query}" if query else "/calls")
        try:
            wanted = self._filters.wanted(self._zone, now)
            found, count = await asyncio.gather(
                service.list_calls(view.console, view.actor, wanted, self._filters.cursor),
                service.count_calls(view.console, view.actor, wanted),
            )
        except UserError as e:
            self._list.clear()
            with self._list:
                ui.label(view.t(str(e))).classes("notice notice--warn").props("role=alert")
            return
        if query != self._filters.query():
            return  # a slow search that comes late does not cover a later one's answer
        export = self._filters.export_query(self._zone, now)
        self._export.props["href"] = f"{PREFIX}/calls.csv?{export}"
        self._list.clear()
        with self._list:
            self._draw_list(found, count, now)

    def _draw_list(self, found: CallPage, count: CallCount, now: datetime) -> None:
        t = self._view.t
        if not found.calls:
            plain = self._filters.query() == ""
            hint = t("Calls appear here as soon as a number that an agent answers is rung.")
            other = t("Take a filter away, or a longer time.")
            text = t("No calls in the last 7 days.") if plain else t("No call is like that.")
            empty("call", text, hint if plain else other)
            return
        self._table(found, now)
        with ui.row().classes("toolbar"):
            more = "+" if count.more else ""
            ui.label(f"{count.calls}{more} {t('calls')}").classes("muted num")
            ui.element("div").classes("grow")
            if self._filters.cursor:
                newest = self._view.act(self._search)
                ui.button(t("Newest"), icon="first_page", on_click=newest).props("flat dense")
            if found.next:
                following = found.next

                async def older() -> None:
                    await self._older(following)

                button = ui.button(t("Older"), icon="chevron_right", on_click=self._view.act(older))
                button.props("flat dense")

    def _table(self, found: CallPage, now: datetime) -> None:
        t = self._view.t
        names = (
            ("when", t("When"), "left"), ("caller", t("Caller"), "left"),
            ("did", t("Number"), "left"), ("agent", t("Agent"), "left"),
            ("language", t("Language"), "left"), ("length", t("Length"), "right"),
            ("turns", t("Turns"), "right"), ("p50", t("Gap p50"), "right"),
            ("p95", t("Gap p95"), "right"), ("outcome", t("Outcome"), "left"),
            ("flags", t("Flags"), "left"), ("heard", "", "left"),
        )  # fmt: skip
        columns = [{"name": n, "label": w, "field": n, "align": a} for n, w, a in names]
        rows = [self._row(one, now) for one in found.calls]
        table = SteadyTable(columns=columns, rows=rows, row_key="id", pagination=0)
        table.props("flat dense hide-pagination").classes("log-table")
        table.add_slot("body-cell-when", _CELL_CALL)
        table.add_slot("body-cell-caller", _CELL_PEOPLE)
        table.add_slot("body-cell-heard", _CELL_HEARD)
        for name in ("p50", "p95", "outcome", "flags"):
            table.add_slot(f"body-cell-{name}", _CELL_CHIP)
        table.on("rowClick", lambda e: ui.navigate.to(e.args[1]["url"]), [[], ["url"], None])

    def _row(self, one: LoggedCall, now: datetime) -> dict[str, Any]:
        t, call = self._view.t, one.call
        flags = f"{one.flags_open}/{one.flags}" if one.flags else ""
        return {
            "id": call.call_id,
            "url": f"/calls/{quote(call.call_id, safe='')}",
            "when": when(call.started_at, self._zone),
            "icon": _ICONS[call.direction],
            "direction": t(DIRECTION_WORDS[call.direction]),
            "caller": call.caller or "—",
            "did": call.did,
            "agent": f"{self._names.get(call.agent_id, call.agent_id)} · {call.agent_version}",
            "language": language_name(call.language, t),
            "length": clock(length_of(call, now)) if call.ended_at else "—",
            "turns": call.turns,
            "p50": _ms(one.gap_p50_ms),
            "p50_chip": "" if one.gap_p50_ms is None else gap_chip(one.gap_p50_ms),
            "p95": _ms(one.gap_p95_ms),
            "p95_chip": "" if one.gap_p95_ms is None else gap_chip(one.gap_p95_ms),
            "outcome": t(OUTCOME_WORDS[one.outcome]),
            "outcome_chip": OUTCOME_CHIPS.get(one.outcome, ""),
            "flags": flags,
            "flags_chip": "chip--bad" if one.flags_open else "",
            "heard": t("recorded") if call.recording else "",
        }


def _ms(value: int | None) -> str:
    return "" if value is None else f"{value} ms"
