"""The log of deliveries: what was told, what waits, what was given up."""

from __future__ import annotations

from typing import Any

import orjson
from nicegui import ui

from appliance.admin.services import webhooks as service
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View
from appliance.admin.ui.show import when
from appliance.admin.ui.tables import SteadyTable
from appliance.admin.ui.webhooks.words import state_words
from appliance.store.webhooks import Delivery

_STATE = """
<q-td :props="props"><span :class="'chip chip--' + props.row.tone">{{ props.value }}</span></q-td>
"""
_ACTIONS = """
<q-td :props="props" class="text-right">
<q-btn flat dense round size="sm" icon="data_object" :aria-label="props.row.look"
 @click="$parent.$emit('look', props.row.id)"></q-btn>
<q-btn v-if="props.row.again" flat dense round size="sm" icon="replay" :aria-label="props.row.again"
 @click="$parent.$emit('again', props.row.id)"></q-btn></q-td>
"""
_ERROR = """
<q-td :props="props" class="delivery-error">{{ props.value }}</q-td>
"""


class DeliveryLog:
    """Of one webhook (or all); ``state`` empty or one of ``service.STATES``."""

    def __init__(self, view: View, webhook_id: int | None, names: dict[int, str]) -> None:
        self._view = view
        self._webhook_id = webhook_id
        self._names = names
        self._state = ""
        self._before: int | None = None
        self._asked = 0
        self._shown: dict[int, Delivery] = {}

    async def draw(self, state: str = "") -> None:
        """What is chosen above, and the list."""
        t, self._state = self._view.t, state
        names = {"": t("all"), "dead": t("given up"), "waiting": t("waiting"),
                 "delivered": t("delivered")}  # fmt: skip
        with ui.row().classes("toolbar"):
            ui.label(t("Deliveries")).classes("panel-title").props("role=heading aria-level=2")
            self._toggle = ui.toggle(names, value=state, on_change=self._view.act(self._choose))
            self._toggle.props("dense unelevated no-caps").classes("period-toggle")
            ui.space()
            self._all = ui.button(
                t("Send all that were given up again"), icon="replay",
                on_click=self._view.act(self._all_again),
            ).props("flat dense")  # fmt: skip
            reload = ui.button(icon="refresh", on_click=self._view.act(self.fill))
            reload.props(f'flat dense round aria-label="{t("Refresh")}"')
        self._place = ui.column().classes("wide")
        await self.fill()

    async def fill(self) -> None:
        """Ask again."""
        view, t = self._view, self._view.t
        self._asked += 1
        mine = self._asked
        found = await service.deliveries(
            view.console, view.actor, webhook_id=self._webhook_id, state=self._state,
            before=self._before,
        )  # fmt: skip
        if mine != self._asked:
            return  # something else has been chosen since, and is shown or will be
        self._shown = {one.id: one for one in found.deliveries}
        dead = any(one.state == "dead" for one in found.deliveries)
        self._all.set_visibility(dead and self._webhook_id is not None)
        self._place.clear()
        with self._place:
            if not found.deliveries:
                words = t("Nothing was given up.") if self._state == "dead" else t("Nothing yet.")
                hint = t("What happens from now on stands here, seconds after it happened.")
                empty("outbox", words, hint)
                return
            self._table()
            with ui.row().classes("toolbar"):
                ui.space()
                if self._before is not None:
                    newest = ui.button(t("Newest"), icon="first_page")
                    newest.props("flat dense").on_click(view.act(self._newest))
                if found.next is not None:
                    older = ui.button(t("Older"), icon="chevron_right")
                    older.props("flat dense").on_click(view.act(self._older_than(found.next)))

    def _table(self) -> None:
        t = self._view.t
        names = [("when", t("When")), ("event", t("Event")), ("subject", t("Of")),
                 ("state", t("State")), ("attempts", t("Attempts")), ("status", t("Status")),
                 ("took", t("Took")), ("error", t("What came")),
                 ("next", t("Next attempt"))]  # fmt: skip
        if self._webhook_id is None:
            names.insert(1, ("webhook", t("Webhook")))
        columns: list[dict[str, Any]] = [
            {"name": name, "label": words, "field": name,
             "align": "right" if name in ("attempts", "status", "took") else "left"}
            for name, words in names
        ]  # fmt: skip
        columns.append({"name": "actions", "label": "", "field": "id"})
        rows = [self._row(one) for one in self._shown.values()]
        table = SteadyTable(columns=columns, rows=rows, row_key="id", pagination={"rowsPerPage": 0})
        table.props("flat dense hide-pagination").classes("num")
        for name, slot in (("state", _STATE), ("actions", _ACTIONS), ("error", _ERROR)):
            table.add_slot(f"body-cell-{name}", slot)
        table.on("look", self._view.act(self._look))
        table.on("again", self._view.act(self._again))

    def _row(self, one: Delivery) -> dict[str, Any]:
        view, t = self._view, self._view.t
        state, tone = state_words(t).get(one.state, (one.state, ""))
        return {
            "id": one.id,
            "when": when(view, one.created_at),
            "webhook": self._names.get(one.webhook_id, str(one.webhook_id)),
            "event": one.event,
            "subject": one.subject,
            "state": state,
            "tone": tone,
            "attempts": one.attempts,
            "status": one.status or "—",
            "took": f"{one.took_ms} ms" if one.tried_at else "—",
            "error": one.error,
            "next": when(view, one.next_at) if one.state == "waiting" else "",
            "look": t("Look at it"),
            "again": t("Send again") if one.state != "waiting" else "",
        }

    async def _choose(self, event: Any) -> None:
        self._state, self._before = event.value or "", None
        await self.fill()

    async def _newest(self) -> None:
        self._before = None
        await self.fill()

    def _older_than(self, before: int) -> Any:
        async def older() -> None:
            self._before = before
            await self.fill()

        return older

    async def _again(self, event: Any) -> None:
        one = self._shown.get(event.args)
        if one is None:
            return
        view = self._view
        await service.redeliver(view.console, view.actor, one.webhook_id, [one.id])
        view.notify(view.t("It is sent again in a few seconds."))
        await self.fill()

    async def _all_again(self) -> None:
        view, t = self._view, self._view.t
        if self._webhook_id is None:
            return
        question = t("Send all deliveries again that were given up?")
        if await view.confirm(question, t("Send again")):
            count = await service.redeliver(view.console, view.actor, self._webhook_id)
            view.notify(t("{n} are sent again in a few seconds.").format(n=count))
            await self.fill()

    async def _look(self, event: Any) -> None:
        one = self._shown.get(event.args)
        if one is None:
            return
        t = self._view.t
        body = orjson.dumps(one.payload, option=orjson.OPT_INDENT_2).decode()
        with (
            self._view.client,
            ui.dialog(value=True) as dialog,
            ui.card().classes("dialog dialog--wide"),
        ):
            ui.label(f"msg_{one.id}").classes("panel-title mono")
            ui.label(
                t("What is kept of it. The caller's number and words are added as it is sent, where"
                  " the webhook asks for them, and are kept in no log.")
            ).classes("help")  # fmt: skip
            ui.label(body).classes("mono payload")
            if one.answer:
                ui.label(t("The answer began so")).classes("form-head")
                ui.label(one.answer).classes("mono payload")
            with ui.row().classes("dialog-buttons"):
                ui.button(t("Close"), on_click=dialog.close).props("unelevated")
        dialog.on("hide", dialog.delete)
