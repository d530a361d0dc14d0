"""A campaign's contacts by state, as one bar and in words."""

from __future__ import annotations

from collections.abc import Mapping

from nicegui import ui

from appliance.admin.ui.page import View
from appliance.admin.ui.show import Tone
from appliance.store.campaigns import CampaignState, ContactState

STATE_WORDS = {
    ContactState.REACHED: "reached", ContactState.QUEUED: "being called",
    ContactState.WAITING: "waiting", ContactState.FAILED: "not reached",
    ContactState.REFUSED: "not to be called", ContactState.CANCELLED: "taken off",
}  # fmt: skip
"""In the order of the bar."""
CAMPAIGN_WORDS = {
    CampaignState.DRAFT: "draft", CampaignState.RUNNING: "running",
    CampaignState.PAUSED: "paused", CampaignState.DONE: "done",
    CampaignState.CANCELLED: "cancelled",
}  # fmt: skip
CAMPAIGN_TONES: dict[CampaignState, Tone] = {
    CampaignState.RUNNING: "good", CampaignState.PAUSED: "warn", CampaignState.DONE: "accent",
}  # fmt: skip


def shares(counts: Mapping[ContactState, int]) -> list[dict[str, object]]:
    """The parts of the bar: state, how many, and percent of all."""
    total = sum(counts.values())
    return [
        {"state": str(state), "count": counts[state], "share": 100 * counts[state] / total}
        for state in STATE_WORDS
        if counts.get(state)
    ]


def draw_bar(view: View, counts: Mapping[ContactState, int]) -> None:
    """The bar, and a key below it."""
    t = view.t
    label = ", ".join(f"{t(words)}: {counts.get(state, 0)}" for state, words in STATE_WORDS.items())
    bar = ui.element("div").classes("cbar cbar--tall")
    bar.props["aria-label"] = label
    with bar.props("role=img"):
        for part in shares(counts):
            piece = ui.element("div").classes(f"cbar-part cbar--{part['state']}")
            piece.style(f"width:{part['share']:.3f}%")
    with ui.row().classes("cbar-key"):
        for state, words in STATE_WORDS.items():
            if counts.get(state):
                with ui.row().classes("cbar-word"):
                    ui.element("span").classes(f"cbar-dot cbar--{state}")
                    ui.label(f"{t(words)} {counts[state]:,}").classes("num")
