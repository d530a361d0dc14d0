"""The way of a call, drawn: number, hours, who answers, and what happens otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from appliance.admin.services.callpath import CallPath, PathStep, Stop
from appliance.admin.ui.numbers.hours import open_words
from appliance.admin.ui.page import View

ICONS = {
    Stop.NUMBER: "dialpad", Stop.HOURS: "schedule", Stop.SAYS: "campaign",
    Stop.AGENT: "support_agent", Stop.MENU: "translate", Stop.PERSON: "person",
    Stop.FULL: "hourglass_top", Stop.ENDS: "call_end", Stop.REFUSED: "block",
}  # fmt: skip


def draw_way(view: View, path: CallPath) -> None:
    """The way that is taken, and the others, fainter."""
    t = view.t
    _line(view, t("This happens"), path.taken, "way--taken")
    if path.closed:
        here = any(step.open is not None and step.open.open for step in path.taken)
        _line(view, t("Outside its hours") if here else t("Inside its hours"), path.closed, "")
    if path.full:
        _line(view, t("When every line is busy"), path.full, "")
    for trouble in path.troubles:
        ui.label(trouble).classes("notice notice--warn").props("role=alert")


def _line(view: View, title: str, steps: Sequence[PathStep], kind: str) -> None:
    with ui.column().classes(f"way {kind}"):
        ui.label(title).classes("way-title")
        with ui.row().classes("way-line"):
            for place, step in enumerate(steps):
                if place:
                    ui.icon("arrow_forward").classes("way-arrow").props("aria-hidden=true")
                _stop(view, step)


def _stop(view: View, step: PathStep) -> None:
    title, below, bad = _words(view, step)
    with ui.column().classes("way-stop way-stop--bad" if bad else "way-stop"):
        with ui.row().classes("way-head"):
            ui.icon(ICONS[step.stop]).props("aria-hidden=true")
            ui.label(title).classes("way-name")
        if below:
            ui.label(below).classes("help way-below")


def _words(view: View, step: PathStep) -> tuple[str, str, bool]:
    """Title, what stands below it, and whether something is wrong there."""
    t = view.t
    match step.stop:
        case Stop.NUMBER:
            return (t("every other number") if step.title == "*" else step.title), "", False
        case Stop.HOURS:
            assert step.open is not None
            shown = step.title or t("always")
            return open_words(view, step.open), shown, bool(step.open.problem)
        case Stop.SAYS:
            return t("says"), f"“{step.title}”", False
        case Stop.AGENT:
            digit = t("key {digit}").format(digit=step.digit) if step.digit else t("answers")
            return step.title, digit, False
        case Stop.MENU:
            return t("language menu"), f"“{step.title}”" if step.title else "", False
        case Stop.PERSON:
            return _person(view, step)
        case Stop.FULL:
            return t("holds {s} s for a free line").format(s=step.title), "", False
        case Stop.ENDS:
            return t("the call ends"), "", True
        case Stop.REFUSED:
            return t("nobody answers: the call is refused"), step.title, True


def _person(view: View, step: PathStep) -> tuple[str, str, bool]:
    found = step.reached
    if found is None or found.problem:
        return step.title, view.t("cannot be rung"), True
    rings = view.t("rings up to {s} s").format(s=found.longest_s)
    return step.title, f"{found.name} · {rings}" if found.name else rings, False
