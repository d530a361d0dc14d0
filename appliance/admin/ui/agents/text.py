"""An agent as its file: to read, to change by hand, to take away and to bring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import events, ui

from appliance.admin.agents.defaults import DEFAULTS
from appliance.admin.agents.file import from_toml, to_toml
from appliance.admin.ui.agents.editing import Editing
from appliance.admin.ui.page import View
from appliance.errors import UserError
from appliance.store.drafts import LARGEST_BYTES, check_fields


def draw_text(
    view: View, agent_id: str, editing: Editing, reload: Callable[[], Awaitable[None]]
) -> None:
    """The fields as TOML."""
    t = view.t
    text = to_toml(agent_id, editing.fields)

    async def take() -> None:
        fields = DEFAULTS | {"name": editing.fields.get("name", "")} | from_toml(area.value or "")
        check_fields(fields)
        editing.set_all(fields)
        if await editing.save():
            view.notify(t("Taken over into the draft."))
            await reload()

    async def bring(event: events.UploadEventArguments) -> None:
        try:
            area.set_value(await event.file.text())
        except UnicodeDecodeError as e:
            raise UserError("This file is no text in UTF-8.") from e
        view.notify(t("Read it, then press Take over."), "info")

    with ui.column().classes("panel"):
        ui.label(t("The whole agent as text")).classes("panel-title").props(
            "role=heading aria-level=2"
        )
        ui.label(
            t("The form of files: keep it, compare it, bring it to another appliance.")
        ).classes("help")
        area = ui.textarea(value=text).props("outlined dense autogrow spellcheck=false")
        area.classes("agent-wide agent-toml").props["aria-label"] = t("The whole agent as text")
        with ui.row().classes("toolbar"):
            ui.button(
                t("Download"),
                icon="download",
                on_click=lambda: ui.download.content(text, f"{agent_id}.toml", "text/plain"),
            ).props("flat")
            if not editing.may_edit:
                area.disable()
                return
            up = ui.upload(
                label=t("Bring a file"), auto_upload=True, max_files=1, max_file_size=LARGEST_BYTES,
                on_upload=view.act(bring),
                on_rejected=lambda: view.notify(t("A file has at most 256 kB."), "negative"),
            )  # fmt: skip
            up.props("accept=.toml flat bordered").classes("agent-upload")
            ui.space()
            ui.button(t("Take over"), on_click=view.act(take)).props("unelevated")
