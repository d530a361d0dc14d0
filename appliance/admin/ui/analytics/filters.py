"""What is asked, above the figures; in the page's address, so that it can be shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from appliance.admin.periods import CUSTOM, DEFAULT
from appliance.admin.services.analytics import LONGEST_LETTERS, Asked
from appliance.admin.ui.calls.words import LANGUAGE_NAMES
from appliance.admin.ui.page import View

PATH = "/analytics"


def read_asked(query: Mapping[str, str]) -> Asked:
    """What an address asks; the service says what is wrong with it."""
    names = [field.name for field in fields(Asked)]
    found = {
        name: query[name].replace("\0", "")[:LONGEST_LETTERS] for name in names if name in query
    }
    return Asked(**found)


def address(asked: Asked) -> str:
    """The page of ``asked``."""
    default = asdict(Asked())
    pairs = {name: value for name, value in asdict(asked).items() if value != default[name]}
    return f"{PATH}?{urlencode(pairs)}" if pairs else PATH


def draw_filters(view: View, asked: Asked, agents: Mapping[str, str]) -> None:
    """Each change leads to the address of what is asked then."""
    t = view.t
    periods = {
        "today": t("Today"), "7d": t("7 days"), "30d": t("30 days"), "90d": t("90 days"),
        CUSTOM: t("From – to"),
    }  # fmt: skip
    with ui.row().classes("panel toolbar"):
        chosen = asked.period if asked.period in periods else DEFAULT
        toggle = ui.toggle(periods, value=chosen).props("dense unelevated no-caps")
        toggle.classes("period-toggle")
        days = ui.row().classes("period-days")
        days.bind_visibility_from(toggle, "value", lambda value: value == CUSTOM)
        with days:
            first, last = (_day(words, value) for words, value in
                           ((t("First day"), asked.first), (t("Last day"), asked.last)))  # fmt: skip
            show = ui.button(t("Show")).props("unelevated dense")
        _select(asked, "unit", t("By"), {"": t("as fits"), "hour": t("hour"), "day": t("day")})
        _select(asked, "agent", t("Agent"), {"": t("all")} | dict(agents))
        _select(
            asked,
            "language",
            t("Language"),
            {"": t("all")} | {code: t(name) for code, name in LANGUAGE_NAMES.items()},
        )

    async def period() -> None:
        if toggle.value != CUSTOM:
            go(replace(asked, period=toggle.value, first="", last=""))

    async def custom() -> None:
        go(replace(asked, period=CUSTOM, first=first.value or "", last=last.value or ""))

    toggle.on_value_change(view.act(period))
    show.on_click(view.act(custom))


def go(asked: Asked) -> None:
    ui.navigate.to(address(asked))


def _day(words: str, value: str) -> ui.input:
    day = ui.input(words, value=value).props("outlined dense type=date stack-label")
    return day.classes("period-day")


def _select(asked: Asked, name: str, label: str, options: dict[str, str]) -> None:
    value = getattr(asked, name)
    if value not in options:
        options = options | {value: value}

    def changed(event: Any) -> None:
        go(replace(asked, **{name: event.value}))

    select = ui.select(options, label=label, value=value, on_change=changed)
    select.props("outlined dense options-dense").classes("log-select")
