"""The figures on top, each beside that of the period before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nicegui import ui

from appliance.admin.services.analytics import Figures, Overview
from appliance.admin.ui.page import View

Good = Literal["more", "less", "neither"]
STEADY = 0.02
"""A change of less than so much of the value is none."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure: how it is read, and which way is better."""

    name: str
    help: str
    value: Callable[[Figures], float | None]
    form: Callable[[float], str]
    good: Good


def percent(value: float) -> str:
    return f"{value:.1%}" if value < 0.0995 else f"{value:.0%}"


def whole(value: float) -> str:
    return f"{value:,.0f}"


def milliseconds(value: float) -> str:
    return f"{value:,.0f} ms"


def clock(value: float) -> str:
    return f"{int(value) // 60}:{int(value) % 60:02d}"


def tiles(view: View) -> tuple[Tile, ...]:
    """All of them, in the person's language."""
    t = view.t
    return (
        Tile(t("Calls"), t("Calls that began. Tests and rehearsals are in no figure."),
             lambda f: f.volume.offered, whole, "neither"),
        Tile(t("Containment"),
             t("Ended without a person after at least one answer, of all calls that are over."),
             lambda f: f.containment, percent, "more"),
        Tile(t("Transfer rate"), t("A person took the call over, of all calls that are over."),
             lambda f: f.transfer_rate, percent, "less"),
        Tile(t("Abandonment"),
             t("The caller hung up before anything they said was answered, of all calls that are"
               " over."),
             lambda f: f.abandonment, percent, "less"),
        Tile(t("Average handling time"),
             t("From answer to the agent's end of the call, minutes and seconds."),
             lambda f: f.average_handling_s, clock, "neither"),
        Tile(t("First contact"),
             t("Callers who did not ring again within 24 hours: the usual sign that they got what"
               " they rang for."),
             lambda f: f.first_contact, percent, "more"),
        Tile(t("Gap p50"), t("Half of all answers came sooner after the caller's last sound."),
             lambda f: f.gaps.p50_ms, milliseconds, "less"),
        Tile(t("Gap p95"), t("One answer in twenty came later."),
             lambda f: f.gaps.p95_ms, milliseconds, "less"),
        Tile(t("Interruptions"), t("Turns in which the caller interrupted the agent, of all turns."),
             lambda f: f.barge_in_rate, percent, "less"),
        Tile(t("Flag rate"), t("Calls with something that a person should look at, of all calls."),
             lambda f: f.flag_rate, percent, "less"),
    )  # fmt: skip


def draw_tiles(view: View, overview: Overview) -> None:
    with ui.element("div").classes("analytics-tiles"):
        for tile in tiles(view):
            _draw(view, tile, tile.value(overview.now), tile.value(overview.before))


def _draw(view: View, tile: Tile, now: float | None, before: float | None) -> None:
    with ui.column().classes("stat"):
        ui.label("—" if now is None else tile.form(now)).classes("stat-value")
        ui.label(tile.name).classes("stat-name")
        ui.tooltip(tile.help).classes("chart-tip")
        words, tone = change(now, before, tile.good)
        earlier = "" if before is None else f"{view.t('before')} {tile.form(before)}"
        label = ui.label(" ".join(part for part in (words, earlier) if part) or "\u00a0")
        label.classes(f"stat-change stat-change--{tone}" if tone else "stat-change")


def change(now: float | None, before: float | None, good: Good) -> tuple[str, str]:
    """How it moved, with an arrow, and whether that is good or bad."""
    if now is None or before is None or not before:
        return "", ""
    moved = (now - before) / before
    if abs(moved) < STEADY:
        return "=", ""
    arrow = "▲" if moved > 0 else "▼"
    tone = "" if good == "neither" else "good" if (moved > 0) == (good == "more") else "bad"
    return f"{arrow} {abs(moved):.0%}", tone
