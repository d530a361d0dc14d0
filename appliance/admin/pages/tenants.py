"""``/tenants``: the operator's customers, and what is theirs."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import agents, knowledge, tenants
from appliance.admin.services.agents import MOST_LISTED
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import when
from appliance.admin.ui.tables import SteadyTable
from appliance.store.users import Tenant

NAME = """
<q-td :props="props"><span class="strong">{{ props.value }}</span>
<div class="muted mono">{{ props.row.id }}</div></q-td>
"""
DO = """
<q-td :props="props" class="text-right">
<q-btn flat dense round icon="edit" size="sm" :aria-label="props.row.rename_words"
@click="$parent.$emit('rename', props.row.id)"></q-btn>
<q-btn flat dense round icon="move_down" size="sm" :aria-label="props.row.assign_words"
@click="$parent.$emit('assign', props.row.id)"></q-btn></q-td>
"""


@page("/tenants", Permission.TENANTS_EDIT, "Tenants")
async def tenants_page(view: View) -> None:
    """All tenants, by id."""
    await TenantsPage(view).draw()


class TenantsPage:
    """The list in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._tenants: dict[str, Tenant] = {}

    async def draw(self) -> None:
        """Toolbar and table."""
        view, t = self._view, self._view.t
        with ui.row().classes("toolbar"):
            ui.label(
                t("The people of a tenant see its own agents, calls and knowledge, and no others'.")
            ).classes("muted")
            ui.space()
            new = ui.button(t("New tenant"), icon="add", on_click=view.act(self._new))
            new.props("unelevated")
        with ui.column().classes("panel panel--table"):
            self._table = SteadyTable(
                columns=self._columns(), rows=[], row_key="id", pagination={"rowsPerPage": 25}
            ).props("flat dense")
            self._table.add_slot("body-cell-name", NAME)
            self._table.add_slot("body-cell-do", DO)
            self._table.on("rename", view.act(self._rename))
            self._table.on("assign", view.act(self._assign))
        await self._load()

    async def _load(self) -> None:
        found = await tenants.list_tenants(self._view.console, self._view.actor)
        self._tenants = {one.id: one for one in found}
        self._table.rows = [self._row(one) for one in found]

    def _columns(self) -> list[dict[str, Any]]:
        t = self._view.t
        left = [("name", t("Name")), ("since", t("Since"))]
        right = [("users", t("People")), ("agents", t("Agents")), ("bases", t("Knowledge bases"))]
        return [
            *(
                {"name": n, "label": w, "field": n, "align": "left", "sortable": True}
                for n, w in left
            ),
            *({"name": n, "label": w, "field": n, "sortable": True} for n, w in right),
            {"name": "do", "label": "", "field": "id"},
        ]

    def _row(self, one: Tenant) -> dict[str, Any]:
        t = self._view.t
        return {
            "id": one.id, "name": one.name, "since": when(self._view, one.created_at),
            "users": one.users, "agents": one.agents, "bases": one.bases,
            "rename_words": t("Rename {name}").format(name=one.name),
            "assign_words": t("Give agents and knowledge to {name}").format(name=one.name),
        }  # fmt: skip

    async def _new(self) -> None:
        view, t = self._view, self._view.t
        with titled(view, t("New tenant")) as dialog:
            name = (
                ui.input(t("Name")).props("outlined dense autofocus maxlength=100").classes("wide")
            )
            tenant = ui.input(t("Id")).props("outlined dense maxlength=40").classes("wide")
            ui.label(t("Letters a-z, digits and dashes; it cannot be changed later.")).classes(
                "help"
            )

            async def make() -> None:
                await tenants.create_tenant(
                    view.console, view.actor, tenant.value or "", name.value or ""
                )
                dialog.close()
                await self._load()

            buttons(view, dialog, t("Make the tenant"), make)

    async def _rename(self, event: Any) -> None:
        view, t = self._view, self._view.t
        one = self._tenants.get(str(event.args))
        if one is None:
            return
        with titled(view, t("Rename {name}").format(name=one.name)) as dialog:
            name = ui.input(t("Name"), value=one.name)
            name.props("outlined dense autofocus maxlength=100").classes("wide")

            async def save() -> None:
                await tenants.rename_tenant(view.console, view.actor, one.id, name.value or "")
                dialog.close()
                await self._load()

            buttons(view, dialog, t("Save"), save)

    async def _assign(self, event: Any) -> None:
        view, t = self._view, self._view.t
        one = self._tenants.get(str(event.args))
        if one is None:
            return
        found = await agents.agents(view.console, view.actor, search="", limit=MOST_LISTED)
        bases = await knowledge.bases(view.console, view.actor)
        title = t("Give agents and knowledge to {name}").format(name=one.name)
        with titled(view, title) as dialog:
            ui.label(
                t("An agent takes its numbers, calls and campaigns along. Its knowledge base and the"
                  " agents of its language menu go with it.")
            ).classes("help")  # fmt: skip
            agent_ids = ui.select(
                {a.id: f"{a.name} ({a.tenant})" for a in found if a.tenant != one.id},
                label=t("Agents"), multiple=True, value=[], with_input=True,
            ).props("outlined dense use-chips").classes("wide")  # fmt: skip
            names = ui.select(
                {b.name: f"{b.name} ({b.tenant})" for b in bases if b.tenant != one.id},
                label=t("Knowledge bases"), multiple=True, value=[], with_input=True,
            ).props("outlined dense use-chips").classes("wide")  # fmt: skip

            async def give() -> None:
                await tenants.assign(view.console, view.actor, one.id, agent_ids.value, names.value)
                dialog.close()
                await self._load()

            buttons(view, dialog, t("Give them"), give)
