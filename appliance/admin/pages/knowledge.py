"""``/knowledge``: the knowledge bases."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import knowledge
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import ago, size_text
from appliance.admin.ui.tables import SteadyTable
from appliance.store.base_views import BaseFacts
from appliance.store.documents import OPEN, State

LINK = """
<q-td :props="props"><a :href="props.row.href" class="strong">{{ props.value }}</a>
<div class="muted small" v-if="props.row.tenant">{{ props.row.tenant }}</div></q-td>
"""
STANDS = """
<q-td :props="props"><span class="chips">
<span class="chip chip--good" v-if="props.row.good">{{ props.row.good }}</span>
<span class="chip chip--accent" v-if="props.row.open">{{ props.row.open }}</span>
<span class="chip chip--bad" v-if="props.row.bad">{{ props.row.bad }}</span>
<span class="chip chip--warn" v-if="props.row.odd">{{ props.row.odd }}</span>
<span class="muted" v-if="!props.row.any">{{ props.row.none }}</span></span></q-td>
"""


@page("/knowledge", Permission.KNOWLEDGE_READ, "Knowledge")
async def bases(view: View) -> None:
    """All bases of the actor's tenant, with how far their documents are."""
    t = view.t
    found = await knowledge.bases(view.console, view.actor)
    may_edit = view.actor.may(Permission.KNOWLEDGE_EDIT)
    with ui.row().classes("toolbar"):
        ui.label(t("What your agents answer from.")).classes("muted")
        ui.space()
        ui.link(t("Golden questions"), "/golden").classes("button-link")
        ui.link(t("Common answers"), "/answers").classes("button-link")
        if may_edit:
            ui.button(t("New knowledge base"), icon="add", on_click=view.act(_asker(view))).props(
                "unelevated"
            )
    if not found:
        hint = t("Make one, and drop your FAQ, tariffs and manuals into it.") if may_edit else ""
        empty("menu_book", t("There is no knowledge base yet."), hint)
        return
    columns: list[dict[str, Any]] = [
        {"name": "name", "label": t("Name"), "field": "name", "sortable": True, "align": "left"},
        {"name": "stands", "label": t("Documents"), "field": "documents", "align": "left"},
        {"name": "passages", "label": t("Passages"), "field": "passages", "sortable": True},
        {"name": "size", "label": t("Size"), "field": "size"},
        {"name": "version", "label": t("Version"), "field": "version", "sortable": True},
        {"name": "since", "label": t("In force since"), "field": "since", "align": "left"},
        {"name": "users", "label": t("Used by"), "field": "users", "align": "left"},
    ]
    with ui.column().classes("panel panel--table"):
        table = SteadyTable(
            columns=columns,
            rows=[_row(view, one) for one in found],
            row_key="id",
            pagination={"rowsPerPage": 25, "sortBy": "name"},
        ).props("flat dense")
        table.add_slot("body-cell-name", LINK)
        table.add_slot("body-cell-stands", STANDS)


def _row(view: View, one: BaseFacts) -> dict[str, Any]:
    t = view.t
    states = one.documents
    count = sum(states.values())
    open_count = sum(states.get(state, 0) for state in OPEN)
    failed = states.get(State.FAILED, 0) + states.get(State.REFUSED, 0)
    good = count - open_count - failed
    return {
        "id": one.id,
        "name": one.name,
        "href": f"/knowledge/{one.id}",
        "tenant": one.tenant if view.actor.tenant is None else "",
        "documents": count,
        "any": count,
        "none": t("none yet"),
        "good": t("{n} in force").format(n=good) if good else "",
        "open": t("{n} on the way").format(n=open_count) if open_count else "",
        "bad": t("{n} failed").format(n=failed) if failed else "",
        "odd": t("{n} suspicious").format(n=one.suspicious) if one.suspicious else "",
        "passages": one.passages,
        "size": size_text(one.size_bytes) if count else "",
        "version": one.version or "",
        "since": ago(view, one.published_at),
        "users": ", ".join(
            user.name if user.published else f"{user.name} ({t('draft')})" for user in one.users
        ),
    }


def _asker(view: View) -> Any:
    async def ask() -> None:
        t = view.t
        with titled(view, t("New knowledge base")) as dialog:
            name = ui.input(t("Name")).props("outlined dense autofocus maxlength=100")
            name.classes("wide")
            ui.label(t("Agents choose it by this name.")).classes("help")

            async def make() -> None:
                made = await knowledge.create(view.console, view.actor, name.value or "")
                dialog.close()
                ui.navigate.to(f"/knowledge/{made.id}")

            name.on("keydown.enter", view.act(make))
            buttons(view, dialog, t("Make it"), make)

    return ask
