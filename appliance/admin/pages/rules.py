"""``/rules``: what agents must not say, and what a person should know of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from appliance.access.roles import Permission
from appliance.admin.services import agents, rules
from appliance.admin.services.rules import ShownRule
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.review.ruledialog import RuleDialog
from appliance.admin.ui.review.tried import draw_tried
from appliance.admin.ui.review.words import (
    SEVERITY_TONES,
    category_words,
    severity_words,
    side_words,
)
from appliance.admin.ui.show import when
from appliance.admin.ui.tables import SteadyTable

MOST_AGENTS = 200
TEXT = """
<q-td :props="props"><div class="rule-text" :class="{mono: props.row.pattern}">{{ props.value }}</div>
<div class="muted small rule-text" v-if="props.row.note">{{ props.row.note }}</div></q-td>
"""
SEVERITY = """
<q-td :props="props"><span :class="'chip chip--' + props.row.tone">{{ props.value }}</span></q-td>
"""
STATE = """
<q-td :props="props"><q-toggle dense :model-value="props.row.enabled" :disable="!props.row.may"
 :aria-label="props.row.switch" @update:model-value="$parent.$emit('toggle', props.row.id)" /></q-td>
"""
BUTTONS = """
<q-td :props="props" auto-width><span v-if="props.row.may">
<q-btn flat dense round size="sm" icon="edit" :aria-label="props.row.edit"
 @click="$parent.$emit('change', props.row.id)"><q-tooltip>{{ props.row.edit }}</q-tooltip></q-btn>
<q-btn flat dense round size="sm" icon="delete" :aria-label="props.row.remove"
 @click="$parent.$emit('remove', props.row.id)"><q-tooltip>{{ props.row.remove }}</q-tooltip></q-btn>
</span></q-td>
"""
WORDS = '<q-td :props="props"><div class="rule-texts">{{ props.value }}</div></q-td>'


@page("/rules", Permission.FLAGS_READ, "Rules")
async def guard_rules(view: View) -> None:
    """The site's own rules, those built in, and a box to try words in."""
    t = view.t
    found = await agents.agents(view.console, view.actor, limit=MOST_AGENTS)
    names = {one.id: one.name for one in found}
    with ui.tabs().props("dense align=left no-caps").classes("tabs") as tabs:
        own = ui.tab("own", t("Own rules"), icon="shield")
        tried = ui.tab("try", t("Try these words"), icon="science")
        builtin = ui.tab("builtin", t("Built in"), icon="inventory_2")
    with ui.tab_panels(tabs, value=own).classes("tab-panels"):
        with ui.tab_panel(own).classes("stack"):
            await _Own(view, names).load()
        with ui.tab_panel(tried).classes("stack"):
            _TryBox(view, names)
        with ui.tab_panel(builtin).classes("stack"):
            _builtin(view)


class _Own:
    """The rules of the site, as far as they concern the actor's agents."""

    def __init__(self, view: View, names: Mapping[str, str]) -> None:
        self._view = view
        self._names = names
        self._found: Sequence[ShownRule] = ()
        t = view.t
        may = view.actor.may(Permission.RULES_EDIT) and (names or view.actor.tenant is None)
        with ui.row().classes("toolbar"):
            sentence = t("Whole words, in any spelling; a change is in force within seconds.")
            ui.label(sentence).classes("muted grow")
            if may:
                add = ui.button(t("New rule"), icon="add", on_click=view.act(self._add))
                add.props("unelevated")
        self._empty = ui.column().classes("wide")
        with self._empty:
            hint = t("The built-in ones are in force. Add words that your agents must never say.")
            empty("shield", t("There is no rule of your own."), hint)
        with ui.column().classes("panel panel--table") as self._panel:
            self._table = self._make_table()

    def _make_table(self) -> SteadyTable:
        t = self._view.t
        named = (
            ("text", t("Words or pattern")), ("agent", t("In calls of")), ("side", t("Looks at")),
            ("category", t("Category")), ("severity", t("Severity")), ("action", t("What happens")),
            ("by", t("By")), ("changed", t("Changed")), ("state", t("In force")), ("buttons", ""),
        )  # fmt: skip
        columns: list[dict[str, Any]] = [
            {"name": name, "label": label, "field": name, "align": "left",
             "sortable": name not in ("state", "buttons")}
            for name, label in named
        ]  # fmt: skip
        table = SteadyTable(columns=columns, rows=[], row_key="id", pagination={"rowsPerPage": 25})
        table.props("flat dense")
        for name, slot in (
            ("text", TEXT),
            ("severity", SEVERITY),
            ("state", STATE),
            ("buttons", BUTTONS),
        ):
            table.add_slot(f"body-cell-{name}", slot)
        table.on("toggle", self._view.act(self._toggle))
        table.on("change", self._view.act(self._change))
        table.on("remove", self._view.act(self._remove))
        return table

    async def load(self) -> None:
        """Draw the rules as they stand."""
        self._found = await rules.rules(self._view.console, self._view.actor)
        self._table.rows[:] = [self._row(one) for one in self._found]
        self._table.update()
        self._empty.set_visibility(not self._found)
        self._panel.set_visibility(bool(self._found))

    def _row(self, one: ShownRule) -> dict[str, Any]:
        t, rule = self._view.t, one.kept.rule
        sides = {"both": t("both sides")}
        return {
            "id": rule.id,
            "text": rule.text,
            "pattern": rule.kind == "pattern",
            "note": one.kept.note,
            "agent": self._names.get(rule.agent_id, rule.agent_id) or t("every agent"),
            "side": sides.get(rule.side) or side_words(t, rule.side),
            "category": category_words(t, rule.category),
            "severity": severity_words(t, rule.severity),
            "tone": SEVERITY_TONES[rule.severity],
            "action": t("stopped") if rule.action == "stop" else t("flagged"),
            "by": one.kept.created_by,
            "changed": when(self._view, one.kept.updated_at),
            "enabled": one.kept.enabled,
            "state": one.kept.enabled,
            "may": one.may_change,
            "switch": t("In force"),
            "edit": t("Change"),
            "remove": t("Remove"),
        }

    def _choices(self) -> dict[str, str]:
        """The agents that a rule may be for."""
        everyone = {"": self._view.t("every agent")} if self._view.actor.tenant is None else {}
        return everyone | dict(self._names)

    def _one(self, event: GenericEventArguments) -> ShownRule | None:
        return next((one for one in self._found if one.kept.rule.id == int(event.args)), None)

    async def _add(self) -> None:
        RuleDialog(self._view, self._choices(), self.load)

    async def _change(self, event: GenericEventArguments) -> None:
        if (one := self._one(event)) is not None:
            agent_id = one.kept.rule.agent_id
            RuleDialog(self._view, self._choices() | self._named(agent_id), self.load, one)

    def _named(self, agent_id: str) -> dict[str, str]:
        """An agent that is no more is still what a rule says."""
        return {agent_id: self._names.get(agent_id, agent_id)} if agent_id else {}

    async def _toggle(self, event: GenericEventArguments) -> None:
        if (one := self._one(event)) is not None:
            view = self._view
            await rules.set_enabled(
                view.console, view.actor, one.kept.rule.id, not one.kept.enabled
            )
            await self.load()

    async def _remove(self, event: GenericEventArguments) -> None:
        view, t = self._view, self._view.t
        if (one := self._one(event)) is None:
            return
        question = t("Remove this rule for good? {text}").format(text=one.kept.rule.text)
        if await view.confirm(question, t("Remove"), danger=True):
            await rules.remove(view.console, view.actor, one.kept.rule.id)
            await self.load()


