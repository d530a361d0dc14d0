"""What the guard says to a text."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from appliance.admin.services.rules import Tried
from appliance.admin.ui.page import View
from appliance.admin.ui.review.words import SEVERITY_TONES, category_words, severity_words
from appliance.admin.ui.show import chip
from appliance.safety.findings import Finding


def draw_tried(view: View, tried: Tried) -> None:
    """On either side, and in a document."""
    t = view.t
    _side(view, t("If the agent were about to say it"), tried.agent)
    _side(view, t("If a caller said it"), tried.caller)
    if tried.suspicious_document:
        sentence = t("In a document it would be kept out of searches: it reads like orders.")
        ui.label(sentence).classes("notice notice--warn")


def _side(view: View, name: str, findings: Sequence[Finding]) -> None:
    t = view.t
    with ui.column().classes("field-group"):
        ui.label(name).classes("muted small")
        if not findings:
            chip(t("nothing found"), "good")
        for one in findings:
            with ui.row().classes("chips"):
                chip(
                    t("stopped") if one.action == "stop" else t("flagged"),
                    "bad" if one.action == "stop" else "warn",
                )
                chip(severity_words(t, one.severity), SEVERITY_TONES[one.severity])
                ui.label(category_words(t, one.category))
                ui.label(one.rule).classes("mono muted")
                with ui.element("mark"):
                    ui.label(one.phrase)
