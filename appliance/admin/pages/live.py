"""Calls in progress: the numbers above, the list, one call opened beside it."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

from fastapi import Query
from nicegui import background_tasks, ui
from sqlalchemy.exc import SQLAlchemyError

from appliance.access.actor import NotFoundError
from appliance.access.roles import Permission
from appliance.admin.services import live as service
from appliance.admin.services import system
from appliance.admin.ui.layout import empty
from appliance.admin.ui.live.call import OneCall
from appliance.admin.ui.live.elements import LiveList
from appliance.admin.ui.page import SESSIONS, View, page

log = logging.getLogger(__name__)

BETWEEN_S = 0.4
"""Between two changes of a page; what happens meanwhile is shown together."""
BOARD_S = 2.0
CONNECT_S = 10.0


@page("/live", Permission.LIVE_READ, "Live")
async def live(view: View, call: Annotated[str, Query(max_length=64)] = "") -> None:
    """The board, the list, and ``call`` beside it."""
    await _Live(view).draw(call)


class _Live:
    """The page in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._stats: dict[str, tuple[ui.label, ui.label]] = {}
        self._one: OneCall | None = None
        self._ids: set[str] = set()

    async def draw(self, call_id: str) -> None:
        view, t = self._view, self._view.t
        calls = await service.list_calls(view.console, view.actor)
        self._ids = {call.call_id for call in calls}
        with ui.row().classes("live-board"):
            self._draw_board()
        self._alarms = ui.column().classes("live-alarms")
        with ui.element("div").classes("live-beside") as self._beside:
            with ui.column().classes("panel live-panel"):
                with ui.row().classes("toolbar"):
                    ui.label(t("Calls in progress")).classes("panel-title")
                    ui.element("div").classes("grow")
                    search = ui.input(placeholder=t("Caller, number, agent, words"))
                    search.props(f'outlined dense clearable aria-label="{t("Search")}"')
                    search.classes("live-search")
                self._list = LiveList(calls, t)
                self._list.on("open", view.act(self._open))
                search.on_value_change(lambda e: self._list.search(e.value or ""))
                with ui.column().classes("wide") as self._none:
                    empty(
                        "phone_in_talk", t("No call in progress."),
                        t("Ring one of your numbers, or talk to an agent on its Try it page."),
                    )  # fmt: skip
                self._none.set_visibility(not calls)
                self._list.set_visibility(bool(calls))
            self._side = ui.column().classes("panel live-side")
            self._side.set_visibility(False)
        ui.timer(BOARD_S, self._count)  # at once, but no page waits for a look at the whole box
        following = background_tasks.create(self._follow())
        view.client.on_delete(lambda: following.cancel())
        if call_id:
            await self._open_call(call_id)

    # --- the list ---------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Show what changes, as long as the page is there."""
        view = self._view
        try:
            await view.client.connected(CONNECT_S)
            async with service.following(view.console, view.actor) as changes:
                async for change in changes:
                    if view.client.id not in SESSIONS:
                        return
                    with view.client:
                        self._list.apply(change)
                        self._ids |= {call.call_id for call in change.calls}
                        self._ids -= set(change.gone)
                        self._none.set_visibility(not self._ids)
                        self._list.set_visibility(bool(self._ids))
                    await asyncio.sleep(BETWEEN_S)
        except TimeoutError:
            pass  # nobody ever saw this page
        except Exception:  # the border of a job
            log.exception("! the live page is not told of changes any more")
            view.notify(view.t("Changes are not shown any more; load the page again."), "negative")

    # --- one call ---------------------------------------------------------------------------------

    async def _open(self, event: object) -> None:
        call_id = getattr(event, "args", "")
        if isinstance(call_id, str) and call_id:
            await self._open_call(call_id)

    async def _open_call(self, call_id: str) -> None:
        await self._close()
        view = self._view
        try:
            call = await service.read_call(view.console, view.actor, call_id)
        except NotFoundError as e:
            view.notify(view.t(str(e)), "warning")
            return
        self._side.clear()
        with self._side:
            self._one = OneCall(view, call, view.act(self._close))
        self._side.set_visibility(True)
        self._beside.classes(add="live-beside--open")
        self._list.show_open(call_id)
        with view.client:
            ui.navigate.history.replace(f"/live?call={call_id}")

    async def _close(self) -> None:
        if self._one is None:
            return
        self._one.close()
        self._one = None
        self._side.set_visibility(False)
        self._beside.classes(remove="live-beside--open")
        self._list.show_open("")
        with self._view.client:
            ui.navigate.history.replace("/live")

    # --- the board --------------------------------------------------------------------------------

    def _draw_board(self) -> None:
        t = self._view.t
        self._stat("live", t("calls in progress"))
        self._stat("waiting", t("holding for a place"))
        self._stat("gap", t("gap p95, last 15 min"))
        if self._view.actor.may(Permission.SYSTEM_READ):
            self._stat("servers", t("engine servers up"))
            self._stat("trunks", t("trunks up"))
            self._stat("alarms", t("alarms"))

    def _stat(self, name: str, words: str) -> None:
        with ui.column().classes("stat live-stat"):
            value = ui.label("–").classes("stat-value")
            value.props["data-stat"] = name
            ui.label(words).classes("stat-name")
            self._stats[name] = value, ui.label("").classes("small muted live-stat-more")

    def _set(self, name: str, value: str, more: str = "", grade: str = "") -> None:
        label, below = self._stats[name]
        label.set_text(value)
        below.set_text(more)
        label.classes(replace=f"stat-value {grade}")

    async def _count(self) -> None:
        view, t = self._view, self._view.t
        try:
            board = await service.board(view.console, view.actor)
            self._set("waiting", str(board.waiting), "", "bad" if board.waiting else "")
            gap = board.gap_p95_ms
            grade = (
                "" if gap is None else "bad" if gap >= 1500 else "warn" if gap >= 800 else "good"
            )
            self._set(
                "gap", "–" if gap is None else f"{gap} ms",
                t("answers: {n}").format(n=board.gaps) if board.gaps else "", grade,
            )  # fmt: skip
            if not view.actor.may(Permission.SYSTEM_READ):
                self._set("live", str(board.live))
                return
            status = await system.status(view.console, view.actor)
        except (SQLAlchemyError, OSError) as e:
            log.debug("! the board: %s", e)
            return
        capacity = status.capacity
        self._set(
            "live", f"{board.live} / {capacity.places}", t("limited now") if capacity.why else ""
        )
        stages = status.site.stages
        up, away = sum(len(s.up) for s in stages), [s.name for s in stages if not s.up]
        self._set("servers", str(up), ", ".join(f"{n} ✕" for n in away), "bad" if away else "")
        trunks = [trunk for trunk in status.site.switch.trunks if trunk.enabled]
        well = sum(trunk.up for trunk in trunks)
        self._set(
            "trunks", f"{well} / {len(trunks)}" if trunks else "–",
            "" if trunks else t("no trunk here"), "bad" if well < len(trunks) else "",
        )  # fmt: skip
        self._show_alarms(status)

    def _show_alarms(self, status: system.SystemStatus) -> None:
        t, alarms = self._view.t, status.alarms
        self._set("alarms", str(len(alarms)), "", "bad" if alarms else "good")
        grave = [a for a in alarms if a.severity == "critical"][:2]
        if [a.code + a.what for a in grave] == getattr(self, "_grave", None):
            return
        self._grave = [a.code + a.what for a in grave]
        self._alarms.clear()
        with self._alarms:
            for alarm in grave:
                with ui.row().classes("notice notice--bad live-alarm").props("role=alert"):
                    ui.icon("error")
                    ui.label(t(alarm.says).format_map(alarm.values))
                    ui.link(t("What to do"), "/system")
