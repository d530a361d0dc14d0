"""``/knowledge/{base_id}/documents/{document_id}``: what was read of a document, page by page."""

from __future__ import annotations

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import documents, knowledge
from appliance.admin.ui.knowledge.documentlist import confirm_removal
from appliance.admin.ui.knowledge.states import TONES, progress_words
from appliance.admin.ui.layout import crumbs
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import chip, size_text, when
from appliance.store.base_views import BaseFacts, PassageView
from appliance.store.document_views import DocumentView
from appliance.store.documents import State

AT_ONCE = 50
"""Passages on the page, until more are asked for."""


@page(
    "/knowledge/{base_id}/documents/{document_id}",
    Permission.KNOWLEDGE_READ,
    "Document",
    nav="/knowledge",
)
async def document(view: View, base_id: int, document_id: int) -> None:
    """One document of a base of the actor's tenant."""
    base = await knowledge.base(view.console, view.actor, base_id)
    found = await documents.document(view.console, view.actor, base_id, document_id)
    _head(view, base, found)
    _facts(view, found)
    await _Passages(view, base, found).more()


def _head(view: View, base: BaseFacts, found: DocumentView) -> None:
    t = view.t
    here = f"/knowledge/{base.id}/documents/{found.id}"

    async def again() -> None:
        await documents.retry(view.console, view.actor, base.id, found.id)
        ui.navigate.to(here)

    async def remove() -> None:
        if await confirm_removal(view, base, found):
            ui.navigate.to(f"/knowledge/{base.id}")

    with ui.row().classes("toolbar"):
        crumbs(found.name, (t("Knowledge"), "/knowledge"), (base.name, f"/knowledge/{base.id}"))
        chip(progress_words(t, found), TONES.get(found.state, ""))
        ui.space()
        original = f"/api/v1{here}/original"
        ui.link(t("Download the original"), original).classes("button-link").props("download")
        if view.actor.may(Permission.KNOWLEDGE_EDIT):
            if found.state in (State.FAILED, State.REFUSED):
                ui.button(t("Read it again"), icon="refresh", on_click=view.act(again)).props(
                    "outline"
                )
            ui.button(t("Remove"), icon="delete", on_click=view.act(remove)).props("flat")


def _facts(view: View, found: DocumentView) -> None:
    t = view.t
    if found.error:
        ui.label(t(found.error)).classes("notice notice--bad")
    if found.source_error:
        ui.label(t(found.source_error)).classes("notice notice--warn")
    for note in found.notes:
        ui.label(note).classes("notice")
    rows = {
        t("Source"): found.source if found.source != "upload" else t("uploaded"),
        t("Asked to be read"): when(view, found.asked_at),
        t("Added by"): found.added_by,
        t("Kind"): found.media_type,
        t("Size"): size_text(found.size_bytes),
        t("Language"): found.language,
        t("Tags"): ", ".join(found.tags),
        t("Pages"): str(found.pages or ""),
        t("Passages in force"): str(found.passages),
        t("Tried again"): when(view, found.next_at),
        t("Changed"): when(view, found.updated_at),
    }
    with ui.element("dl").classes("panel facts-row"):
        for name, value in rows.items():
            if value:
                with ui.element("div"):
                    with ui.element("dt").classes("muted small"):
                        ui.label(name)
                    with ui.element("dd"):
                        ui.label(value)


class _Passages:
    """The passages, some at a time."""

    def __init__(self, view: View, base: BaseFacts, found: DocumentView) -> None:
        self._view = view
        self._base = base
        self._document = found
        self._shown = 0
        self._page: int | None = -1
        t = view.t
        with ui.row().classes("toolbar"):
            ui.label(t("Passages")).classes("panel-title grow")
            self._only = ui.switch(
                t("Only suspicious ones ({n})").format(n=found.suspicious),
                on_change=view.act(self._again),
            )
            self._only.set_visibility(bool(found.suspicious))
        self._list = ui.column().classes("wide stack")
        self._rest = ui.button(t("More"), on_click=view.act(self.more)).props("outline")

    async def _again(self, _: object = None) -> None:
        self._list.clear()
        self._shown, self._page = 0, -1
        await self.more()

    async def more(self) -> None:
        """Draw the next ones."""
        view, t = self._view, self._view.t
        found = await documents.passages(
            *(view.console, view.actor, self._base.id, self._document.id),
            suspicious_only=bool(self._only.value),
            limit=AT_ONCE,
            offset=self._shown,
        )
        self._shown += len(found.passages)
        self._rest.set_visibility(self._shown < found.total)
        with self._list:
            if not found.total:
                ui.label(t("Nothing was read of it yet.")).classes("muted")
            for one in found.passages:
                if one.page != self._page and one.page is not None:
                    ui.label(t("Page {n}").format(n=one.page)).classes("page-number")
                self._page = one.page
                self._passage(one)

    def _passage(self, one: PassageView) -> None:
        view, t = self._view, self._view.t
        marked = " passage--suspicious" if one.suspicious else ""
        with ui.column().classes(f"panel passage{marked}") as box:
            with ui.row().classes("hit-head"):
                if one.heading:
                    ui.label(one.heading).classes("passage-heading grow")
                else:
                    ui.space()
                if one.language:
                    chip(one.language)
                if not one.in_force:
                    chip(t("not in force yet"))
            ui.label(one.text).classes("passage-text")
            if one.suspicious:
                with ui.row().classes("notice notice--warn hit-head") as notice:
                    ui.label(
                        t("This reads like orders to a language model, so no search finds it.")
                    ).classes("grow")
                    if view.actor.may(Permission.KNOWLEDGE_EDIT):

                        async def allow() -> None:
                            taken = await documents.allow(
                                view.console, view.actor, self._base.id, one.id
                            )
                            notice.delete()
                            box.classes(remove="passage--suspicious")
                            since = t("Found since version {n}.").format(n=taken.version)
                            view.notify(
                                since if taken.version else t("Found from the next version on.")
                            )

                        ui.button(t("Allow it"), on_click=view.act(allow)).props("outline dense")
