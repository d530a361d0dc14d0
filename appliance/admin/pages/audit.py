"""``/audit``: who did what, and proof that nobody has changed it since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import audit as service
from appliance.admin.services.audit import AuditPage
from appliance.admin.ui.access.verifying import Verifying
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.tables import SteadyTable
from appliance.errors import UserError
from appliance.store.audit_log import AuditEntry, AuditSearch

SUBJECT_LETTERS = 48
DETAIL_LETTERS = 90
ACTION = """
<q-td :props="props"><span class="chip">{{ props.value }}</span></q-td>
"""
DETAIL = """
<q-td :props="props" class="audit-detail mono">
<span :title="props.row.whole">{{ props.value }}</span></q-td>
"""


@dataclass(slots=True)
class Filters:
    """What the page is narrowed to, as its fields have it; empty lets all through."""

    who: str = ""
    action: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""


@page("/audit", Permission.AUDIT_READ, "Audit log")
async def audit_page(view: View, subject: str = "", action: str = "") -> None:
    """The latest first; ``subject`` and ``action`` narrow it, for links from other pages."""
    await AuditLogPage(view, Filters(action=action[:100], subject=subject[:200])).draw()


class AuditLogPage:
    """The log in one browser."""

    def __init__(self, view: View, filters: Filters) -> None:
        self._view = view
        self._filters = filters
        self._pages: list[int | None] = [None]
        """``before`` of each page up to the one that is shown."""

    async def draw(self) -> None:
        """Filters, rows."""
        view, t = self._view, self._view.t
        with ui.row().classes("toolbar panel audit-filters"):
            self._field(t("Who"), "who")
            self._field(t("What (call, call.listen)"), "action")
            self._field(t("To what"), "subject")
            self._field(t("From"), "since").props("type=date stack-label")
            self._field(t("To"), "until").props("type=date stack-label")
            ui.button(t("Search"), icon="search", on_click=view.act(self._search)).props("outline")
            ui.space()
            if view.actor.tenant is None:
                check = ui.button(
                    t("Check the log"), icon="verified", on_click=view.act(self._verify)
                )
                check.props("unelevated")
        self._place = ui.column().classes("wide")
        await self._load()

    def _field(self, label: str, name: str) -> ui.input:
        field = ui.input(label).bind_value(self._filters, name)
        field.props("outlined dense maxlength=200").classes("audit-field")
        field.on("keydown.enter", self._view.act(self._search))
        return field

    async def _search(self, *_: object) -> None:
        self._pages = [None]
        await self._load()

    async def _verify(self) -> None:
        Verifying(self._view).open()

    async def _load(self) -> None:
        view = self._view
        found = await service.search(view.console, view.actor, self._wanted())
        self._place.clear()
        with self._place:
            self._show(found)

    def _wanted(self) -> AuditSearch:
        f = self._filters
        return AuditSearch(
            actor=f.who or "", action=(f.action or "").strip(), subject=(f.subject or "").strip(),
            since=self._day(f.since), until=self._day(f.until, timedelta(days=1)),
            before=self._pages[-1],
        )  # fmt: skip

    def _day(self, text: str, more: timedelta = timedelta()) -> datetime | None:
        """Midnight of a day in the site's zone. Raises UserError."""
        if not text:
            return None
        zone = ZoneInfo(self._view.console.settings.switch.timezone)
        try:
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=zone) + more
        except (ValueError, OverflowError) as e:
            raise UserError("Choose a day.") from e

    def _show(self, found: AuditPage) -> None:
        view, t = self._view, self._view.t
        if not found.rows:
            hint = t("Every change and every listening stands here, with who did it.")
            empty("history_edu", t("Nothing of that kind was done."), hint)
            return
        with ui.column().classes("panel panel--table"):
            table = SteadyTable(
                columns=self._columns(), rows=[self._row(row) for row in found.rows], row_key="id",
                pagination={"rowsPerPage": 0},
            ).props("flat dense hide-pagination")  # fmt: skip
            table.add_slot("body-cell-action", ACTION)
            table.add_slot("body-cell-detail", DETAIL)
            with ui.row().classes("dialog-buttons"):
                newer = ui.button(t("Newer"), icon="chevron_left", on_click=view.act(self._newer))
                newer.props("flat dense").set_enabled(len(self._pages) > 1)

                async def older() -> None:
                    self._pages.append(found.before)
                    await self._load()

                button = ui.button(t("Older"), on_click=view.act(older))
                button.props("flat dense icon-right=chevron_right")
                button.set_enabled(found.before is not None)

    async def _newer(self) -> None:
        self._pages.pop()
        await self._load()

    def _columns(self) -> list[dict[str, Any]]:
        t = self._view.t
        names = [
            *(
                ("id", t("Row")),
                ("at", t("When")),
                ("actor", t("Who")),
                ("address", t("From where")),
            ),
            *(("action", t("What")), ("subject", t("To what"))),
        ]
        if self._view.actor.tenant is None:
            names.append(("tenant", t("Tenant")))
        names.append(("detail", t("Details")))
        return [{"name": n, "label": w, "field": n, "align": "left"} for n, w in names]

    def _row(self, row: AuditEntry) -> dict[str, Any]:
        local = row.at.astimezone(ZoneInfo(self._view.console.settings.switch.timezone))
        whole = orjson.dumps(row.detail, option=orjson.OPT_INDENT_2).decode() if row.detail else ""
        short = ", ".join(f"{key}: {_flat(value)}" for key, value in row.detail.items())
        return {
            "id": row.id, "at": f"{local:%Y-%m-%d %H:%M:%S}", "actor": row.actor,
            "address": row.address, "action": row.action, "subject": _cut(row.subject, SUBJECT_LETTERS),
            "tenant": row.tenant or "", "detail": _cut(short, DETAIL_LETTERS), "whole": whole,
        }  # fmt: skip


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
