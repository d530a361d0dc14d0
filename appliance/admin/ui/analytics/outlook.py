"""Forecast against what came, and what the box carries."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from nicegui import ui

from appliance.admin.services.forecast import Outlook
from appliance.admin.ui.analytics.charts import BLUE, GREY, ORANGE, RED, Series, chart
from appliance.admin.ui.analytics.panel import Table, panel
from appliance.admin.ui.page import View

FAR_TIMES = 4
"""A limit so many times above the calls is told in words: drawn, it would make them a flat line."""


def draw_outlook(view: View, found: Outlook) -> None:
    """Calls that began each hour, and calls at once, both beside their forecast."""
    with ui.element("div").classes("grid-2"):
        _calls(view, found)
        _at_once(view, found)


def _labels(view: View, found: Outlook) -> list[str]:
    zone = ZoneInfo(view.console.settings.switch.timezone)
    hours = (*found.past, *found.coming)
    return [f"{datetime.fromtimestamp(hour.from_s, zone):%a %H:%M}" for hour in hours]


def _calls(view: View, found: Outlook) -> None:
    t, labels, hours = view.t, _labels(view, found), (*found.past, *found.coming)
    came = [hour.calls for hour in hours]
    rows = [
        (label, hour.calls, hour.forecast, hour.upper)
        for label, hour in zip(labels, hours, strict=True)
    ]
    about = t("Calls in, hour by hour, as they came and as they were forecast at the time; then the"
              " next day.")  # fmt: skip
    if found.score and found.score.mape is not None:
        off = t("Over the last {n} days an hour was off by {p} on average.")
        about += " " + off.format(n=found.score.days, p=f"{found.score.mape:.0%}")
    panel(
        view, t("Forecast and what came"), about,
        chart(labels, [
            Series(t("came"), came, "bar", BLUE),
            Series(t("forecast"), [hour.forecast for hour in hours], "step", ORANGE),
            Series(t("at most"), [hour.upper for hour in hours], "step", GREY),
        ], unit=t("calls an hour")),
        Table((t("Time"), t("came"), t("forecast"), t("at most")), rows if found.past else []),
        file="forecast",
    )  # fmt: skip


def _at_once(view: View, found: Outlook) -> None:
    t, labels, hours = view.t, _labels(view, found), (*found.past, *found.coming)
    were = [hour.at_once if hour.calls is not None else None for hour in hours]
    forecast = [None if hour.calls is not None else hour.at_once for hour in hours]
    most = [hour.at_once_upper for hour in hours]
    rows = [
        (label, was, to_come, top)
        for label, was, to_come, top in zip(labels, were, forecast, most, strict=True)
    ]
    about = t("Calls in progress, and the most that is to be expected. The box takes {n} at once by"
              " its settings; {live} are in progress now.")  # fmt: skip
    series = [
        Series(t("were"), were, "line", BLUE),
        Series(t("forecast"), forecast, "line", ORANGE),
        Series(t("at most"), most, "step", GREY),
    ]
    highest = max((value for value in (*were, *most) if value is not None), default=0)
    if highest * FAR_TIMES >= found.max_calls:
        series.append(Series(t("the box takes"), [found.max_calls] * len(hours), "step", RED))
    panel(
        view, t("Calls at once and capacity"),
        about.format(n=found.max_calls, live=found.live),
        chart(labels, series),
        Table((t("Time"), t("were"), t("forecast"), t("at most")), rows if found.past else []),
        file="calls-at-once",
    )  # fmt: skip
