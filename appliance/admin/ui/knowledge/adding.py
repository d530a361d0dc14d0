"""Documents given to a base: dropped files with progress for each, and a list of URLs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui
from nicegui.events import UploadEventArguments

from appliance.admin.services import documents
from appliance.admin.services.documents import Given
from appliance.admin.ui.knowledge.states import outcome_words
from appliance.admin.ui.page import View
from appliance.admin.ui.show import chip, size_text
from appliance.errors import UserError

FORMATS = "PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, TXT"
LONGEST_SHOWN = 20
"""Outcomes on the page; the table has all documents."""

Changed = Callable[[], Awaitable[None]]


class Adding:
    """The panel through which documents come in."""

    def __init__(self, view: View, base_id: int, changed: Changed) -> None:
        """``changed``: called when there is something new in the base."""
        self._view = view
        self._base_id = base_id
        self._changed = changed
        t = view.t
        with ui.column().classes("panel"):
            with ui.row().classes("toolbar"):
                ui.label(t("Add documents")).classes("panel-title grow")
                self._tags = ui.input(t("Tags, by commas")).props("outlined dense")
                self._language = ui.input(t("Language, if not as found")).props(
                    "outlined dense maxlength=35 placeholder=hi"
                )
            with ui.element("div").classes("grid-2"):
                self._files()
                self._urls()
            self._outcomes = ui.column().classes("outcomes").props('aria-live="polite"')

    def _files(self) -> None:
        t = self._view.t
        most = documents.largest_bytes(self._view.console)
        with ui.column().classes("field-group"):
            upload = ui.upload(
                label=t("Drop files here, or press +"),
                multiple=True,
                auto_upload=True,
                max_file_size=most,
                on_upload=self._view.act(self._uploaded),
                on_rejected=lambda: self._view.notify(
                    t("A file is larger than {size}; split it.").format(size=size_text(most)),
                    "negative",
                ),
            )
            upload.props("flat bordered").classes("uploader wide")
            limit = t("Up to {size} each").format(size=size_text(most))
            ui.label(f"{FORMATS}. {limit}.").classes("help")

    def _urls(self) -> None:
        t = self._view.t
        with ui.column().classes("field-group"):
            self._list = ui.textarea(t("URLs on your own network, one a line")).props(
                "outlined dense rows=4"
            )
            self._list.classes("wide")
            if not self._view.console.settings.knowledge.networks:
                note = t("No network is open to reading by URL yet: knowledge.networks names them.")
                ui.label(note).classes("help")
            button = ui.button(t("Fetch"), icon="link").props("outline dense")
            button.on_click(self._view.act(self._fetch))

    async def _uploaded(self, event: UploadEventArguments) -> None:
        file = event.file
        try:
            given = await documents.upload(
                *(self._view.console, self._view.actor, self._base_id),
                *(file.name, await file.read()),
                media_type=file.content_type,
                tags=self._tag_list(),
                language=self._language.value or "",
            )
        except UserError as e:
            given = Given(file.name, "refused", 0, str(e))
        self._tell([given])
        await self._changed()

    async def _fetch(self) -> None:
        found = await documents.add_urls(
            *(self._view.console, self._view.actor, self._base_id, self._list.value or ""),
            tags=self._tag_list(),
            language=self._language.value or "",
        )
        self._tell(found)
        if not any(one.outcome == "refused" for one in found):
            self._list.value = ""
        await self._changed()

    def _tag_list(self) -> list[str]:
        return (self._tags.value or "").split(",")

    def _tell(self, found: Sequence[Given]) -> None:
        """What became of each, the latest on top."""
        t = self._view.t
        for one in found:
            with self._outcomes, ui.row().classes("outcome") as row:
                words, tone = outcome_words(t, one.outcome)
                chip(words, tone)
                ui.label(one.name).classes("outcome-name")
                if one.why:
                    ui.label(t(one.why)).classes("muted")
                elif not one.told:
                    ui.label(t("Redis is away; it is read as soon as that is back.")).classes(
                        "muted"
                    )
            row.move(target_index=0)
        for old in list(self._outcomes)[LONGEST_SHOWN:]:
            old.delete()