class _TryBox:
    """A text, and what the guard says to it."""

    def __init__(self, view: View, names: Mapping[str, str]) -> None:
        self._view = view
        t = view.t
        with ui.column().classes("panel"):
            with ui.row().classes("toolbar"):
                chosen = {"": t("any agent")} | dict(names)
                self._agent = ui.select(chosen, value="", label=t("In calls of"))
                self._agent.props("outlined dense").classes("select")
                self._text = ui.input(t("What would be said"))
                self._text.props("outlined dense maxlength=2000").classes("grow")
                self._text.on("keydown.enter", view.act(self._try))
                ui.button(t("Try"), icon="science", on_click=view.act(self._try)).props(
                    "unelevated"
                )
            note = t("What callers said and what passages hold is not looked at here.")
            ui.label(note).classes("help")
            self._found = ui.column().classes("wide stack").props('aria-live="polite"')

    async def _try(self) -> None:
        view, text = self._view, self._text.value or ""
        if not text.strip():
            view.notify(view.t("Write some words."), "warning")
            return
        found = await rules.try_text(
            view.console, view.actor, text, agent_id=self._agent.value or ""
        )
        self._found.clear()
        with self._found:
            draw_tried(view, found)


def _builtin(view: View) -> None:
    t = view.t
    sentence = t("These come with the appliance; an agent's safety settings say which it is under.")
    ui.label(sentence).classes("muted")
    columns: list[dict[str, Any]] = [
        {"name": "name", "label": t("Rule"), "field": "name", "align": "left", "sortable": True},
        {"name": "category", "label": t("Category"), "field": "category", "align": "left",
         "sortable": True},
        {"name": "side", "label": t("Looks at"), "field": "side", "align": "left"},
        {"name": "severity", "label": t("Severity"), "field": "severity", "align": "left"},
        {"name": "action", "label": t("What happens"), "field": "action", "align": "left"},
        {"name": "texts", "label": t("Words or patterns"), "field": "texts", "align": "left"},
    ]  # fmt: skip
    rows = [
        {
            "key": f"{one.rule.name} {one.kind}",
            "name": one.rule.name,
            "category": category_words(t, one.rule.category),
            "side": t("both sides") if one.rule.side == "both" else side_words(t, one.rule.side),
            "severity": severity_words(t, one.rule.severity),
            "tone": SEVERITY_TONES[one.rule.severity],
            "action": t("stopped") if one.rule.action == "stop" else t("flagged"),
            "texts": " · ".join(one.texts),
        }
        for one in rules.builtin_rules(view.actor)
    ]
    with ui.column().classes("panel panel--table"):
        search = ui.input(placeholder=t("Filter")).props("dense outlined clearable")
        table = SteadyTable(
            columns=columns, rows=rows, row_key="key", pagination={"rowsPerPage": 15}
        )
        table.props("flat dense").bind_filter_from(search, "value")
        table.add_slot("body-cell-severity", SEVERITY)
        table.add_slot("body-cell-texts", WORDS)
