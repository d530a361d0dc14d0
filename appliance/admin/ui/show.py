"""Small things that many pages show: chips, times in the site's own zone, sizes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from nicegui import ui

from appliance.admin.ui.page import View

Tone = Literal["", "good", "warn", "bad", "accent"]
KB, MB = 1_000, 1_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


def chip(text: str, tone: Tone = "") -> ui.label:
    """A word with a colour of its own."""
    return ui.label(text).classes(f"chip chip--{tone}" if tone else "chip")


def when(view: View, at: datetime | None) -> str:
    """Date and time in ``switch.timezone``; empty for none."""
    if at is None:
        return ""
    local = at.astimezone(ZoneInfo(view.console.settings.switch.timezone))
    return f"{local:%Y-%m-%d %H:%M}"


def ago(view: View, at: datetime | None) -> str:
    """How long ago, in the largest unit that fits; empty for never."""
    if at is None:
        return ""
    seconds = max(0, round((datetime.now(UTC) - at).total_seconds()))
    t = view.t
    if seconds < MINUTE_S:
        return t("just now")
    if seconds < HOUR_S:
        return t("{n} min ago").format(n=seconds // MINUTE_S)
    if seconds < DAY_S:
        return t("{n} h ago").format(n=seconds // HOUR_S)
    return t("{n} d ago").format(n=seconds // DAY_S)


def size_text(size_bytes: int) -> str:
    """ "1.2 MB"."""
    if size_bytes < KB:
        return f"{size_bytes} B"
    if size_bytes < MB:
        return f"{size_bytes / KB:.0f} kB"
    return f"{size_bytes / MB:.1f} MB"


def sentence(text: str, classes: str = "") -> None:
    """A sentence; what stands between backticks in it is something to type."""
    with ui.element("div").classes(classes):
        for place, part in enumerate(text.split("`")):
            if part:
                ui.label(part).classes("sentence-typed" if place % 2 else "sentence-part")
