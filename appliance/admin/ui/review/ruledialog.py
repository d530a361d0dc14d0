"""A rule written or changed, tried while it is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from appliance.admin.services import rules
from appliance.admin.services.rules import ShownRule
from appliance.admin.ui.page import View
from appliance.admin.ui.review.tried import draw_tried
from appliance.admin.ui.review.words import severity_words
from appliance.safety.rules import SiteRule

Saved = Callable[[], Awaitable[None]]


class RuleDialog:
    """Fields of a rule, a text to try it on, and what the guard says to that."""

    def __init__(
        self, view: View, agents: Mapping[str, str], saved: Saved, old: ShownRule | None = None
    ) -> None:
        """``agents``: id -> name of those a rule may be for; ``saved``: called when it is kept."""
        self._view = view
        self._saved = saved
        self._old = old
        t = view.t
        with view.client, ui.dialog() as self._dialog, ui.card().classes("dialog dialog--wide"):
            title = t("Change rule {n}").format(n=old.kept.rule.id) if old else t("New rule")
            ui.label(title).classes("panel-title")
            self._fields(agents)
            with ui.column().classes("notice field-group"):
                self._sample = ui.input(t("Try it on a sentence"))
                self._sample.props("outlined dense maxlength=2000").classes("wide")
                self._sample.on("keydown.enter", view.act(self._try))
                self._tried = ui.column().classes("wide").props('aria-live="polite"')
            with ui.row().classes("dialog-buttons"):
                ui.button(t("Try it"), on_click=view.act(self._try)).props("outline")
                ui.space()
                ui.button(t("Cancel"), on_click=self._dialog.close).props("flat")
                ui.button(t("Keep it"), on_click=view.act(self._save)).props("unelevated")
        self._dialog.on("hide", self._dialog.delete)
        self._dialog.open()

    def _fields(self, agents: Mapping[str, str]) -> None:
        t = self._view.t
        rule = self._old.kept.rule if self._old else SiteRule(0, "words", "", next(iter(agents)))
        with ui.row().classes("toolbar"):
            kinds = {"words": t("words in a row"), "pattern": t("pattern (RE2)")}
            self._kind = self._select(t("Looks for"), kinds, rule.kind)
            self._text = ui.input(t("Words or pattern"), value=rule.text)
            self._text.props("outlined dense autofocus maxlength=300").classes("grow")
        with ui.row().classes("toolbar"):
            self._agent = self._select(t("In calls of"), dict(agents), rule.agent_id)
            sides = {
                "agent": t("what the agent says"),
                "caller": t("what callers say"),
                "both": t("what both say"),
            }
            self._side = self._select(t("Looks at"), sides, rule.side)
            actions = {"stop": t("stop it: nobody hears it"), "flag": t("only flag it")}
            self._action = self._select(t("What happens"), actions, rule.action)
        with ui.row().classes("toolbar"):
            severities = {s: severity_words(t, s) for s in ("low", "medium", "high")}
            self._severity = self._select(t("Severity"), severities, rule.severity)
            self._category = ui.input(t("Category"), value=rule.category)
            self._category.props("outlined dense maxlength=40")
            self._language = ui.input(t("Language; empty: all"), value=rule.language)
            self._language.props("outlined dense maxlength=35")
        self._note = ui.input(t("Why it is there"), value=self._old.kept.note if self._old else "")
        self._note.props("outlined dense maxlength=500").classes("wide")

    def _select(self, label: str, options: dict[str, str], value: str) -> ui.select:
        select = ui.select(options, value=value, label=label)
        select.props("outlined dense options-dense").classes("select")
        return select

    def _rule(self) -> SiteRule:
        # what the fields hold is checked where it is kept
        fields: dict[str, Any] = {
            "kind": self._kind.value,
            "text": self._text.value or "",
            "agent_id": self._agent.value or "",
            "language": (self._language.value or "").strip(),
            "side": self._side.value,
            "category": (self._category.value or "").strip(),
            "severity": self._severity.value,
            "action": self._action.value,
        }
        return SiteRule(self._old.kept.rule.id if self._old else 0, **fields)

    async def _try(self) -> None:
        view, rule = self._view, self._rule()
        found = await rules.try_text(
            *(view.console, view.actor, self._sample.value or ""),
            agent_id=rule.agent_id,
            language=rule.language,
            draft=rule,
        )
        self._tried.clear()
        with self._tried:
            draw_tried(view, found)

    async def _save(self) -> None:
        view, rule, note = self._view, self._rule(), self._note.value or ""
        if self._old is None:
            await rules.add(view.console, view.actor, rule, note)
        else:
            await rules.edit(view.console, view.actor, rule, note)
        self._dialog.close()
        view.notify(view.t("In force within some seconds, for live calls too."))
        await self._saved()
