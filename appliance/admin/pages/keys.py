"""``/keys``: what other programs ask the API with."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import keys
from appliance.admin.ui.access.keydialog import KeyDialog
from appliance.admin.ui.access.scopes import scope_words
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import ago, when
from appliance.admin.ui.tables import SteadyTable
from appliance.store.api_keys import ApiKey

NAME = """
<q-td :props="props"><span class="strong">{{ props.value }}</span>
<div class="muted mono">ivr_{{ props.row.prefix }}_…</div></q-td>
"""
SCOPES = """
<q-td :props="props" class="key-scopes">{{ props.value }}</q-td>
"""
STATE = """
<q-td :props="props"><span :class="'chip chip--' + props.row.tone">{{ props.value }}</span></q-td>
"""
REVOKE = """
<q-td :props="props" class="text-right"><q-btn v-if="props.row.in_force" flat dense icon="delete"
size="sm" round color="negative" :aria-label="props.row.revoke_words"
@click="$parent.$emit('revoke', props.row.id)"></q-btn></q-td>
"""


@page("/keys", Permission.KEYS_EDIT, "API keys")
async def keys_page(view: View) -> None:
    """One's own keys; for those who look after people everybody's."""
    await KeysPage(view).draw()


class KeysPage:
    """The list in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._keys: dict[int, ApiKey] = {}
        self._everybodys = False

    async def draw(self) -> None:
        """Toolbar and table."""
        view, t = self._view, self._view.t
        with ui.row().classes("toolbar"):
            ui.link(t("API reference"), "/reference")
            ui.link("/api/v1/openapi.json", "/api/v1/openapi.json", new_tab=True).classes("mono")
            ui.space()
            if view.actor.may(Permission.USERS_READ):
                ui.switch(t("Everybody's"), on_change=view.act(self._switch)).props("dense")
            new = ui.button(t("New API key"), icon="add", on_click=view.act(self._new))
            new.props("unelevated")
        self._place = ui.column().classes("wide")
        await self._load()

    async def _load(self) -> None:
        view, t = self._view, self._view.t
        found = await keys.list_keys(view.console, view.actor, everybodys=self._everybodys)
        self._keys = {key.id: key for key in found}
        self._place.clear()
        with self._place:
            if not found:
                hint = t(
                    "A program that reads calls or publishes agents asks with a key of its own."
                )
                empty("key", t("There is no key yet."), hint)
                return
            with ui.column().classes("panel panel--table"):
                table = SteadyTable(
                    columns=self._columns(), rows=[self._row(key) for key in found], row_key="id",
                    pagination={"rowsPerPage": 25},
                ).props("flat dense")  # fmt: skip
                slots = (("name", NAME), ("scopes", SCOPES), ("state", STATE), ("revoke", REVOKE))
                for name, slot in slots:
                    table.add_slot(f"body-cell-{name}", slot)
                table.on("revoke", view.act(self._revoke))

    def _columns(self) -> list[dict[str, Any]]:
        t = self._view.t
        names = [("name", t("Name"))]
        if self._everybodys:
            names.append(("owner", t("Owner")))
        names += [
            *(("scopes", t("May")), ("state", t("State")), ("until", t("Until"))),
            ("used", t("Last used")),
        ]
        columns: list[dict[str, Any]] = [
            {"name": name, "label": label, "field": name, "align": "left", "sortable": True}
            for name, label in names
        ]
        return [*columns, {"name": "revoke", "label": "", "field": "id"}]

    def _row(self, key: ApiKey) -> dict[str, Any]:
        view, t = self._view, self._view.t
        state = keys.state_of(key)
        says = {
            "in force": t("in force"), "revoked": t("revoked"), "over": t("over"),
            "owner disabled": t("owner shut out"),
        }  # fmt: skip
        words = {str(p): w for _, group in scope_words(t) for p, w in group.items()}
        return {
            "id": key.id,
            "name": key.name,
            "prefix": key.prefix,
            "owner": key.owner,
            "scopes": ", ".join(words.get(scope, scope) for scope in key.scopes),
            "state": says[state],
            "tone": "good" if state == "in force" else "",
            "in_force": key.revoked_at is None,
            "until": when(view, key.expires_at) or t("no end"),
            "used": ago(view, key.last_used_at) or t("never"),
            "revoke_words": t("Revoke {name}").format(name=key.name),
        }

    async def _switch(self, event: Any) -> None:
        self._everybodys = bool(event.value)
        await self._load()

    async def _new(self) -> None:
        KeyDialog(self._view, self._load).open()

    async def _revoke(self, event: Any) -> None:
        key = self._keys.get(event.args)
        if key is None:
            return
        t = self._view.t
        question = t("Revoke the key {name}? Programs that use it are refused at once.")
        if await self._view.confirm(question.format(name=key.name), t("Revoke"), danger=True):
            await keys.revoke_key(self._view.console, self._view.actor, key.id)
            await self._load()
