"""What is said in a test call, as it is said; and what the guard finds in it."""

from __future__ import annotations

from nicegui import ui

from appliance.admin.services.tryit import Trying
from appliance.admin.ui.calls.transcript import transcript
from appliance.admin.ui.page import View
from appliance.events import Flag

_BOTTOM_PX = 1_000_000


class Talk:
    """Turns that are over with their times, and below them the words that may still change."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._turns: set[int] = set()
        with ui.column().classes("try-talk"):
            self._over = ui.column().classes("try-turns")
            self._now = ui.column().classes("try-now").props("aria-live=polite")
        self.reset()

    def reset(self) -> None:
        """Another call begins."""
        self._turns = set()
        self._over.clear()
        with self._over:
            self._transcript = transcript(self._view, [])
        self._now.clear()
        with self._now:
            hint = "Call the agent and speak, or type: it answers as it answers a caller."
            ui.label(self._view.t(hint)).classes("muted try-hint")

    def show(self, now: Trying) -> None:
        """The call as it stands."""
        for turn in now.turns:
            if turn.index not in self._turns:
                self._turns.add(turn.index)
                self._transcript.add(turn)
                self._transcript.root.run_method("scrollTo", 0, _BOTTOM_PX)
        self._now.clear()
        with self._now:
            for who, words in _unfinished(now):
                self._bubble(who, words)
            if now.hearing:
                self._bubble("caller", f"{now.hearing} …")
            if now.transfer_to:
                note = self._view.t("A caller would now be connected to {to}.")
                ui.label(note.format(to=now.transfer_to)).classes("notice")

    def _bubble(self, who: str, words: str) -> None:
        with ui.element("div").classes(f"bubble bubble--{who} bubble--now"):
            ui.label(words).classes("bubble-words")


def _unfinished(now: Trying) -> list[tuple[str, str]]:
    """(side, words) that may still change. A turn that was taken back and given again, longer or not,
    is told each time."""
    found: list[tuple[str, str]] = []
    for line in now.lines:
        if line.turn or line.who not in ("caller", "agent"):
            continue
        if found and found[-1][0] == line.who and line.text.startswith(found[-1][1]):
            found.pop()
        found.append((line.who, line.text))
    return found


class Findings:
    """What the guard found: shown here alone, for a test call's findings go to no review queue."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._shown: set[str] = set()
        with ui.column().classes("panel"):
            ui.label(view.t("Guard")).classes("panel-title")
            self._list = ui.column().classes("try-flags")
        self.reset()

    def reset(self) -> None:
        """Another call begins."""
        self._shown = set()
        self._list.clear()
        with self._list:
            ui.label(self._view.t("Nothing found.")).classes("muted")

    def show(self, now: Trying) -> None:
        """The call as it stands."""
        for flag in now.flags:
            if flag.id not in self._shown:
                if not self._shown:
                    self._list.clear()
                self._shown.add(flag.id)
                self._add(flag)

    def _add(self, flag: Flag) -> None:
        t = self._view.t
        actions = {"stopped": t("not heard"), "late": t("heard before the verdict")}
        chip = "chip--bad" if flag.severity == "high" else "chip--warn"
        with self._list, ui.column().classes("try-flag"):
            with ui.row().classes("try-chips"):
                ui.label(flag.rule).classes(f"chip {chip}")
                ui.label(actions.get(flag.action, t("heard"))).classes("chip")
                side = t("caller") if flag.side == "caller" else t("agent")
                ui.label(side).classes("chip")
            ui.label(flag.phrase).classes("help")
