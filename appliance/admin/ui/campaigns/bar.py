"""A campaign's contacts by state, as one bar and in words."""

from __future__ import annotations

from collections.abc import Mapping

from nicegui import ui

from appliance.admin.ui.page import View
from appliance.admin.ui.show import Tone
from appliance.store.campaigns import CampaignState, ContactState

STATE_WORDS = {
    ContactState.REACHED: "reached", ContactState.FAILED: "not reached",
    ContactState.REFUSED: "not to be called", ContactState.CANCELLED: "taken off",
    ContactState.QUEUED: "being called", ContactState.WAITING: "waiting",
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


RESULT_WORDS = {
    "human": "a person answered", "machine": "an answering machine", "uncertain": "somebody answered",
    "USER_BUSY": "busy", "NO_ANSWER": "no answer", "NO_USER_RESPONSE": "no answer",
    "SUBSCRIBER_ABSENT": "switched off", "CALL_REJECTED": "refused the call",
    "UNALLOCATED_NUMBER": "no such number", "INVALID_NUMBER_FORMAT": "no such number",
    "NUMBER_CHANGED": "the number has changed", "DO_NOT_CALL": "not to be called",
    "CANCELLED": "cancelled by hand", "NORMAL_CLEARING": "hung up at once",
    "NETWORK_OUT_OF_ORDER": "the line was lost", "GATEWAY_DOWN": "the trunk is down",
    "NORMAL_TEMPORARY_FAILURE": "the carrier failed", "the campaign was cancelled": "taken off",
}  # fmt: skip
"""Plain words for results of calls, by all of it or what stands before its colon."""


def result_words(view: View, result: str) -> str:
    """A call's result as people say it; one that nobody has words for, as it is."""
    known = RESULT_WORDS.get(result) or RESULT_WORDS.get(result.partition(":")[0])
    return view.t(known) if known else result


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
