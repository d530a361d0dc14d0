"""``/users``: who logs in, and what they may do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import tenants, users
from appliance.admin.ui.access.userdialog import UserDialog
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import ago, when
from appliance.admin.ui.tables import SteadyTable
from appliance.store.users import Tenant, User

NAME = """
<q-td :props="props"><span class="strong">{{ props.value }}</span>
<div class="muted">{{ props.row.name }}</div></q-td>
"""
STATE = """
<q-td :props="props"><span :class="'chip chip--' + props.row.tone">{{ props.value }}</span></q-td>
"""
FACTOR = """
<q-td :props="props"><q-icon v-if="props.value" name="verified_user" size="18px" color="positive"
:aria-label="props.row.factor_words"></q-icon><span v-else class="muted">–</span></q-td>
"""
EDIT = """
<q-td :props="props" class="text-right"><q-btn flat dense round icon="edit" size="sm"
:aria-label="props.row.edit_words" @click="$parent.$emit('edit', props.row.id)"></q-btn></q-td>
"""


@page("/users", Permission.USERS_READ, "Users")
async def users_page(view: View) -> None:
    """Everybody of the actor's tenant, by login."""
    await UsersPage(view).draw()


class UsersPage:
    """The list in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._users: dict[int, User] = {}
        self._tenants: list[Tenant] = []
        self._may_edit = view.actor.may(Permission.USERS_EDIT)

    async def draw(self) -> None:
        """Toolbar and table."""
        view, t = self._view, self._view.t
        self._tenants = await tenants.tenants_to_give(view.console, view.actor)
        with ui.row().classes("toolbar"):
            box = ui.input(placeholder=t("Login or name")).props("outlined dense clearable")
            box.props["aria-label"] = t("Search")
            with box.add_slot("prepend"):
                ui.icon("search")
            ui.space()
            if self._may_edit:
                new = ui.button(t("New user"), icon="person_add", on_click=view.act(self._new))
                new.props("unelevated")
        with ui.column().classes("panel panel--table"):
            self._table = SteadyTable(
                columns=self._columns(), rows=[], row_key="id",
                pagination={"rowsPerPage": 25, "sortBy": "login"},
            ).props("flat dense")  # fmt: skip
            self._table.props["no-data-label"] = t("Nobody is called so.")
            for name, slot in (
                ("login", NAME),
                ("state", STATE),
                ("factor", FACTOR),
                ("edit", EDIT),
            ):
                self._table.add_slot(f"body-cell-{name}", slot)
            self._table.on("edit", view.act(self._edit))
            self._table.bind_filter_from(box, "value")
        self._none = ui.column().classes("wide")
        await self._load()

    async def _load(self) -> None:
        view = self._view
        found = await users.list_users(view.console, view.actor)
        self._users = {user.id: user for user in found}
        self._table.rows = [self._row(user) for user in found]
        self._none.clear()
        if len(found) == 1 and self._may_edit:
            with self._none:
                hint = view.t("Make one for everybody who works here; nobody shares a password.")
                empty("group_add", view.t("You are the only one."), hint)

    def _columns(self) -> list[dict[str, Any]]:
        t = self._view.t
        names = [("login", t("Login")), ("role", t("Role"))]
        if self._view.actor.tenant is None:
            names.append(("tenant", t("Tenant")))
        names += [
            *(("state", t("State")), ("factor", t("Second factor"))),
            ("last", t("Last login")),
        ]
        columns: list[dict[str, Any]] = [
            {"name": name, "label": label, "field": name, "sortable": True, "align": "left"}
            for name, label in names
        ]
        if self._may_edit:
            columns.append({"name": "edit", "label": "", "field": "id"})
        return columns

    def _row(self, user: User) -> dict[str, Any]:
        view, t = self._view, self._view.t
        state, tone = self._state(user)
        names = {one.id: one.name for one in self._tenants}
        return {
            "id": user.id,
            "login": user.login,
            "name": user.name,
            "role": t(user.role.capitalize()),
            "tenant": names.get(user.tenant or "", user.tenant or t("The operator's own staff")),
            "state": state,
            "tone": tone,
            "factor": user.has_second_factor,
            "factor_words": t("has a second factor"),
            "last": ago(view, user.last_login_at) or t("never"),
            "edit_words": t("Edit {login}").format(login=user.login),
        }

    def _state(self, user: User) -> tuple[str, str]:
        t = self._view.t
        if not user.enabled:
            return t("shut out"), "bad"
        if user.locked_until is not None and user.locked_until > datetime.now(UTC):
            return t("locked until {when}").format(when=when(self._view, user.locked_until)), "warn"
        if user.must_change:
            return t("has a password for one time"), "warn"
        return t("active"), "good"

    async def _new(self) -> None:
        UserDialog(self._view, self._tenants, self._load).open()

    async def _edit(self, event: Any) -> None:
        user = self._users.get(event.args)
        if user is not None:
            UserDialog(self._view, self._tenants, self._load, user).open()
