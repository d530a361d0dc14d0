"""``/knowledge/{base_id}``: one base: documents, what is found in it, its versions."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import documents, knowledge
from appliance.admin.ui.knowledge.adding import Adding
from appliance.admin.ui.knowledge.documentlist import DocumentList
from appliance.admin.ui.knowledge.searchbox import SearchBox
from appliance.admin.ui.knowledge.states import outcome_words
from appliance.admin.ui.layout import crumbs
from appliance.admin.ui.page import Handler, View, page
from appliance.admin.ui.show import chip, size_text, when
from appliance.admin.ui.tables import SteadyTable
from appliance.store.base_views import BaseFacts


@page("/knowledge/{base_id}", Permission.KNOWLEDGE_READ, "Knowledge base", nav="/knowledge")
async def base(view: View, base_id: int) -> None:
    """One knowledge base of the actor's tenant."""
    t = view.t
    found = await knowledge.base(view.console, view.actor, base_id)
    may_edit = view.actor.may(Permission.KNOWLEDGE_EDIT)
    head = ui.row().classes("toolbar")
    _head(view, head, found, may_edit)

    async def published() -> None:
        now = await knowledge.base(view.console, view.actor, base_id)
        _head(view, head, now, may_edit)

    with ui.tabs().props("dense align=left no-caps").classes("tabs") as tabs:
        first = ui.tab("documents", t("Documents"), icon="description")
        search = ui.tab("search", t("Try a question"), icon="search")
        versions = ui.tab("versions", t("Versions"), icon="history")
    with ui.tab_panels(tabs, value=first).classes("tab-panels"):
        with ui.tab_panel(first).classes("stack"):
            if may_edit:
                adding_place = ui.column().classes("wide")
            listed = DocumentList(view, found, published)
            if may_edit:
                with adding_place:
                    Adding(view, base_id, listed.load)
            await listed.load()
        with ui.tab_panel(search).classes("stack"):
            SearchBox(view, found)
        with ui.tab_panel(versions).classes("stack"):
            await _versions(view, base_id)


def _head(view: View, head: ui.row, found: BaseFacts, may_edit: bool) -> None:
    t = view.t
    head.clear()
    with head:
        crumbs(found.name, (t("Knowledge"), "/knowledge"))
        if found.version:
            chip(t("version {n}").format(n=found.version), "good")
        else:
            chip(t("nothing in force yet"), "warn")
        chip(t("{n} passages").format(n=found.passages))
        chip(size_text(found.size_bytes))
        ui.space()
        if may_edit:
            _actions(view, found)
        if found.users:
            with ui.row().classes("chips wide"):
                ui.label(t("Used by")).classes("muted")
                for user in found.users:
                    ui.link(user.name, f"/agents/{user.agent_id}").classes("chip chip--accent")


def _actions(view: View, found: BaseFacts) -> None:
    t = view.t
    with ui.row().classes("chips"):
        again = ui.button(
            t("Ask URLs again"), icon="sync", on_click=view.act(_refresher(view, found))
        )
        again.props("flat dense")
        drop = ui.button(icon="delete", on_click=view.act(_dropper(view, found)))
        drop.props(f'flat dense round aria-label="{t("Delete this knowledge base")}"')
        drop.tooltip(t("Delete this knowledge base"))


def _refresher(view: View, found: BaseFacts) -> Handler:
    async def refresh() -> None:
        t = view.t
        asked = await documents.refresh(view.console, view.actor, found.id)
        if not asked:
            view.notify(t("No document of this base came from a URL."), "info")
            return
        counts: dict[str, int] = {}
        for one in asked:
            words, _ = outcome_words(t, one.outcome)
            counts[words] = counts.get(words, 0) + 1
        view.notify(", ".join(f"{count} {words}" for words, count in counts.items()), "info")

    return refresh


def _dropper(view: View, found: BaseFacts) -> Handler:
    async def drop() -> None:
        t = view.t
        count = sum(found.documents.values())
        question = t("Delete {name} with its {n} documents and {p} passages?").format(
            name=found.name, n=count, p=found.passages
        )
        if names := [user.name for user in found.users if user.published]:
            agents = ", ".join(names)
            question += " " + t(
                "{agents} answers from it: publish without it first, or this is refused."
            ).format(agents=agents)
        if await view.confirm(question, t("Delete"), danger=True):
            await knowledge.drop(view.console, view.actor, found.id)
            ui.navigate.to("/knowledge")

    return drop


async def _versions(view: View, base_id: int) -> None:
    t = view.t
    found = await knowledge.versions(view.console, view.actor, base_id)
    sentence = t("A call keeps the version that it began with; a new one is for the next calls.")
    ui.label(sentence).classes("muted")
    columns: list[dict[str, Any]] = [
        {"name": "version", "label": t("Version"), "field": "version", "sortable": True},
        {"name": "at", "label": t("In force from"), "field": "at", "align": "left"},
        {"name": "passages", "label": t("Passages"), "field": "passages"},
        {"name": "added", "label": t("New"), "field": "added"},
        {"name": "ended", "label": t("Gone"), "field": "ended"},
        {"name": "embedder", "label": t("Vectors of"), "field": "embedder", "align": "left"},
    ]
    rows = [
        {
            "version": one.version,
            "at": when(view, one.published_at),
            "passages": t("erased") if one.pruned else one.passages,
            "added": "" if one.pruned else one.added,
            "ended": "" if one.pruned else one.ended,
            "embedder": one.embedder,
        }
        for one in found
    ]
    with ui.column().classes("panel panel--table"):
        SteadyTable(
            columns=columns, rows=rows, row_key="version", pagination={"rowsPerPage": 25}
        ).props("flat dense")
