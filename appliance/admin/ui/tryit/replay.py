"""The questions of the last test call, asked again: both answers side by side."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from appliance.admin.services.replay import questions_of, replay
from appliance.admin.services.tryit import Trying
from appliance.admin.ui.calls.transcript import gap_chip
from appliance.admin.ui.page import View
from appliance.events import Turn


class Replays:
    """Of one page: what was asked last, and what it is answered now."""

    def __init__(self, view: View, agent_id: str, is_draft: Callable[[], bool]) -> None:
        """``is_draft``: whether the draft is chosen now."""
        self._view = view
        self._agent_id = agent_id
        self._is_draft = is_draft
        self._before: tuple[Turn, ...] = ()
        self._was = ""
        t = view.t
        with ui.column().classes("panel") as self._panel:
            with ui.row().classes("toolbar"):
                ui.label(t("The same questions again")).classes("panel-title grow")
                self._ask = ui.button(t("Ask again"), icon="replay", on_click=view.act(self._run))
                self._ask.props("outline dense no-caps")
            hint = "Change the draft, then ask again: before and now stand side by side."
            ui.label(t(hint)).classes("help")
            self._rows = ui.element("div").classes("try-compare")
        self._panel.set_visibility(False)

    def remember(self, call: Trying) -> None:
        """A call is over: its questions are those to be asked again."""
        asked = tuple(turn for turn in call.turns if turn.said)
        if not asked:
            return
        self._before, self._was = asked, self._name(draft=call.draft, version=call.version)
        self._panel.set_visibility(True)
        self._draw({})

    def _name(self, *, draft: bool, version: int) -> str:
        t = self._view.t
        return t("draft") if draft else t("version {number}").format(number=version)

    async def _run(self, _: object = None) -> None:
        view, draft = self._view, self._is_draft()
        questions = questions_of(self._before)
        now: dict[int, Turn | None] = {}
        self._ask.disable()
        try:
            self._draw(now, begun=True)
            async for one in replay(
                view.console, view.actor, self._agent_id, questions, draft=draft
            ):
                now[one.index] = one.turn
                with view.client:
                    self._draw(now, begun=True)
        finally:
            with view.client:
                self._ask.enable()

    def _draw(self, now: dict[int, Turn | None], *, begun: bool = False) -> None:
        t = self._view.t
        self._rows.clear()
        with self._rows:
            for title in (t("Question"), f"{t('Answer before')} ({self._was})", t("Answer now")):
                ui.label(title).classes("try-compare-head")
            for index, before in enumerate(self._before[: len(questions_of(self._before))]):
                ui.label(before.said)
                self._answer(before)
                if index in now:
                    self._answer(now[index])
                elif begun and index == len(now):
                    ui.spinner(size="18px")
                else:
                    ui.label("–").classes("muted")

    def _answer(self, turn: Turn | None) -> None:
        with ui.column().classes("try-answer"):
            if turn is None:
                ui.label(self._view.t("The call ended before the answer.")).classes("muted")
                return
            ui.label(turn.reply or turn.heard)
            if turn.gap_ms is not None:
                ui.label(f"{turn.gap_ms} ms").classes(f"chip num {gap_chip(turn.gap_ms)}")
