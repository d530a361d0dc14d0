"""Mending what a flag has shown, and both answers beside each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import flag_fixes
from appliance.admin.services.flags import Shown
from appliance.admin.ui.calls.passages import show_passage
from appliance.admin.ui.page import View
from appliance.admin.ui.show import chip, when
from appliance.review.corrections import LONGEST_ANSWER_LETTERS, LONGEST_QUESTION_LETTERS
from appliance.store.flags import Answered, Retest, ReviewedFlag

Mended = Callable[[str], Awaitable[None]]


class Fixing:
    """Correct the knowledge, change the rule, ask again; and the outcome."""

    def __init__(self, view: View, shown: Shown, mended: Mended) -> None:
        """``mended``: called with the id of a flag whose question was asked again."""
        self._view = view
        self._shown = shown
        self._mended = mended
        self._answer: ui.textarea | None = None
        flag = shown.view.reviewed.flag
        may = view.actor.may(Permission.FLAGS_DECIDE)
        if shown.view.reviewed.retest is not None:
            _sides(view, shown.view.reviewed.retest)
        if may and flag.question:
            self._form()

    def _form(self) -> None:
        view, t = self._view, self._view.t
        flag = self._shown.view.reviewed.flag
        with ui.column().classes("panel"):
            with ui.row().classes("toolbar"):
                ui.label(t("Mend it, and ask again")).classes("panel-title grow")
                again = ui.button(
                    t("Only ask again"), icon="replay", on_click=view.act(self._retest)
                )
                again.props("flat dense")
            if flag.knowledge:
                self._question = ui.input(t("Question")).props(
                    f"outlined dense maxlength={LONGEST_QUESTION_LETTERS}"
                )
                self._question.classes("wide")
                asked = flag.question if not self._shown.view.earlier else ""
                self._question.value = asked[:LONGEST_QUESTION_LETTERS]
                if not asked:
                    self._question.props(f'placeholder="{t("as asked, made whole")}"')
                self._answer = ui.textarea(t("The right answer")).props(
                    f"outlined dense autogrow rows=2 maxlength={LONGEST_ANSWER_LETTERS}"
                )
                self._answer.classes("wide review-answer")
                save = ui.button(
                    t("Put it into the knowledge, and ask again"),
                    icon="auto_fix_high",
                    on_click=view.act(self._correct),
                )
                save.props("unelevated")
            else:
                sentence = t("This agent has no knowledge base: change its prompt, then ask again.")
                ui.label(sentence).classes("help")
            if self._shown.may_change_rule and self._shown.rule is not None:
                self._rule_form()
        self._waiting = ui.row().classes("waiting")

    def _rule_form(self) -> None:
        view, t = self._view, self._view.t
        assert self._shown.rule is not None
        rule = self._shown.rule.rule
        ui.separator()
        with ui.row().classes("toolbar"):
            kind = t("Words of rule {n}") if rule.kind == "words" else t("Pattern of rule {n}")
            self._rule = ui.input(kind.format(n=rule.id), value=rule.text)
            self._rule.props("outlined dense maxlength=300").classes("grow")
            ui.button(t("Change the rule"), on_click=view.act(self._change_rule)).props("outline")
            ui.button(t("Switch it off"), on_click=view.act(self._rule_off)).props("flat")

    async def _correct(self) -> None:
        view = self._view
        answer = (self._answer.value or "") if self._answer else ""
        await self._wait(
            flag_fixes.correct(
                *(view.console, view.actor, self._id), answer, self._question.value or ""
            )
        )

    async def _retest(self) -> None:
        await self._wait(flag_fixes.retest(self._view.console, self._view.actor, self._id))

    async def _change_rule(self) -> None:
        view, text = self._view, (self._rule.value or "").strip()
        assert self._shown.rule is not None
        if not text or text == self._shown.rule.rule.text:
            view.notify(view.t("Write other words for the rule."), "warning")
            return
        await self._wait(flag_fixes.change_rule(view.console, view.actor, self._id, text))

    async def _rule_off(self) -> None:
        view, t = self._view, self._view.t
        if await view.confirm(t("Keep this rule, but not in force?"), t("Switch it off")):
            await self._wait(flag_fixes.change_rule(view.console, view.actor, self._id))

    async def _wait(self, work: Awaitable[ReviewedFlag]) -> None:
        """Say that it is under way, and draw the flag anew when it is done."""
        self._waiting.clear()
        with self._waiting:
            ui.spinner(size="20px")
            ui.label(self._view.t("The agent is asked again …")).classes("muted")
        try:
            await work
        finally:
            self._waiting.clear()
        await self._mended(self._id)

    @property
    def _id(self) -> str:
        return self._shown.view.reviewed.flag.id


def _sides(view: View, retest: Retest) -> None:
    """Before and after."""
    t = view.t
    with ui.column().classes("panel"):
        with ui.row().classes("toolbar"):
            ui.label(t("Asked again")).classes("panel-title")
            ui.label(f"{when(view, retest.at)} · {retest.by}").classes("muted small")
        ui.label(t("If it is right now, close the flag above, with a note.")).classes("help")
        if retest.fix:
            ui.label(retest.fix).classes("notice notice--good")
        with ui.element("div").classes("grid-2 review-sides"):
            _side(view, t("Before"), retest.before)
            _side(view, t("Now"), retest.after)


def _side(view: View, name: str, one: Answered) -> None:
    t = view.t
    with ui.column().classes("review-side"):
        with ui.row().classes("chips"):
            ui.label(name).classes("strong")
            chip(t("agent version {n}").format(n=one.agent_version))
            chip(t("knowledge version {n}").format(n=one.knowledge_version))
        ui.label(one.answer or t("(nothing)")).classes("answer")
        if one.failure:
            ui.label(one.failure).classes("notice notice--bad")
        for finding in one.findings:
            with ui.row().classes("chips"):
                chip(finding.rule, "warn")
                ui.label(finding.phrase).classes("small")
        if not one.findings and not one.failure:
            chip(t("nothing found"), "good")
        with ui.row().classes("chips"):
            for passage in one.passages:
                show_passage(view, passage)
