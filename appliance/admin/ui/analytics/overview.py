"""Charts of calls: how many, how they ended, why to a person, where callers hung up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from nicegui import ui

from appliance.admin.periods import Unit
from appliance.admin.services.analytics import Overview
from appliance.admin.ui.analytics.charts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Series,
    chart,
    rows_chart,
)
from appliance.admin.ui.analytics.panel import Table, panel
from appliance.admin.ui.page import View
from appliance.store.terms import Ending

_COLOURS = {
    Ending.CONTAINED: GREEN, Ending.TRANSFERRED: BLUE, Ending.MISSED: PURPLE,
    Ending.ABANDONED: ORANGE, Ending.FAILED: RED, Ending.MACHINE: GREY,
}  # fmt: skip


def ending_words(view: View) -> dict[Ending, str]:
    """In the person's language."""
    t = view.t
    return {
        Ending.CONTAINED: t("contained"), Ending.TRANSFERRED: t("transferred"),
        Ending.MISSED: t("nobody came"), Ending.ABANDONED: t("abandoned"),
        Ending.FAILED: t("failed"), Ending.MACHINE: t("answering machine"),
    }  # fmt: skip


def label_of(at: datetime, unit: Unit) -> str:
    """An hour or a day under a chart."""
    return f"{at:%d %b %H:%M}" if unit == "hour" else f"{at:%a %d %b}"


def draw_calls(view: View, found: Overview) -> None:
    """Calls over time, how they ended, rates, transfers, drop-off."""
    with ui.element("div").classes("grid-2"):
        _calls(view, found)
        _endings(view, found)
        _rates(view, found)
        _quality(view, found)
        _transfers(view, found)
        _drop_off(view, found)


def _calls(view: View, found: Overview) -> None:
    t = view.t
    labels = [label_of(one.at, found.unit) for one in found.over_time]
    inbound = [one.inbound for one in found.over_time]
    outbound = [one.outbound for one in found.over_time]
    rows = list(zip(labels, inbound, outbound, strict=True)) if found.now.volume.offered else []
    panel(
        view, t("Calls"), t("Calls that began in each hour or day, by who rang."),
        chart(labels, [
            Series(t("callers rang"), inbound, "bar", BLUE, "all"),
            Series(t("we rang"), outbound, "bar", ORANGE, "all"),
        ]),
        Table((t("Time"), t("callers rang"), t("we rang")), rows), file="calls",
    )  # fmt: skip


def _endings(view: View, found: Overview) -> None:
    t, words = view.t, ending_words(view)
    labels = [label_of(one.at, found.unit) for one in found.over_time]
    values = {
        kind: [getattr(one.figures.volume, kind.value) for one in found.over_time]
        for kind in Ending
    }
    shown = [kind for kind in Ending if any(values[kind])]
    columns = (t("Time"), *(words[kind] for kind in shown), t("Containment"))
    rows = [
        (label, *(values[kind][n] for kind in shown), _percent(one.figures.containment))
        for n, (label, one) in enumerate(zip(labels, found.over_time, strict=True))
    ]
    series = [Series(words[kind], values[kind], "bar", _COLOURS[kind], "all") for kind in shown]
    panel(
        view, t("How calls ended"),
        t("Contained: ended without a person after at least one answer. Abandoned: hung up before"
          " anything was answered. Nobody came: a person was asked for in vain."),
        chart(labels, series),
        Table(columns, rows if shown else []), file="endings",
    )  # fmt: skip


def _rates(view: View, found: Overview) -> None:
    t, figures = view.t, [one.figures for one in found.over_time]
    rates = (
        (t("Containment"), [_percent(one.containment) for one in figures], GREEN),
        (t("Transfer rate"), [_percent(one.transfer_rate) for one in figures], BLUE),
        (t("Abandonment"), [_percent(one.abandonment) for one in figures], ORANGE),
    )
    _lines(
        view, found, t("Containment, transfers, abandonment"),
        t("Each of all calls that were over, in each hour or day."), rates, "rates",
    )  # fmt: skip


def _quality(view: View, found: Overview) -> None:
    t, figures = view.t, [one.figures for one in found.over_time]
    rates = (
        (t("Interruptions"), [_percent(one.barge_in_rate) for one in figures], PURPLE),
        (t("Flag rate"), [_percent(one.flag_rate) for one in figures], RED),
        (t("failed"), [_percent(one.failure_rate) for one in figures], GREY),
    )
    _lines(
        view, found, t("Interruptions, flags, failed calls"),
        t("Turns in which the caller interrupted the agent, of all turns; calls with a flag, of all"
          " calls; calls that broke, of all that were over."),
        rates, "quality",
    )  # fmt: skip


def _lines(
    view: View,
    found: Overview,
    title: str,
    about: str,
    rates: Sequence[tuple[str, list[float | None], str]],
    file: str,
) -> None:
    labels = [label_of(one.at, found.unit) for one in found.over_time]
    columns = (view.t("Time"), *(f"{name}, %" for name, _, _ in rates))
    rows = [(label, *(values[n] for _, values, _ in rates)) for n, label in enumerate(labels)]
    series = [Series(name, values, "line", colour) for name, values, colour in rates]
    shown = rows if found.now.volume.offered else []
    panel(view, title, about, chart(labels, series, unit="%"), Table(columns, shown), file=file)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 1)


def _transfers(view: View, found: Overview) -> None:
    t = view.t
    words = {
        "asked": t("the caller said so"), "key": t("the caller pressed the key"),
        "failures": t("too many questions without an answer"),
        "agent": t("the agent saw that it should"), "supervisor": t("a supervisor took the call"),
    }  # fmt: skip
    names = [words.get(one.reason, one.reason) for one in found.transfers]
    taken = [one.taken for one in found.transfers]
    in_vain = [one.asked - one.taken for one in found.transfers]
    total = sum(one.asked for one in found.transfers)
    rows = [
        (name, one.asked, one.taken, round(100 * one.asked / total, 1))
        for name, one in zip(names, found.transfers, strict=True)
    ]
    panel(
        view, t("Why a person was asked for"),
        t("By the last reason in each call. In vain: nobody took the call, and the agent went on."),
        rows_chart(names, [
            Series(t("a person came"), taken, "bar", BLUE, "all"),
            Series(t("in vain"), in_vain, "bar", ORANGE, "all"),
        ]),
        Table((t("Why"), t("asked for"), t("a person came"), "%"), rows), file="transfers",
    )  # fmt: skip


def _drop_off(view: View, found: Overview) -> None:
    t = view.t
    last = len(found.drop_off) - 1
    labels = [f"{one.turn}+" if one.turn == last else str(one.turn) for one in found.drop_off]
    dropped = [one.dropped for one in found.drop_off]
    rates = [None if one.share is None else round(one.share * 100, 1) for one in found.drop_off]
    rows = [
        (label, one.reached, one.dropped, rate)
        for label, one, rate in zip(labels, found.drop_off, rates, strict=True)
    ]
    panel(
        view, t("Where callers hung up"),
        t("Callers who hung up after so many answers, and their share of those who got that far."
          " Whoever has what they wanted hangs up too: look for a turn at which many more do."),
        chart(labels, [
            Series(t("hung up"), dropped, "bar", BLUE),
            Series(t("of those who got so far, %"), rates, "line", RED, axis=1),
        ], right_unit="%", x_name=t("answers heard")),
        Table((t("answers heard"), t("got so far"), t("hung up"), "%"), rows), file="drop-off",
    )  # fmt: skip
