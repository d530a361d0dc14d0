"""The form of a trunk. Its password can be typed in, and is never shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from appliance.admin.services import trunks as service
from appliance.admin.services.trunks import ShownTrunk
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.page import View
from appliance.errors import UserError
from appliance.numbers import NUMBER_FORMATS
from appliance.store.phonebook import CODECS, Trunk


class TrunkForm:
    """A dialog that adds a trunk (None), or changes one."""

    def __init__(
        self, view: View, trunk: ShownTrunk | None, saved: Callable[[], Awaitable[None]]
    ) -> None:
        self._view, self._trunk, self._saved = view, trunk, saved
        self._fields: dict[str, Any] = {}

    def open(self) -> None:
        view, t, trunk = self._view, self._view.t, self._trunk
        title = t("New trunk") if trunk is None else t("Edit {name}").format(name=trunk.name)
        with titled(view, title, "dialog dialog--wide") as dialog:
            with ui.element("div").classes("form-grid"):
                self._draw_fields()

            async def save() -> None:
                await self._save()
                dialog.close()
                await self._saved()

            buttons(view, dialog, t("Save"), save)

    def _draw_fields(self) -> None:
        t, trunk = self._view.t, self._trunk
        self._text("name", t("Name"), trunk is None)
        self._text("proxy", t("Server: host or host:port"))
        self._text("carrier", t("Carrier"))
        self._choice("transport", t("Transport"), ("udp", "tcp", "tls"))
        self._text("username", t("User name"))
        stands = trunk is not None and trunk.password_set
        password = ui.input(t("Password (set; empty: as it is)") if stands else t("Password"))
        password.props("outlined dense type=password maxlength=256 autocomplete=new-password")
        self._fields["password"] = password
        self._text("realm", t("Realm (empty: the server's name)"))
        self._fields["register"] = ui.checkbox(
            t("Registers with the carrier"), value=trunk.register if trunk else False
        )
        self._text("caller_id", t("Our number, shown to those we call"))
        self._choice("caller_id_rule", t("Transferred callers are shown as"), ("own", "pass"))
        self._choice("number_format", t("Numbers are dialled as"), NUMBER_FORMATS)
        self._text("addresses", t("Its calls come from (networks, commas between)"))
        codecs = ui.select(
            list(CODECS), multiple=True, label=t("Codecs, in order (none: all)"),
            value=list(trunk.codecs) if trunk else [],
        )  # fmt: skip
        self._fields["codecs"] = codecs.props("outlined dense options-dense")
        self._choice("srtp", t("SRTP"), ("off", "optional", "required"), "optional")
        self._number("max_calls", t("Calls at once (0: no limit)"), 0)
        self._number("priority", t("Priority (lower goes first)"), 10)
        self._number("ping_s", t("OPTIONS every s (0: none)"), 30)

    def _text(self, name: str, label: str, enabled: bool = True) -> None:
        value = getattr(self._trunk, name) if self._trunk else ""
        shown = ", ".join(value) if isinstance(value, tuple) else value
        field = ui.input(label, value=shown).props("outlined dense maxlength=1000 autocomplete=off")
        field.set_enabled(enabled)
        self._fields[name] = field

    def _choice(self, name: str, label: str, options: tuple[str, ...], first: str = "") -> None:
        value = getattr(self._trunk, name) if self._trunk else first or options[0]
        field = ui.select(list(options), label=label, value=value)
        self._fields[name] = field.props("outlined dense options-dense")

    def _number(self, name: str, label: str, default: int) -> None:
        value = getattr(self._trunk, name) if self._trunk else default
        self._fields[name] = ui.number(label, value=value, min=0, precision=0).props(
            "outlined dense"
        )

    async def _save(self) -> None:
        view, t = self._view, self._view.t
        values = {name: _value(name, field.value) for name, field in self._fields.items()}
        name = str(values.pop("name")).strip()
        if self._trunk is None:
            saved = await service.add(view.console, view.actor, Trunk(name=name, **values))
        else:
            saved = await service.change(view.console, view.actor, self._trunk.name, values)
        view.notify(t(saved.in_force))


def _value(name: str, value: Any) -> Any:
    match name:
        case "addresses":
            return tuple(part.strip() for part in str(value or "").split(",") if part.strip())
        case "codecs":
            return tuple(value or ())
        case "max_calls" | "priority" | "ping_s":
            if value is None:
                raise UserError("Write a whole number of 0 or more.")
            return int(value)
        case "register":
            return bool(value)
        case "password":
            return str(value or "")
        case _:
            return str(value or "").strip()
