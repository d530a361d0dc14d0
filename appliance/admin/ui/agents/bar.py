"""The bar over an agent's editor: where the draft stands, what is wrong with it, what to do with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.agents.problems import Problem
from appliance.admin.services import drafts
from appliance.admin.services.drafts import DRAFT
from appliance.admin.ui.agents.diffview import show_changes
from appliance.admin.ui.agents.editing import Editing, State
from appliance.admin.ui.agents.form import in_words, label_of
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.layout import crumbs
from appliance.admin.ui.page import View
from appliance.admin.ui.show import ago

Do = Callable[[], Awaitable[None]]
REFRESH_S = 20.0
"""How often "2 min ago" is counted anew."""


class Bar:
    """It stays at the top of the page."""

    def __init__(
        self, view: View, agent_id: str, editing: Editing, *, reload: Do, check: Do,
        show: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._view, self._id, self._editing = view, agent_id, editing
        self._reload, self._show = reload, show
        self._problems: Sequence[Problem] = ()
        t, act = view.t, view.act
        with ui.column().classes("agent-bar"):
            with ui.row().classes("agent-bar-row"):
                self._name = crumbs("", (t("Agents"), "/agents"))
                self._version = ui.label().classes("chip")
                self._draft = ui.label().classes("chip")
                self._saved = ui.label().classes("muted").props("role=status")
                self._count = ui.button(on_click=self._toggle).props("flat dense no-caps")
                ui.space()
                ui.button(t("Check"), icon="rule", on_click=act(self._checked(check))).props("flat")
                if view.actor.may(Permission.AGENTS_TRY):
                    go = ui.button(t("Try it"), icon="play_circle", on_click=act(self._try))
                    go.props("outline")
                if editing.may_edit:
                    self._discard = ui.button(t("Discard"), on_click=act(self._discarded))
                    self._discard.props("flat")
                if view.actor.may(Permission.AGENTS_PUBLISH):
                    self._publish = ui.button(t("Publish…"), on_click=act(self._ask))
                    self._publish.props("unelevated")
            self._conflict = ui.row().classes("notice notice--bad agent-conflict")
            self._list = ui.column().classes("notice agent-problems")
        self._list.set_visibility(False)
        self._conflict.set_visibility(False)
        self.show_problems(())
        self.show_state()
        ui.timer(REFRESH_S, self.show_state)

    # --- what it shows ------------------------------------------------------------------------

    def show_state(self) -> None:
        """Where the draft stands."""
        t, editing = self._view.t, self._editing
        edited = editing.edited
        self._name.set_text(str(editing.fields.get("name", "")) or self._id)
        answers = t("version {n} answers").format(n=edited.version)
        self._version.set_text(answers if edited.version else t("not published yet"))
        self._tone(self._version, "good" if edited.version else "warn")
        self._draft.set_visibility(bool(edited.revision))
        since = {"who": edited.updated_by, "when": ago(self._view, edited.updated_at)}
        self._draft.set_text(t("Draft, changed by {who}, {when}").format(**since))
        self._tone(self._draft, "accent")
        self._saved.set_text(self._saved_words())
        if editing.may_edit:
            self._discard.set_visibility(bool(edited.revision))
        if self._view.actor.may(Permission.AGENTS_PUBLISH):
            self._publish.set_enabled(bool(edited.revision) or editing.state is State.CHANGED)
        if (editing.state is State.CONFLICT) != self._conflict.visible:
            self._show_conflict()

    def show_problems(self, problems: Sequence[Problem]) -> None:
        """How many there are, and which."""
        t = self._view.t
        self._problems = problems
        errors = sum(problem.severity == "error" for problem in problems)
        if errors:
            text, color = t("Problems: {n}").format(n=errors), "negative"
        elif problems:
            text, color = t("Warnings: {n}").format(n=len(problems)), "warning"
        else:
            text, color = t("No problem found"), "positive"
        self._count.set_text(text)
        self._count.props(f"color={color}")
        self._list.clear()
        with self._list:
            for problem in problems:
                with ui.row().classes("agent-problem-row"):
                    severity = t("error") if problem.severity == "error" else t("warning")
                    tone = "bad" if problem.severity == "error" else "warn"
                    ui.label(severity).classes(f"chip chip--{tone}")
                    if problem.field:
                        name = ui.button(
                            label_of(t, problem.field),
                            on_click=lambda field=problem.field: self._show(field),
                        )
                        name.props("flat dense no-caps")
                    ui.label(in_words(t, problem)).classes("grow")
        if not problems:
            self._list.set_visibility(False)

    def _saved_words(self) -> str:
        t = self._view.t
        match self._editing.state:
            case State.SAVED:
                return t("saved") if self._editing.edited.revision else ""
            case State.CHANGED:
                return t("saving…")
            case State.FAILED:
                return t("Not saved: {why}").format(why=t(self._editing.message))
            case State.CONFLICT:
                return t("Not saved")

    def _tone(self, label: ui.label, tone: str) -> None:
        label.classes(remove="chip--good chip--warn chip--accent", add=f"chip--{tone}")

    def _toggle(self) -> None:
        self._list.set_visibility(bool(self._problems) and not self._list.visible)

    def _show_conflict(self) -> None:
        t, editing = self._view.t, self._editing
        self._conflict.clear()
        self._conflict.set_visibility(editing.state is State.CONFLICT)
        if editing.state is not State.CONFLICT:
            return
        with self._conflict:
            ui.icon("warning")
            ui.label(editing.message).classes("grow").props("role=alert")
            theirs = ui.button(t("Load theirs"), on_click=self._view.act(self._reload))
            theirs.props("flat dense no-caps")
            ours = ui.button(t("Save mine over it"), on_click=self._view.act(self._over))
            ours.props("unelevated dense no-caps color=negative")

    # --- what it does -------------------------------------------------------------------------

    def _checked(self, check: Do) -> Do:
        async def look() -> None:
            await self._editing.save()
            await check()
            self._list.set_visibility(bool(self._problems))

        return look

    async def _over(self) -> None:
        await self._editing.save_over()
        self.show_state()

    async def _try(self) -> None:
        await self._editing.save()
        draft = "?draft=1" if self._editing.edited.revision else ""
        ui.navigate.to(f"/agents/{self._id}/try{draft}")

    async def _discarded(self) -> None:
        view, t = self._view, self._view.t
        question = t("Discard this draft? What was changed since the published version is lost.")
        if await view.confirm(question, t("Discard"), danger=True):
            await self._editing.save()
            revision = self._editing.edited.revision
            await drafts.discard(view.console, view.actor, self._id, revision)
            await self._reload()

    async def _ask(self) -> None:
        """Show what would change, ask for a note, publish."""
        view, t, editing = self._view, self._view.t, self._editing
        if not await editing.save():
            return
        version, revision = editing.edited.version, editing.edited.revision
        changes = await drafts.changes(view.console, view.actor, self._id, version, DRAFT)
        title = t("Publish version {n}").format(n=version + 1)
        with titled(view, title, "dialog agent-publish") as dialog:
            ui.label(
                t("Calls that begin from now on get it; calls in progress keep theirs.")
            ).classes("help")
            before = t("version {n}").format(n=version) if version else t("nothing")
            with ui.element("div").classes("agent-publish-diff"):
                show_changes(view, changes, before, t("this draft"))
            note = ui.textarea(t("What did you change, and why?")).props(
                f"outlined dense autogrow autofocus maxlength={drafts.LONGEST_NOTE_LETTERS}"
            )

            async def publish() -> None:
                done = await drafts.publish(
                    view.console, view.actor, self._id, revision, note.value or ""
                )
                dialog.close()
                view.notify(t("Version {n} answers from now on.").format(n=done.version))
                await self._reload()

            go = buttons(view, dialog, t("Publish"), publish)
            go.set_enabled(bool(changes))
