"""Golden questions of an agent: watched, asked now, and how they were answered over time."""

from __future__ import annotations

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import golden
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View
from appliance.admin.ui.show import Tone, ago, chip, when
from appliance.admin.ui.words import Translate
from appliance.review.golden import Outcome
from appliance.store.golden import GoldenAnswer, GoldenQuestion


class GoldenPanel:
    """The questions of one agent."""

    def __init__(self, view: View, agent_id: str) -> None:
        self._view = view
        self._agent_id = agent_id
        self._may = view.actor.may(Permission.FLAGS_DECIDE)
        t = view.t
        if self._may:
            with ui.row().classes("panel toolbar"):
                self._question = ui.input(t("A question that must stay right"))
                self._question.props("outlined dense maxlength=500").classes("grow")
                self._expected = ui.input(t("Words of a right answer, alternatives parted by |"))
                self._expected.props("outlined dense maxlength=500").classes("grow")
                for field in (self._question, self._expected):
                    field.on("keydown.enter", view.act(self._add))
                ui.button(t("Watch it"), icon="add", on_click=view.act(self._add)).props(
                    "unelevated"
                )
        with ui.row().classes("toolbar"):
            ui.label(t("Asked again every night; what changes is flagged.")).classes("muted grow")
            self._run_button = ui.button(
                t("Ask all now"), icon="play_arrow", on_click=view.act(self._run)
            )
            self._run_button.props("outline").set_visibility(self._may)
        self._progress = ui.linear_progress(0, show_value=False).classes("wide")
        self._progress.set_visibility(False)
        self._told = ui.label("").classes("muted").props('aria-live="polite"')
        self._list = ui.column().classes("wide stack")

    async def load(self) -> None:
        """Draw the questions as they stand."""
        found = await golden.questions(self._view.console, self._view.actor, self._agent_id)
        self._list.clear()
        self._run_button.set_enabled(any(one.enabled for one in found))
        with self._list:
            if not found:
                t = self._view.t
                hint = t("Write down what callers ask most, and what a right answer holds.")
                empty("verified", t("No answer of this agent is watched yet."), hint)
            for one in found:
                self._row(one)

    def _row(self, one: GoldenQuestion) -> None:
        t = self._view.t
        with ui.column().classes("panel golden" + ("" if one.enabled else " hit--faded")):
            with ui.row().classes("hit-head"):
                if one.last:
                    words, tone = verdict_words(t, one.last.verdict)
                    chip(words, tone)
                elif one.enabled:
                    chip(t("not asked yet"))
                if not one.enabled:
                    chip(t("paused"))
                ui.label(one.question).classes("strong grow")
                ui.label(ago(self._view, one.asked_at)).classes("muted small")
                self._buttons(one)
            if one.expected:
                with ui.row().classes("fact"):
                    ui.label(t("Expected")).classes("muted")
                    ui.label(one.expected)
            if one.last:
                ui.label(one.last.answer or t("(nothing)")).classes("answer")

    def _buttons(self, one: GoldenQuestion) -> None:
        t = self._view.t
        over_time = ui.button(icon="history", on_click=self._view.act(lambda: self._history(one)))
        over_time.props(f'flat dense round aria-label="{t("Answers over time")}"')
        over_time.tooltip(t("Answers over time"))
        if not self._may:
            return
        with ui.button(icon="more_vert").props(f'flat dense round aria-label="{t("More")}"'):
            with ui.menu().props("auto-close"):
                ui.menu_item(t("Change what is expected"), self._view.act(lambda: self._edit(one)))
                pause = t("Pause") if one.enabled else t("Watch again")
                ui.menu_item(pause, self._view.act(lambda: self._pause(one)))
                ui.menu_item(t("Remove"), self._view.act(lambda: self._remove(one)))

    async def _add(self) -> None:
        view = self._view
        new = [(self._question.value or "", self._expected.value or "")]
        _, added = await golden.add(view.console, view.actor, self._agent_id, new)
        self._question.value = self._expected.value = ""
        view.notify(view.t("Watched from now on.") if added else view.t("It is watched already."))
        await self.load()

    async def _pause(self, one: GoldenQuestion) -> None:
        await golden.edit(
            *(self._view.console, self._view.actor, one.id),
            expected=one.expected,
            enabled=not one.enabled,
        )
        await self.load()

    async def _edit(self, one: GoldenQuestion) -> None:
        view, t = self._view, self._view.t
        with titled(view, one.question) as dialog:
            expected = ui.input(t("Words of a right answer, alternatives parted by |"))
            expected.props("outlined dense autofocus maxlength=500").classes("wide")
            expected.value = one.expected

            async def save() -> None:
                await golden.edit(
                    *(view.console, view.actor, one.id),
                    expected=expected.value or "",
                    enabled=one.enabled,
                )
                dialog.close()
                await self.load()

            expected.on("keydown.enter", view.act(save))
            buttons(view, dialog, t("Save"), save)

    async def _remove(self, one: GoldenQuestion) -> None:
        view, t = self._view, self._view.t
        question = t("Remove this golden question with its answers?")
        if await view.confirm(f"{question}\n{one.question}", t("Remove"), danger=True):
            await golden.remove(view.console, view.actor, one.id)
            await self.load()

    async def _history(self, one: GoldenQuestion) -> None:
        view, t = self._view, self._view.t
        found = await golden.answers(view.console, view.actor, one.id)
        with titled(view, one.question, "dialog dialog--wide") as dialog:
            with ui.column().classes("history"):
                if not found:
                    ui.label(t("It was not asked yet.")).classes("muted")
                for place, answer in enumerate(found):
                    before = found[place + 1] if place + 1 < len(found) else None
                    _answer(view, answer, before)
            with ui.row().classes("dialog-buttons"):
                ui.button(t("Close"), on_click=dialog.close).props("flat")

    async def _run(self) -> None:
        view, t = self._view, self._view.t
        self._run_button.disable()
        self._progress.set_value(0)
        self._progress.set_visibility(True)
        self._told.set_text(t("Asking …"))

        def progress(outcome: Outcome, done: int, total: int) -> None:
            self._progress.set_value(done / total)
            words, _ = verdict_words(t, outcome.verdict)
            self._told.set_text(f"{done}/{total}  {words}: {outcome.question.question}")

        try:
            ended = await golden.run(view.console, view.actor, self._agent_id, progress)
            counted = [
                f"{count} {verdict_words(t, verdict)[0]}"
                for verdict, count in ended.verdicts.items()
            ]
            if ended.left:
                counted.append(t("{n} left for the next run").format(n=ended.left))
            if ended.flags:
                counted.append(t("{n} new flags").format(n=ended.flags))
            self._told.set_text(", ".join(counted) or t("There was nothing to ask."))
        finally:
            self._progress.set_visibility(False)
            self._run_button.enable()
        await self.load()


def _answer(view: View, answer: GoldenAnswer, before: GoldenAnswer | None) -> None:
    t = view.t
    with ui.column().classes("history-entry"):
        with ui.row().classes("chips"):
            words, tone = verdict_words(t, answer.verdict)
            chip(words, tone)
            ui.label(when(view, answer.at)).classes("muted small num")
            chip(t("agent version {n}").format(n=answer.agent_version))
            chip(t("knowledge version {n}").format(n=answer.knowledge_version))
            if answer.similarity is not None:
                chip(t("{n} % like the one before").format(n=round(100 * answer.similarity)))
        changed = before is not None and before.answer != answer.answer
        ui.label(answer.answer or t("(nothing)")).classes("answer" if changed else "answer muted")


def verdict_words(t: Translate, verdict: str) -> tuple[str, Tone]:
    """What became of an answer, in a word."""
    known: dict[str, tuple[str, Tone]] = {
        "same": (t("right"), "good"),
        "changed": (t("changed"), "warn"),
        "wrong": (t("wrong"), "bad"),
        "stopped": (t("stopped"), "bad"),
        "failed": (t("no answer"), ""),
    }
    return known.get(verdict, (verdict, ""))
