"""``/agents``: who answers calls, and who shall."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from nicegui import ui

from appliance.access import tenants
from appliance.access.roles import Permission
from appliance.admin.agents.defaults import languages
from appliance.admin.services import agents as service
from appliance.admin.services.agents import MOST_LISTED
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import ago
from appliance.admin.ui.tables import SteadyTable
from appliance.store.agent_views import AgentSummary

NAME = """
<q-td :props="props"><a :href="props.row.href" class="strong">{{ props.value }}</a>
<div class="muted mono">{{ props.row.id }}<span v-if="props.row.tenant"> · {{ props.row.tenant }}</span>
</div></q-td>
"""
VERSION = """
<q-td :props="props"><span class="chip chip--good" v-if="props.value">{{ props.value }}</span>
<span class="chip chip--warn" v-else>{{ props.row.unpublished }}</span>
<div class="muted" v-if="props.row.published">{{ props.row.published }}</div></q-td>
"""
DRAFT = """
<q-td :props="props"><span class="chip chip--accent" v-if="props.value">{{ props.value }}</span></q-td>
"""
LANGUAGES = {
    "en": "English", "hi": "हिन्दी", "mr": "मराठी", "ta": "தமிழ்", "te": "తెలుగు", "bn": "বাংলা",
    "gu": "ગુજરાતી", "kn": "ಕನ್ನಡ", "ml": "മലയാളം", "pa": "ਪੰਜਾਬੀ",
}  # fmt: skip
LONGEST_SLUG = 40
_NOT_IN_ID = re.compile(r"[^a-z0-9]+")


@page("/agents", Permission.AGENTS_READ, "Agents")
async def agents(view: View, search: str = "") -> None:
    """All agents of the actor's tenant, by name."""
    t = view.t
    found = await service.agents(view.console, view.actor, search=search[:100], limit=MOST_LISTED)
    may_edit = view.actor.may(Permission.AGENTS_EDIT)
    with ui.row().classes("toolbar"):
        box = ui.input(placeholder=t("Name or id"), value=search).props("outlined dense clearable")
        box.props["aria-label"] = t("Search")
        with box.add_slot("prepend"):
            ui.icon("search")
        ui.space()
        if may_edit:
            new = ui.button(t("New agent"), icon="add", on_click=view.act(_asker(view, found)))
            new.props("unelevated")
    if not found and not search:
        hint = t("Make one, write what it says, and give it a number.") if may_edit else ""
        empty("support_agent", t("There is no agent yet."), hint)
        return
    with ui.column().classes("panel panel--table"):
        table = SteadyTable(
            columns=_columns(view),
            rows=[_row(view, one) for one in found],
            row_key="id",
            pagination={"rowsPerPage": 25, "sortBy": "name"},
        ).props("flat dense")
        table.props["no-data-label"] = t("No agent is called so.")
        table.add_slot("body-cell-name", NAME)
        table.add_slot("body-cell-version", VERSION)
        table.add_slot("body-cell-draft", DRAFT)
        table.bind_filter_from(box, "value")
    if len(found) == MOST_LISTED:
        ui.label(t("These are the first 200; search by name for others.")).classes("muted")

        async def look() -> None:
            ui.navigate.to(f"/agents?search={box.value or ''}")

        box.on("keydown.enter", view.act(look))


def _columns(view: View) -> list[dict[str, Any]]:
    t = view.t
    left = {"align": "left"}
    return [
        {"name": "name", "label": t("Name"), "field": "name", "sortable": True} | left,
        {"name": "language", "label": t("Language"), "field": "language", "sortable": True} | left,
        {"name": "voice", "label": t("Voice"), "field": "voice"} | left,
        {"name": "numbers", "label": t("Numbers"), "field": "numbers"} | left,
        {"name": "version", "label": t("Answers as"), "field": "version"} | left,
        {"name": "draft", "label": t("Draft"), "field": "draft"} | left,
        {"name": "calls", "label": t("Calls in 24 h"), "field": "calls", "sortable": True},
    ]


def _row(view: View, one: AgentSummary) -> dict[str, Any]:
    t = view.t
    draft = ""
    if one.draft_revision:
        since = {"who": one.draft_by, "when": ago(view, one.draft_at)}
        draft = t("changed by {who}, {when}").format(**since)
    return {
        "id": one.id,
        "name": one.name,
        "href": f"/agents/{one.id}",
        "tenant": one.tenant if view.actor.tenant is None else "",
        "language": LANGUAGES.get(one.language, one.language),
        "voice": one.voice,
        "numbers": ", ".join(t("all others") if n == "*" else n for n in one.numbers),
        "version": t("version {n}").format(n=one.version) if one.version else "",
        "unpublished": t("nobody yet"),
        "published": ago(view, one.published_at),
        "draft": draft,
        "calls": one.calls,
    }


def _asker(view: View, known: list[AgentSummary]) -> Any:
    t = view.t

    async def ask() -> None:
        owners = {}
        if view.actor.tenant is None:
            owners = {one.id: one.name for one in await tenants.list_all(view.console.engine)}
        with titled(view, t("New agent"), "dialog agent-new") as dialog:
            name = ui.input(t("Name")).props("outlined dense autofocus maxlength=80")
            agent_id = ui.input(t("Id")).props("outlined dense maxlength=64")
            ui.label(t("For the API and in files; it cannot be changed later.")).classes("help")
            name.on_value_change(lambda e: agent_id.set_value(slug(e.value or "")))
            begins = {"": t("Blank, with phrases of its language")}
            begins |= {one.id: t("A copy of {name}").format(name=one.name) for one in known}
            source = ui.select(begins, label=t("Begin with"), value="").props("outlined dense")
            language = ui.select(LANGUAGES, label=t("Language"), value="en").props("outlined dense")
            language.bind_visibility_from(source, "value", value="")
            note = ui.label(t("There are no phrases in this language yet: they begin in English."))
            note.classes("help")
            note.bind_visibility_from(language, "value", lambda code: code not in languages())
            owner = ui.select(owners, label=t("Tenant"), value=next(iter(owners), None))
            owner.props("outlined dense").set_visibility(len(owners) > 1)

            async def make() -> None:
                made = await service.create(
                    view.console, view.actor, agent_id.value or "", name.value or "",
                    language=language.value, copy_of=source.value, tenant=owner.value or "",
                )  # fmt: skip
                dialog.close()
                ui.navigate.to(f"/agents/{made.id}")

            buttons(view, dialog, t("Make it"), make)

    return ask


def slug(name: str) -> str:
    """An id made of a name: its Latin letters and digits; empty where it has none."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _NOT_IN_ID.sub("-", plain).strip("-")[:LONGEST_SLUG]
