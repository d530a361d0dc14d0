"""The box beneath the calls, in one page: what is wrong, who carries calls, what serves them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui
from sqlalchemy.exc import SQLAlchemyError

from appliance.access.roles import Permission
from appliance.admin.services import system as service
from appliance.admin.services.system import PlanView, SystemStatus
from appliance.admin.ui.checks import ChecksPanel
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import sentence
from appliance.ops.alarms import Severity
from appliance.ops.sitelook import PoolLook, StageLook

REFRESH_S = 3.0
_SEVERITY = {
    Severity.CRITICAL: ("error", "notice--bad"),
    Severity.WARNING: ("warning", "notice--warn"),
    Severity.NOTICE: ("info", ""),
}
_WORKER_CHIPS = {"ok": "chip--good", "starting": "chip--warn", "draining": "chip--warn"}
BUSY, FULL = 0.7, 0.9
"""Shares from which a bar is coloured."""


@page("/system", Permission.SYSTEM_READ, "System")
async def system(view: View) -> None:
    """Drawn anew every three seconds, from a look that everybody shares."""
    ui.timer(REFRESH_S, _System(view).fill)  # at once; what does not answer takes seconds to ask


class _System:
    """The page in one browser. Each part is drawn again only when what it shows has changed."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._zone = ZoneInfo(view.console.settings.switch.timezone)
        alarms = ui.column().classes("stack")
        ChecksPanel(view)
        self._parts = [
            (alarms, self._alarms_of, self._draw_alarms),
            (ui.column().classes("stack"), self._workers_of, self._draw_workers),
            (ui.column().classes("stack"), self._stages_of, self._draw_stages),
            (ui.column().classes("stack"), self._rest_of, self._draw_rest),
            (ui.column().classes("stack"), self._plan_of, self._draw_plan),
        ]
        self._seen: list[object] = [None] * len(self._parts)
        self._waiting = ui.row().classes("waiting")
        with self._waiting:
            ui.spinner(size="sm")
            ui.label(view.t("Looking at every part …"))

    async def fill(self) -> None:
        """Look, and draw what is new."""
        try:
            status = await service.status(self._view.console, self._view.actor)
        except (SQLAlchemyError, OSError):
            return  # the look itself says when the database is away
        self._waiting.set_visibility(False)
        for index, (place, of, draw) in enumerate(self._parts):
            what = of(status)
            if what != self._seen[index]:
                self._seen[index] = what
                place.clear()
                with place:
                    draw(status)

    # --- what each part shows ---------------------------------------------------------------------

    def _alarms_of(self, status: SystemStatus) -> object:
        return status.alarms

    def _workers_of(self, status: SystemStatus) -> object:
        return status.site.workers, status.site.switch

    def _stages_of(self, status: SystemStatus) -> object:
        return status.site.stages, status.site.pools

    def _rest_of(self, status: SystemStatus) -> object:
        site = status.site
        database = (site.database.up, site.database.recent, site.database.backlog)
        return database, site.redis_up, site.jobs_ready, site.disk_free_bytes >> 26, status.versions

    def _plan_of(self, status: SystemStatus) -> object:
        return status.plan, status.plan_trouble

    # --- alarms -----------------------------------------------------------------------------------

    def _draw_alarms(self, status: SystemStatus) -> None:
        t = self._view.t
        if not status.alarms:
            with ui.row().classes("notice notice--good system-alarm").props("role=status"):
                ui.icon("check_circle")
                ui.label(t("Everything answers, and nothing is at its limit."))
            return
        for alarm in status.alarms:
            icon, kind = _SEVERITY[alarm.severity]
            with ui.row().classes(f"notice {kind} system-alarm") as row:
                row.props["role"] = "alert" if alarm.severity is Severity.CRITICAL else "status"
                row.props["data-alarm"] = alarm.code
                ui.icon(icon)
                with ui.column().classes("system-alarm-text"):
                    sentence(t(alarm.says).format_map(alarm.values), "strong")
                    sentence(t(alarm.remedy).format_map(alarm.values), "small")

    # --- workers and trunks -----------------------------------------------------------------------

    def _draw_workers(self, status: SystemStatus) -> None:
        with ui.element("div").classes("grid-2"):
            with ui.column().classes("panel"):
                self._draw_worker_list(status)
            with ui.column().classes("panel"):
                self._draw_telephone(status)

    def _draw_worker_list(self, status: SystemStatus) -> None:
        t, capacity = self._view.t, status.capacity
        with ui.row().classes("toolbar"):
            ui.label(t("Workers")).classes("panel-title")
            ui.element("div").classes("grow")
            ui.label(f"{capacity.calls} / {capacity.places} {t('calls')}").classes("num muted")
        for worker in status.site.workers:
            words = t(worker.status) if worker.up else t("away")
            chip = _WORKER_CHIPS.get(worker.status, "") if worker.up else "chip--bad"
            with ui.row().classes("system-row"):
                ui.label(words).classes(f"chip {chip}")
                ui.label(worker.url).classes("mono system-name")
                _bar(worker.calls, worker.capacity, t("calls"))
            if worker.why:
                ui.label(worker.why).classes("small warn")

    def _draw_telephone(self, status: SystemStatus) -> None:
        t, switch = self._view.t, status.site.switch
        with ui.row().classes("toolbar"):
            ui.label(t("Trunks")).classes("panel-title")
            ui.element("div").classes("grow")
            for name, up in (("ivr switch", switch.up), ("FreeSWITCH", switch.freeswitch)):
                ui.label(name).classes(f"chip {'chip--good' if up else ''}")
        if not switch.up:
            ui.label(t("No ivr switch runs here; calls come through ivr sip, if at all.")).classes(
                "muted"
            )
        elif not switch.trunks:
            ui.label(t("No trunk yet; add one under Trunks.")).classes("muted")
        for trunk in switch.trunks:
            with ui.row().classes("system-row"):
                words, chip = (
                    (t("disabled"), "") if not trunk.enabled
                    else (t("up"), "chip--good") if trunk.up else (t("down"), "chip--bad")
                )  # fmt: skip
                ui.label(words).classes(f"chip {chip}")
                ui.label(trunk.name).classes("system-name")
                if trunk.ping_ms:
                    ui.label(f"{trunk.ping_ms} ms").classes("muted small num")
                _bar(trunk.calls, trunk.max_calls, t("calls"))

    # --- engine servers ---------------------------------------------------------------------------

    def _draw_stages(self, status: SystemStatus) -> None:
        t, site = self._view.t, status.site
        with ui.column().classes("panel"):
            ui.label(t("Engine servers")).classes("panel-title")
            if not site.stages:
                empty("memory", t("The settings name no engine server."), t("See [engines]."))
            for stage in site.stages:
                pools = [pool for pool in site.pools if pool.stage == stage.name]
                self._draw_stage(stage, pools)

    def _draw_stage(self, stage: StageLook, pools: list[PoolLook]) -> None:
        t = self._view.t
        down = [s for s in stage.servers if not s.up and not s.is_optional]
        chip = "chip--bad" if not stage.up else "chip--warn" if down else "chip--good"
        with ui.row().classes("system-row").props(f'data-stage="{stage.name}"'):
            ui.label(f"{len(stage.up)} {t('up')}").classes(f"chip num {chip}")
            ui.label(stage.name).classes("strong system-stage")
            engines = sorted({server.engine for server in stage.up if server.engine})
            ui.label(", ".join(engines)).classes("muted system-name")
            _bar(stage.in_flight, stage.capacity, t("requests at once"))
        for pool in pools:
            counts = {state: pool.states.count(state) for state in dict.fromkeys(pool.states)}
            told = ", ".join(f"{count} {t(state)}" for state, count in counts.items())
            wanted = f"{t('wanted')} {pool.wanted} ({pool.least}–{pool.most})"
            ui.label(f"{pool.pool}: {told or t('none')} · {wanted}").classes(
                "small muted system-pool"
            )
        if down:
            names = ", ".join(server.url for server in down)
            ui.label(f"{t('away')}: {names}").classes("small bad system-pool")

    # --- database, jobs, machine ------------------------------------------------------------------

    def _draw_rest(self, status: SystemStatus) -> None:
        t, site = self._view.t, status.site
        database, recent = site.database, site.database.recent
        pairs: list[tuple[str, str]] = [
            ("Postgres", f"{database.version}, {database.ms:.0f} ms" if database.up else t("away")),
            ("Redis", t("up") if site.redis_up else t("away")),
            ("ivr jobs", t("runs") if site.jobs_ready and site.redis_up else t("does not run")),
        ]  # fmt: skip
        if database.backlog is not None:
            pairs.append((t("Documents to be read"), str(database.backlog.documents)))
        pairs += [
            (t("Disk free"), f"{site.disk_free_bytes / 1e9:.1f} / {site.disk_bytes / 1e9:.0f} GB"),
            (t("Rows waiting on disk"), f"{site.spool_bytes / 1e3:.0f} kB"),
        ]
        if site.certificate_ends is not None:
            pairs.append((t("Certificate ends"), f"{site.certificate_ends:%Y-%m-%d}"))
        if site.backup is not None:
            made = site.backup.state.good_at
            pairs.append(
                (t("Last backup"), f"{made:%Y-%m-%d %H:%M} UTC" if made else t("none yet"))
            )
        calls: list[tuple[str, str]] = []
        if recent is not None:
            calls = [
                (t("Calls ended"), str(recent.calls)),
                (t("Turns"), str(recent.turns)),
                (t("Gap p50"), _ms(recent.gap_p50_ms)),
                (t("Gap p95"), _ms(recent.gap_p95_ms)),
                (t("Calls with late frames"), str(recent.calls_with_late_frames)),
                (t("Turns not as meant"), str(recent.failures)),
            ]
        versions = [(name, version) for name, version in status.versions.items() if version]
        with ui.element("div").classes("grid-3"):
            for title, rows in (
                (t("Database, jobs, disk"), pairs),
                (t("The last 15 minutes"), calls),
                (t("Versions"), versions),
            ):
                with ui.column().classes("panel"):
                    ui.label(title).classes("panel-title")
                    _pairs(rows) if rows else ui.label(t("Not known now.")).classes("muted")

    # --- the plan ---------------------------------------------------------------------------------

    def _draw_plan(self, status: SystemStatus) -> None:
        t = self._view.t
        with ui.column().classes("panel"):
            ui.label(t("Forecast and plan, next 24 hours")).classes("panel-title")
            if status.plan is None or not status.plan.calls:
                hint = status.plan_trouble or t("Make one with `ivr capacity plan --write`.")
                empty("insights", t("No plan is in force."), hint)
                return
            ui.echart(self._chart(status.plan)).classes("system-chart")

    def _chart(self, plan: PlanView) -> dict[str, Any]:
        t = self._view.t

        def at(seconds: float) -> str:
            return f"{datetime.fromtimestamp(seconds, self._zone):%Y-%m-%d %H:%M}"

        last_s = plan.calls[-1].from_s
        series: list[dict[str, Any]] = [
            {"name": t("calls at once, mean"), "type": "line", "showSymbol": False,
             "data": [[at(c.from_s), round(c.mean, 1)] for c in plan.calls]},
            {"name": t("planned for"), "type": "line", "showSymbol": False,
             "lineStyle": {"type": "dashed"},
             "data": [[at(c.from_s), c.upper] for c in plan.calls]},
        ]  # fmt: skip
        for stage, steps in plan.servers.items():
            if not steps:
                continue
            data = [[at(max(s.from_s, plan.calls[0].from_s)), s.servers] for s in steps]
            series.append(
                {"name": f"{stage}, {t('servers')}", "type": "line", "step": "end", "yAxisIndex": 1,
                 "showSymbol": False, "data": [*data, [at(last_s), steps[-1].servers]]}
            )  # fmt: skip
        return {
            "animation": False,
            "textStyle": {"color": "#7a8797"},
            "grid": {"left": 44, "right": 44, "top": 36, "bottom": 26},
            "legend": {"top": 0, "textStyle": {"color": "#7a8797"}},
            "tooltip": {"trigger": "axis"},
            "xAxis": {"type": "time"},
            "yAxis": [
                {"type": "value", "name": t("calls"), "splitLine": {"lineStyle": {"opacity": 0.3}}},
                {"type": "value", "name": t("servers"), "minInterval": 1,
                 "splitLine": {"show": False}},
            ],
            "series": series,
        }  # fmt: skip


def _bar(value: int, most: int, unit: str) -> None:
    """How much of ``most`` is in use."""
    share = value / most if most else 0.0
    kind = "bad" if share >= FULL else "warn" if share >= BUSY else ""
    with ui.row().classes("system-load"):
        with ui.element("div").classes("load") as load:
            load.props["role"] = "meter"
            load.props["aria-label"] = unit
            load.props["aria-valuenow"] = str(value)
            load.props["aria-valuemax"] = str(most)
            fill = ui.element("div").classes(
                f"load-fill load-fill--{kind}" if kind else "load-fill"
            )
            fill.style(f"width: {min(100.0, 100 * share):.0f}%")
        ui.label(f"{value} / {most}" if most else str(value)).classes("num small system-figure")


def _pairs(rows: list[tuple[str, str]]) -> None:
    with ui.element("dl").classes("pairs"):
        for name, value in rows:
            with ui.element("dt"):
                ui.label(name)
            with ui.element("dd"):
                ui.label(value).classes("num")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"
