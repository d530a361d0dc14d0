"""Answers to common questions, made in advance: what is said without thinking, and how to stop that."""

from __future__ import annotations

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import common_answers
from appliance.admin.ui.calls.passages import show_passage
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View
from appliance.admin.ui.show import ago, chip
from appliance.store.cached_answers import KeptAnswer


class CommonPanel:
    """The answers kept for one agent."""

    def __init__(self, view: View, agent_id: str) -> None:
        self._view = view
        self._agent_id = agent_id
        t = view.t
        sentence = t(
            "What several callers asked in the same words is answered at once, until the agent or its"
            " knowledge changes."
        )
        ui.label(sentence).classes("muted")
        self._list = ui.column().classes("wide stack")

    async def load(self) -> None:
        """Draw the answers as they stand."""
        view, t = self._view, self._view.t
        found = await common_answers.answers(view.console, view.actor, self._agent_id)
        self._list.clear()
        with self._list:
            if not found:
                hint = t(
                    "It takes two callers who ask the same; `ivr jobs` looks every ten minutes."
                )
                empty("bolt", t("Nothing was asked often enough yet."), hint)
            for one in found:
                self._row(one)

    def _row(self, one: KeptAnswer) -> None:
        view, t = self._view, self._view.t
        with ui.column().classes("panel" + (" hit--faded" if one.withdrawn else "")):
            with ui.row().classes("hit-head"):
                if one.withdrawn:
                    chip(t("not said"), "warn")
                else:
                    chip(t("said at once"), "good")
                ui.label(one.cached.question).classes("strong grow")
                calls = t("asked in {n} calls").format(n=one.calls)
                ui.label(f"{calls} · {ago(view, one.made_at)}").classes("muted small")
                if not one.withdrawn and view.actor.may(Permission.FLAGS_DECIDE):
                    ui.button(t("Withdraw"), on_click=view.act(lambda: self._withdraw(one))).props(
                        "flat dense"
                    )
            ui.label(one.cached.answer).classes("answer")
            with ui.row().classes("chips"):
                for passage in one.cached.passages:
                    if passage.cited:
                        show_passage(view, passage)

    async def _withdraw(self, one: KeptAnswer) -> None:
        view, t = self._view, self._view.t
        question = t("Have this question thought about anew in each call?")
        if await view.confirm(question, t("Withdraw")):
            await common_answers.withdraw(
                view.console, view.actor, one.agent_id, one.cached.wording
            )
            await self.load()
