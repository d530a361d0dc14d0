"""A page about one agent, which is chosen at its top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nicegui import ui

from appliance.admin.services import agents
from appliance.admin.ui.layout import crumbs, empty
from appliance.admin.ui.page import View

MOST_CHOSEN_FROM = 200


class Panel(Protocol):
    """What is shown of the agent."""

    async def load(self) -> None: ...


async def of_agent(
    view: View, path: str, title: str, agent_id: str, panel: Callable[[View, str], Panel]
) -> None:
    """Draw the choice and, under ``title`` (in English), the panel of ``agent_id``, or (empty) of the
    first agent."""
    t = view.t
    found = await agents.agents(view.console, view.actor, limit=MOST_CHOSEN_FROM)
    names = {one.id: one.name for one in found}
    if not names:
        empty("support_agent", t("There is no agent yet."), t("Make one under Agents."))
        return
    chosen = agent_id or next(iter(names))
    if chosen not in names:
        names[chosen] = (await agents.agent(view.console, view.actor, chosen)).name
    with ui.row().classes("toolbar"):
        crumbs(t(title), (t("Knowledge"), "/knowledge"))
        ui.space()
        select = ui.select(names, value=chosen, label=t("Agent"), with_input=len(names) > 8)
        select.props("outlined dense").classes("select")
        select.on_value_change(
            lambda event: ui.navigate.to(f"{path}?agent={event.value}") if event.value else None
        )
    shown = panel(view, chosen)
    await shown.load()
