"""One's own second factor: begun, put in force, taken off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from appliance.access.account import Enrolment
from appliance.admin.login.forms import qr_picture
from appliance.admin.services import account as service
from appliance.admin.services.account import Mine
from appliance.admin.ui.access.once import show_once
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View
from appliance.admin.ui.show import chip

Reload = Callable[[], Awaitable[None]]


class FactorPanel:
    """How somebody's second factor stands, and what they can do about it."""

    def __init__(self, view: View, mine: Mine, reload: Reload) -> None:
        self._view = view
        self._mine = mine
        self._reload = reload

    def draw(self) -> None:
        """In the panel that is open."""
        t, user = self._view.t, self._mine.user
        with ui.row().classes("toolbar"):
            ui.label(t("Second factor")).classes("panel-title")
            if user.has_second_factor:
                chip(t("on"), "good")
            else:
                chip(t("off"), "warn")
        if not user.has_second_factor:
            ui.label(
                t("An app on your telephone shows a code that changes; whoever has only your password"
                  " cannot log in.")
            ).classes("help")  # fmt: skip
            self._button(t("Turn it on"), "phonelink_lock", self._begin)
            return
        left = t("{n} recovery codes are left.").format(n=user.recovery_left)
        ui.label(left).classes("help")
        with ui.row():
            self._button(t("New recovery codes"), "password", self._renew)
            self._button(t("Another telephone"), "phonelink_setup", self._begin)
            if not self._mine.second_factor_required:
                button = self._button(t("Turn it off"), "phonelink_erase", self._remove)
                button.props("color=negative")

    def _button(self, text: str, icon: str, does: Callable[[], Awaitable[None]]) -> ui.button:
        async def act() -> None:
            await does()

        return ui.button(text, icon=icon, on_click=self._view.act(act)).props("outline")

    async def _begin(self) -> None:
        view, t = self._view, self._view.t
        with titled(view, t("Second factor")) as dialog:
            password = _secret(t("Your password, once more"))
            code: ui.input | None = None
            if self._mine.user.has_second_factor:
                code = _code(t("Code of the telephone so far, or a recovery code"))

            async def go_on() -> None:
                proof = (code.value or "") if code is not None else ""
                begun = await service.begin_second_factor(
                    view.console, view.actor, password.value or "", proof
                )
                dialog.close()
                self._confirm(begun)

            buttons(view, dialog, t("Go on"), go_on)

    def _confirm(self, begun: Enrolment) -> None:
        view, t = self._view, self._view.t
        with titled(view, t("Scan this with an authenticator app")) as dialog:
            picture = ui.element("img").classes("factor-qr")
            picture.props["src"] = qr_picture(begun.uri)
            picture.props["alt"] = t("QR code for an authenticator app")
            ui.label(t("Without a camera, type this into the app:")).classes("help")
            ui.label(begun.secret).classes("mono once-secret")
            code = _code(t("Code that the app shows"))

            async def confirm() -> None:
                codes = await service.confirm_second_factor(
                    view.console, view.actor, begun.ticket, code.value or ""
                )
                dialog.close()
                self._show_codes(codes)
                await self._reload()

            buttons(view, dialog, t("Turn it on"), confirm)

    async def _renew(self) -> None:
        view, t = self._view, self._view.t
        with titled(view, t("New recovery codes")) as dialog:
            ui.label(t("The old ones are worth nothing then.")).classes("help")
            code = _code(t("Code that the app shows"))

            async def renew() -> None:
                codes = await service.renew_recovery_codes(
                    view.console, view.actor, code.value or ""
                )
                dialog.close()
                self._show_codes(codes)
                await self._reload()

            buttons(view, dialog, t("Make them"), renew)

    async def _remove(self) -> None:
        view, t = self._view, self._view.t
        with titled(view, t("Turn the second factor off")) as dialog:
            password = _secret(t("Your password, once more"))
            code = _code(t("Code that the app shows, or a recovery code"))

            async def remove() -> None:
                await service.remove_second_factor(
                    view.console, view.actor, password.value or "", code.value or ""
                )
                dialog.close()
                await self._reload()

            buttons(view, dialog, t("Turn it off"), remove, danger=True)

    def _show_codes(self, codes: list[str]) -> None:
        t = self._view.t
        note = t("Each lets you in once, should you lose your telephone. They are not shown again.")
        show_once(self._view, t("Recovery codes"), note, codes)


def _secret(label: str) -> ui.input:
    field = ui.input(label, password=True, password_toggle_button=True)
    field.props("outlined dense autofocus maxlength=256 autocomplete=current-password")
    return field.classes("wide")


def _code(label: str) -> ui.input:
    field = ui.input(label)
    field.props("outlined dense maxlength=40 autocomplete=one-time-code")
    return field.classes("wide")
