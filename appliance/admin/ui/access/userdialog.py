"""One person: made, changed, given a new password, shut out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nicegui import ui

from appliance.access.roles import Role
from appliance.access.users import Profile
from appliance.admin.services import users as service
from appliance.admin.ui.access.once import show_once
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View
from appliance.admin.ui.words import LANGUAGES
from appliance.store.users import Tenant, User

Reload = Callable[[], Awaitable[None]]


class UserDialog:
    """A dialog on one person, or on a new one."""

    def __init__(
        self, view: View, tenants: list[Tenant], reload: Reload, user: User | None = None
    ) -> None:
        self._view = view
        self._user = user
        self._reload = reload
        self._roles = {
            role.value: view.t(role.capitalize()) for role in service.roles_to_give(view.actor)
        }
        if user is not None:
            self._roles |= {user.role: view.t(user.role.capitalize())}
        self._tenants = {one.id: one.name for one in tenants}
        if view.actor.tenant is None:
            self._tenants = {"": view.t("The operator's own staff")} | self._tenants

    def open(self) -> None:
        """Show it; it removes itself when it is closed."""
        view, t, user = self._view, self._view.t, self._user
        with titled(view, user.login if user else t("New user")) as dialog:
            self._dialog = dialog
            self._fields()
            if user is not None and user.id != view.actor.user_id:
                self._actions(user)
            buttons(view, dialog, t("Save") if user else t("Make the user"), self._save)

    def _fields(self) -> None:
        t, user = self._view.t, self._user
        if user is None:
            self._login = self._input(t("Login"), "", 64).props("autofocus")
            ui.label(t("Letters a-z, digits and . _ @ + -; what they type to log in.")).classes(
                "help"
            )
        self._name = self._input(t("Name"), user.name if user else "", 100)
        self._role = (
            ui.select(self._roles, label=t("Role"), value=user.role if user else Role.VIEWER.value)
            .props("outlined dense")
            .classes("wide")
        )
        tenant = (user.tenant or "") if user else next(filter(None, self._tenants), "")
        self._tenant = ui.select(
            self._tenants if tenant in self._tenants else self._tenants | {tenant: tenant},
            label=t("Tenant"), value=tenant,
        ).props("outlined dense").classes("wide")  # fmt: skip
        self._tenant.bind_visibility_from(self._role, "value", lambda role: role != Role.OPERATOR)
        self._language = (
            ui.select(LANGUAGES, label=t("Language"), value=user.language if user else "en")
            .props("outlined dense")
            .classes("wide")
        )

    def _input(self, label: str, value: str, most: int) -> ui.input:
        field = ui.input(label, value=value).props(f"outlined dense maxlength={most}")
        return field.classes("wide")

    def _actions(self, user: User) -> None:
        t = self._view.t
        with ui.column().classes("stack dialog-actions"):
            self._action("key", t("New password"), self._reset_password)
            if user.has_second_factor:
                self._action(
                    "phonelink_erase", t("Take the second factor away"), self._reset_factor
                )
            if user.enabled:
                self._action("block", t("Shut out"), partial(self._set_enabled, False), danger=True)
                if user.locked_until is not None:
                    self._action("lock_open", t("End the lock"), partial(self._set_enabled, True))
            else:
                self._action("lock_open", t("Let in again"), partial(self._set_enabled, True))

    def _action(self, icon: str, text: str, does: Any, *, danger: bool = False) -> None:
        async def act() -> None:
            await does()

        button = ui.button(text, icon=icon, on_click=self._view.act(act)).props(
            "flat dense align=left"
        )
        if danger:
            button.props("color=negative")

    async def _save(self) -> None:
        role = Role(self._role.value)
        tenant = None if role is Role.OPERATOR else self._tenant.value or None
        profile = Profile(self._name.value or "", role, tenant, self._language.value)
        console, actor = self._view.console, self._view.actor
        if self._user is None:
            made = await service.create_user(console, actor, self._login.value or "", profile)
            self._tell_password(made.user.login, made.one_time_password)
        else:
            await service.change_user(console, actor, self._user.id, profile)
            self._view.notify(self._view.t("Saved."))
        await self._done()

    async def _reset_password(self) -> None:
        assert self._user is not None
        t = self._view.t
        question = t("Give {login} a new password? Their sessions end.")
        if not await self._view.confirm(question.format(login=self._user.login), t("New password")):
            return
        made = await service.reset_password(self._view.console, self._view.actor, self._user.id)
        self._tell_password(made.user.login, made.one_time_password)
        await self._done()

    async def _reset_factor(self) -> None:
        assert self._user is not None
        t = self._view.t
        question = t("Take the second factor of {login} away? Make sure that it is them who ask.")
        yes = t("Take the second factor away")
        if await self._view.confirm(question.format(login=self._user.login), yes, danger=True):
            await service.reset_second_factor(self._view.console, self._view.actor, self._user.id)
            self._view.notify(t("Saved."))
            await self._done()

    async def _set_enabled(self, enabled: bool) -> None:
        assert self._user is not None
        t = self._view.t
        question = t("Shut {login} out? Sessions and API keys end at once.")
        if not enabled and not await self._view.confirm(
            question.format(login=self._user.login), t("Shut out"), danger=True
        ):
            return
        await service.set_enabled(self._view.console, self._view.actor, self._user.id, enabled)
        self._view.notify(t("Saved."))
        await self._done()

    def _tell_password(self, login: str, password: str) -> None:
        t = self._view.t
        note = t(
            "Tell them in person. They choose their own when they log in. It is not shown again."
        )
        show_once(self._view, t("Password of {login}").format(login=login), note, [password])

    async def _done(self) -> None:
        self._dialog.close()
        await self._reload()
