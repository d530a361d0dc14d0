"""How many flags there are, on top of the queue: what is open, and what each day brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from nicegui import ui

from appliance.admin.services.flags import TREND_DAYS
from appliance.admin.ui.page import View
from appliance.admin.ui.review.words import state_words
from appliance.store.flags import STATES, FlagCount

COLOURS = {"open": "#4f86e8", "confirmed": "#cf4b43", "dismissed": "#9aa7b8"}
AXIS = "#8a94a3"


def draw_trend(view: View, counts: Sequence[FlagCount]) -> None:
    """Tiles and a chart of the last 30 days."""
    t = view.t
    open_ones = Counter[str]()
    decided = 0
    for one in counts:
        if one.state == "open":
            open_ones[one.severity] += one.flags
        else:
            decided += one.flags
    with ui.element("div").classes("review-top"):
        with ui.element("div").classes("review-tiles"):
            _tile(t("Open, high"), open_ones["high"], "bad" if open_ones["high"] else "")
            _tile(t("Open, medium"), open_ones["medium"])
            _tile(t("Open, low"), open_ones["low"])
            _tile(t("Decided in 30 days"), decided)
        with ui.column().classes("panel review-chart"):
            ui.echart(_chart(view, counts)).classes("review-canvas")


def _tile(name: str, value: int, tone: str = "") -> None:
    with ui.column().classes("stat"):
        ui.label(str(value)).classes(f"stat-value {tone}")
        ui.label(name).classes("stat-name")


def _chart(view: View, counts: Sequence[FlagCount]) -> dict[str, object]:
    zone = ZoneInfo(view.console.settings.switch.timezone)
    today = datetime.now(zone).date()
    days = [today - timedelta(days=back) for back in range(TREND_DAYS - 1, -1, -1)]
    sums: Counter[tuple[date, str]] = Counter()
    for one in counts:
        sums[one.day, one.state] += one.flags
    series = [
        {
            "name": state_words(view.t, state),
            "type": "bar",
            "stack": "all",
            "barMaxWidth": 14,
            "itemStyle": {"color": COLOURS[state]},
            "data": [sums[day, state] for day in days],
        }
        for state in STATES
    ]
    return {
        "animation": False,
        "grid": {"left": 34, "right": 8, "top": 26, "bottom": 22},
        "legend": {"top": 0, "right": 0, "itemHeight": 8, "itemWidth": 10,
                   "textStyle": {"color": AXIS, "fontSize": 11}},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "xAxis": {"type": "category", "data": [f"{day:%d %b}" for day in days],
                  "axisLabel": {"color": AXIS, "fontSize": 10},
                  "axisLine": {"lineStyle": {"color": AXIS}}, "axisTick": {"show": False}},
        "yAxis": {"type": "value", "minInterval": 1, "axisLabel": {"color": AXIS, "fontSize": 10},
                  "splitLine": {"lineStyle": {"color": AXIS, "opacity": 0.2}}},
        "series": series,
    }  # fmt: skip
