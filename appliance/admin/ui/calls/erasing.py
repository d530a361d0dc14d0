"""Erasing a call or its caller from its page: asked first, then confirmed by repeating what it is."""

from __future__ import annotations

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import callerasure as service
from appliance.admin.services.callerasure import ErasureDone, ErasurePreview
from appliance.admin.services.calls import CallView
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View


def erase_button(view: View, found: CallView) -> None:
    """The button; nothing for those who may not."""
    if not view.actor.may(Permission.CALLS_ERASE) or found.logged.call.ended_at is None:
        return
    call_id = found.logged.call.call_id

    async def ask() -> None:
        preview = await service.preview_erasure(view.console, view.actor, call_id)
        _dialog(view, preview)

    ui.button(view.t("Erase"), icon="delete_forever", on_click=view.act(ask)).props(
        "flat dense color=negative"
    )


def _dialog(view: View, preview: ErasurePreview) -> None:
    t = view.t
    with titled(view, t("Erase for good?")) as dialog:
        text = t(
            "Recording, words and rows go, also from the review queue. Nothing brings them back."
        )
        ui.label(text).classes("dialog-text")
        whole = t("All that is kept of this caller ({count} calls)").format(count=preview.calls)
        choices = {"call": t("This call"), "caller": whole}
        if not preview.number:
            del choices["caller"]
        choice = ui.radio(choices, value="call")
        repeat = ui.input().props("outlined dense autocomplete=off").classes("full-width")

        def label() -> None:
            repeat.props["label"] = (
                t("Type {what} to confirm").format(what=preview.number)
                if choice.value == "caller"
                else t("Type ERASE to confirm")
            )

        async def erase() -> None:
            done = await _erase(view, preview, choice.value or "call", (repeat.value or "").strip())
            if done is not None:
                dialog.close()
                _tell(view, done)

        label()
        choice.on_value_change(label)
        buttons(view, dialog, t("Erase"), erase, danger=True)
        repeat.on("keydown.enter", view.act(erase))


async def _erase(view: View, preview: ErasurePreview, what: str, typed: str) -> ErasureDone | None:
    if what == "caller":
        return await service.erase_caller(view.console, view.actor, preview.call_id, typed)
    if typed.upper() != "ERASE":
        view.notify(view.t("Type ERASE to confirm"), "warning")
        return None
    return await service.erase_call(view.console, view.actor, preview.call_id, preview.call_id)


def _tell(view: View, done: ErasureDone) -> None:
    t = view.t
    text = t("Erased: {calls} calls, {files} recordings, {rows} rows; left: {left}.").format(
        calls=done.calls, files=done.files, rows=done.rows, left=done.left
    )
    with view.client, ui.dialog() as dialog, ui.card().classes("dialog"):
        ui.label(text).classes("dialog-text" if not done.left else "notice notice--warn")
        ui.label(t("What this does not erase")).classes("panel-title")
        for limit in done.limits:
            ui.label(f"– {t(limit)}").classes("help")
        with ui.row().classes("dialog-buttons"):
            ui.button(t("Back to the log"), on_click=lambda: ui.navigate.to("/calls"))
    dialog.props("persistent")
    dialog.open()
