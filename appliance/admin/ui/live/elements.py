"""The list of calls in progress, one call's transcript as it grows, and its sound."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from appliance.admin.live.view import Change, LiveCallView
from appliance.admin.ui.live.words import STATE_ICONS, state_words
from appliance.admin.ui.words import Translate

_SHOWN = (
    "call_id", "did", "caller", "direction", "trunk", "agent_name", "agent_version", "language",
    "state", "state_at", "started_at", "ended_at", "gaps_ms", "last_caller", "last_agent",
)  # fmt: skip
LONGEST_LAST_WORDS = 200


class LiveList(ui.element, component="livecalls.js"):
    """The list; emits ``open`` with a call's id."""

    def __init__(self, calls: Sequence[LiveCallView], t: Translate) -> None:
        super().__init__()
        self._props["first"] = [_row(call) for call in calls]
        self._props["serverNow"] = time.time()
        self._props["states"] = state_words(t)
        self._props["icons"] = {state.value: icon for state, icon in STATE_ICONS.items()}
        self._props["words"] = {
            "calls": t("Calls in progress"),
            "state": t("State"),
            "time": t("Time"),
            "in_state": t("In this state for"),
            "who": t("Caller"),
            "caller": t("Caller"),
            "agent": t("Agent"),
            "last": t("Last words"),
            "gaps": t("Gap, ms"),
            "test": t("test"),
            "unknown": t("unknown"),
        }
        self.classes("live-list-root")

    def apply(self, change: Change) -> None:
        """What has changed."""
        self.run_method("apply", [_row(call) for call in change.calls], list(change.gone))

    def show_open(self, call_id: str) -> None:
        """Which call is open beside the list; empty: none."""
        self.run_method("open_row", call_id)

    def search(self, text: str) -> None:
        """Show only calls with these words in them."""
        self.run_method("search", text)


class LiveTalk(ui.element, component="livetalk.js"):
    """One call's transcript."""

    def __init__(self, t: Translate) -> None:
        super().__init__()
        self._props["words"] = {
            "transcript": t("Transcript"),
            "supervisor": t("To the agent"),
            "cut": t("cut off by the caller"),
            "gap": t("From the caller's last sound to the agent's first"),
            "found": t("Answered from"),
            "nothing": t("Nothing has been said yet."),
        }
        self.classes("live-talk-root")

    def show(self, view: LiveCallView) -> None:
        """The call as it stands."""
        lines = [dataclasses.asdict(line) for line in view.lines]
        self.run_method("show", lines, view.hearing)


class LiveSound(ui.element, component="livesound.js"):
    """A call's sound in the browser; emits ``ended`` with the reason when it stops by itself."""

    def __init__(self, t: Translate) -> None:
        super().__init__()
        self._props["words"] = {
            "listening": t("You hear this call; nobody hears you."),
            "connecting": t("Connecting …"),
            "caller": t("Caller"),
            "agent": t("Agent"),
        }

    def start(self, path: str) -> None:
        """Play what the websocket at ``path`` sends."""
        self.run_method("start", path)

    def stop(self) -> None:
        """No more."""
        self.run_method("stop")


def _row(call: LiveCallView) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(call, name) for name in _SHOWN}
    row["state"] = call.state.value
    for name in ("last_caller", "last_agent"):
        row[name] = row[name][-LONGEST_LAST_WORDS:]
    return row
