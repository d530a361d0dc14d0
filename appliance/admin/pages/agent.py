"""``/agents/ID``: one agent, its draft and its versions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import agents, choices, drafts
from appliance.admin.services.choices import Choices
from appliance.admin.ui.agents.bar import Bar
from appliance.admin.ui.agents.editing import Editing, State
from appliance.admin.ui.agents.fields import TAB_OF, TABS
from appliance.admin.ui.agents.form import Form
from appliance.admin.ui.agents.text import draw_text
from appliance.admin.ui.agents.versions import Versions
from appliance.admin.ui.page import View, page
from appliance.store.agent_views import AgentSummary

TICK_S = 1.0
PROBLEMS_AFTER_S = 0.1
"""The page is drawn first; then the engine servers are asked."""


@page("/agents/{agent_id}", Permission.AGENTS_READ, "Agent", nav="/agents")
async def agent(view: View, agent_id: str, tab: str = "") -> None:
    """The editor, or for who may not edit the same to read."""
    head = await agents.agent(view.console, view.actor, agent_id)
    edited = await drafts.read(view.console, view.actor, agent_id)
    offered = await choices.choices(view.console, view.actor, agent_id, ask_engines=False)
    await AgentPage(view, head, edited, offered).draw(tab)


class AgentPage:
    """One agent in one browser."""

    def __init__(
        self, view: View, head: AgentSummary, edited: drafts.Edited, offered: Choices
    ) -> None:
        self._view = view
        self._id = head.id
        self._offered = offered
        may_edit = view.actor.may(Permission.AGENTS_EDIT)
        self._editing = Editing(view, edited, self._on_state, may_edit)
        self._bar: Bar | None = None
        self._form: Form | None = None
        self._saved_revision = edited.revision
        self._panels: dict[str, ui.column] = {}
        """Of the tabs whose fields were not looked at yet."""

    async def draw(self, tab: str) -> None:
        """Bar, tabs, panels."""
        view, t = self._view, self._view.t
        self._bar = Bar(
            view,
            self._id,
            self._editing,
            reload=self._reload,
            check=self._check_anew,
            show=self._show,
        )
        self._player = ui.audio("", autoplay=True).classes("agent-player")
        self._form = Form(view, self._editing, self._offered, self._say)
        names = [one.name for one in TABS] + ["text", "versions"]
        with ui.row().classes("agent-body"):
            with ui.tabs().props("vertical no-caps").classes("agent-tabs") as tabs:
                for one in TABS:
                    ui.tab(one.name, t(one.title), one.icon)
                ui.tab("text", t("As a file"), "code")
                ui.tab("versions", t("Versions"), "history")
            self._tabs = tabs
            with ui.tab_panels(
                tabs, value=tab if tab in names else names[0], animated=False
            ).classes("agent-panels"):
                for one in TABS:
                    with ui.tab_panel(one.name):
                        self._panels[one.name] = ui.column().classes("agent-section")
                with ui.tab_panel("text"):
                    self._text = ui.column().classes("agent-section")
                with ui.tab_panel("versions"):
                    self._versions = Versions(view, self._id, self._editing, self._reload)
        tabs.on_value_change(self._on_tab)
        if self._editing.may_edit:
            ui.timer(TICK_S, self._tick)
            view.client.on_disconnect(self._leave)
        ui.timer(PROBLEMS_AFTER_S, view.act(self._check_anew), once=True)
        await self._on_shown(tabs.value or "")

    async def _tick(self) -> None:
        """Not an act of a person: an editor that is only open lets its session end."""
        if self._editing.is_due:
            await self._view.act(self._save)()

    async def _save(self) -> None:
        await self._editing.save()
        revision = self._editing.edited.revision
        if revision != self._saved_revision:
            self._saved_revision = revision
            await self._check()

    async def _leave(self) -> None:
        if self._editing.state is State.CHANGED:
            await self._view.act(self._save)()

    async def _check(self) -> None:
        found = await drafts.problems(
            self._view.console, self._view.actor, self._id, self._editing.fields,
            self._offered.engines,
        )  # fmt: skip
        assert self._form is not None and self._bar is not None
        self._form.show_problems(found)
        self._bar.show_problems(found)

    async def _check_anew(self) -> None:
        """With what the engine servers say now."""
        self._offered = await choices.choices(self._view.console, self._view.actor, self._id)
        assert self._form is not None
        self._form.offer(self._offered)
        await self._check()

    async def _on_tab(self, event: Any) -> None:
        await self._view.act(self._on_shown)(str(event.value))

    async def _on_shown(self, tab: str) -> None:
        """A tab is drawn when it is looked at first, and what is made of the fields each time."""
        if (panel := self._panels.pop(tab, None)) is not None:
            assert self._form is not None
            with panel:
                for section in next(one for one in TABS if one.name == tab).sections:
                    self._form.section(section)
                if tab == "knowledge":
                    self._links()
            self._form.show_problems()
        if tab == "versions":
            await self._editing.save()
            await self._versions.refresh()
        elif tab == "text":
            self._text.clear()
            with self._text:
                draw_text(self._view, self._id, self._editing, self._reload)

    def _links(self) -> None:
        """To what belongs to an agent's answers and stands on pages of its own."""
        t, agent = self._view.t, quote(self._id, safe="")
        with ui.row().classes("toolbar"):
            ui.link(t("Golden questions"), f"/golden?agent={agent}").classes("button-link")
            ui.link(t("Common answers"), f"/answers?agent={agent}").classes("button-link")

    def _show(self, field: str) -> None:
        """Open the tab of a field."""
        self._tabs.set_value(TAB_OF.get(field, TABS[0].name))

    def _on_state(self) -> None:
        if self._bar is not None:
            self._bar.show_state()

    async def _say(self, text: str) -> None:
        """Play a text as a caller of the draft would hear it."""
        await self._editing.save()
        fields = self._editing.fields
        names = ("voice", "language", "tts_engine", "pronunciations")
        changed = {name: fields[name] for name in names}
        await choices.sample(self._view.console, self._view.actor, self._id, text, changed)
        query = f"text={quote(text)}&voice={quote(str(fields['voice']))}"
        url = f"/api/v1/agents/{self._id}/sample?{query}&r={self._editing.edited.revision}"
        self._player.set_source(url)
        self._player.play()

    async def _reload(self) -> None:
        """Draw everything anew from what is stored."""
        ui.navigate.to(f"/agents/{self._id}?tab={quote(str(self._tabs.value or ''))}")
