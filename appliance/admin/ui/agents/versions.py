"""An agent's published versions: when, by whom, why; compared with each other and brought back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import agents, drafts
from appliance.admin.services.drafts import DRAFT
from appliance.admin.ui.agents.diffview import show_changes
from appliance.admin.ui.agents.editing import Editing
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View
from appliance.admin.ui.show import ago, when
from appliance.store.agent_views import Version

SHOWN = 100


class Versions:
    """The tab."""

    def __init__(
        self, view: View, agent_id: str, editing: Editing, reload: Callable[[], Awaitable[None]]
    ) -> None:
        self._view, self._id, self._editing, self._reload = view, agent_id, editing, reload
        self._box = ui.column().classes("agent-section")

    async def refresh(self) -> None:
        """Read them anew and draw them."""
        view, t = self._view, self._view.t
        listed = await agents.versions(view.console, view.actor, self._id, limit=SHOWN)
        self._box.clear()
        with self._box:
            if not listed:
                empty("history", t("Nothing was published yet."), t("Publish the draft first."))
                return
            self._compare(listed)
            with ui.column().classes("panel"):
                ui.label(t("Versions")).classes("panel-title").props("role=heading aria-level=2")
                with ui.element("ol").classes("agent-timeline"):
                    for place, version in enumerate(listed):
                        self._entry(version, newest=place == 0)
        await self._show_diff()

    def _compare(self, listed: list[Version]) -> None:
        t = self._view.t
        states: dict[Any, str] = {
            one.version: t("version {n}").format(n=one.version) for one in listed
        }
        if self._editing.edited.revision:
            states = {DRAFT: t("this draft")} | states
        newest = list(states)
        before = newest[1] if len(newest) > 1 else newest[0]
        with ui.column().classes("panel"):
            with ui.row().classes("toolbar"):
                ui.label(t("Compare")).classes("panel-title").props("role=heading aria-level=2")
                act = self._view.act(self._show_diff)
                self._left = ui.select(states, label=t("From"), value=before, on_change=act)
                self._right = ui.select(states, label=t("To"), value=newest[0], on_change=act)
                for select in (self._left, self._right):
                    select.props("outlined dense").classes("agent-state")
            self._diff = ui.column().classes("agent-section")
        self._states = states

    async def _show_diff(self, _: object = None) -> None:
        view = self._view
        left: int | Literal["draft"] = self._left.value
        right: int | Literal["draft"] = self._right.value
        changes = await drafts.changes(view.console, view.actor, self._id, left, right)
        self._diff.clear()
        with self._diff:
            show_changes(view, changes, self._states[left], self._states[right])

    def _entry(self, version: Version, *, newest: bool) -> None:
        view, t = self._view, self._view.t
        with ui.element("li").classes("agent-version"):
            with ui.row().classes("agent-bar-row"):
                ui.label(t("version {n}").format(n=version.version)).classes("strong")
                if newest:
                    ui.label(t("answers now")).classes("chip chip--good")
                who = version.published_by or t("command line")
                ui.label(who).classes("muted")
                ui.label(when(view, version.published_at)).classes("muted num")
                ui.label(ago(view, version.published_at)).classes("muted")
                ui.space()
                if not newest and view.actor.may(Permission.AGENTS_PUBLISH):
                    back = ui.button(
                        t("Roll back to this"), on_click=view.act(partial(self._back, version))
                    )
                    back.props("outline dense no-caps")
            if version.note:
                ui.label(version.note).classes("agent-note")

    async def _back(self, version: Version) -> None:
        view, t = self._view, self._view.t
        question = t(
            "Let version {n} answer again? It is published as a new version; calls in progress keep"
            " theirs, and your draft stays."
        ).format(n=version.version)
        if await view.confirm(question, t("Roll back")):
            done = await drafts.roll_back(view.console, view.actor, self._id, version.version)
            view.notify(t("Version {n} answers from now on.").format(n=done.version))
            await self._reload()
