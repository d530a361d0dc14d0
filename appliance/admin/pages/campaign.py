"""``/campaigns/ID``: how far a campaign is, its results, and who is on its list."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.api.app import PREFIX
from appliance.admin.services import campaigns as service
from appliance.admin.services.campaigns import Whole
from appliance.admin.ui.campaigns.bar import (
    CAMPAIGN_TONES,
    CAMPAIGN_WORDS,
    STATE_WORDS,
    draw_bar,
    result_words,
)
from appliance.admin.ui.campaigns.form import SHARES, WAITS_S, CampaignForm
from appliance.admin.ui.campaigns.upload import ContactsUpload
from appliance.admin.ui.layout import crumbs, empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.paging import pager
from appliance.admin.ui.show import chip, when
from appliance.admin.ui.tables import SteadyTable
from appliance.outreach.campaigns.states import CHANGEABLE, STEPS, Step
from appliance.store.campaigns import CampaignState, ContactEntry, ContactState

PAGE_SIZE = 50
REFRESH_S = 3.0
_CALL = """
<q-td :props="props"><a v-if="props.value" :href="'/calls/' + props.value">{{ props.row.call_words }}
</a></q-td>
"""
_STATE = """
<q-td :props="props"><span class="cbar-dot" :class="'cbar--' + props.row.kind"></span>
{{ props.value }}</q-td>
"""


@page("/campaigns/{campaign_id}", Permission.CAMPAIGNS_READ, "Campaign", nav="/campaigns")
async def campaign(view: View, campaign_id: int) -> None:
    """One campaign."""
    await CampaignPage(view, campaign_id).draw()


class CampaignPage:
    """The page in one browser."""

    def __init__(self, view: View, id_: int) -> None:
        self._view, self._id = view, id_
        self._page = 0
        self._may_edit = view.actor.may(Permission.CAMPAIGNS_EDIT)

    async def draw(self) -> None:
        view = self._view
        self._whole = await service.campaign(view.console, view.actor, self._id)
        self._top = ui.column().classes("wide")
        self._draw_top()
        self._contacts_panel()
        await self._load_contacts()
        ui.timer(REFRESH_S, view.act(self._refresh), immediate=False)

    async def _refresh(self) -> None:
        """While it runs, or calls of it are still under way."""
        view, was = self._view, self._whole
        if was.campaign.state is CampaignState.RUNNING or was.counts.get(ContactState.QUEUED):
            self._whole = await service.campaign(view.console, view.actor, self._id)
            if self._whole != was:
                self._draw_top()
                await self._load_contacts()

    async def _reload(self) -> None:
        self._whole = await service.campaign(self._view.console, self._view.actor, self._id)
        self._draw_top()
        await self._load_contacts()

    # --- how it is --------------------------------------------------------------------------------

    def _draw_top(self) -> None:
        t, whole = self._view.t, self._whole
        found = whole.campaign
        self._top.clear()
        with self._top:
            with ui.row().classes("toolbar"):
                crumbs(found.name, (t("Campaigns"), "/campaigns"))
                chip(t(CAMPAIGN_WORDS[found.state]), CAMPAIGN_TONES.get(found.state, ""))
                ui.space()
                self._buttons(whole)
            if found.why:
                kind = "warn" if found.state is CampaignState.PAUSED else "plain"
                ui.label(t(found.why)).classes(f"notice notice--{kind}").props("role=status")
            if not whole.total:
                with ui.column().classes("panel"):
                    empty("group_add", t("Nobody is on its list yet."),
                          t("Add contacts, then start it."))  # fmt: skip
            else:
                self._figures(whole)
            with ui.element("div").classes("grid-2"):
                self._plan(whole)
                self._results(whole)

    def _buttons(self, whole: Whole) -> None:
        view, t, state = self._view, self._view.t, whole.campaign.state
        if not self._may_edit:
            return
        if state in CHANGEABLE:
            form = CampaignForm(view, whole.campaign)
            self._button(t("Edit"), "edit", form.open)

            async def upload() -> None:
                ContactsUpload(view, self._id, self._reload).open()

            self._button(t("Add contacts"), "upload_file", upload)
        for step, icon, words in (
            (Step.CANCEL, "stop", t("Cancel the campaign")), (Step.PAUSE, "pause", t("Pause")),
            (Step.START, "play_arrow", t("Start")),
        ):  # fmt: skip
            if (state, step) in STEPS:
                self._button(words, icon, self._mover(step), step is not Step.CANCEL)
        if state is not CampaignState.RUNNING:
            self._button(t("Delete"), "delete", self._remove)

    def _button(self, words: str, icon: str, handler: Any, strong: bool = False) -> None:
        button = ui.button(words, icon=icon, on_click=self._view.act(handler))
        button.props("unelevated dense" if strong else "flat dense")

    def _mover(self, step: Step) -> Any:
        async def move() -> None:
            view, t = self._view, self._view.t
            question = t("Call nobody of it any more? It cannot be started again.")
            if step is Step.CANCEL and not await view.confirm(
                question, t("Cancel the campaign"), danger=True
            ):
                return
            await service.move(view.console, view.actor, self._id, step)
            await self._reload()

        return move

    async def _remove(self) -> None:
        view, t = self._view, self._view.t
        question = t("Delete the campaign and erase its list? Its calls stay in the log.")
        if await view.confirm(question, t("Delete"), danger=True):
            await service.remove(view.console, view.actor, self._id)
            with view.client:
                ui.navigate.to("/campaigns")

    def _figures(self, whole: Whole) -> None:
        t = self._view.t
        left = sum(whole.counts.get(s, 0) for s in (ContactState.WAITING, ContactState.QUEUED))
        going = whole.progress
        speed = "–" if going.per_hour is None else f"{going.per_hour:,.0f}"
        end = when(self._view, going.expected_end) or "–"
        with ui.element("div").classes("grid-4"):
            for value, name in (
                (f"{whole.total - left:,} / {whole.total:,}", t("contacts are through")),
                (f"{whole.counts.get(ContactState.REACHED, 0):,}", t("reached")),
                (speed, t("contacts an hour")), (end, t("expected end")),
            ):  # fmt: skip
                with ui.column().classes("stat"):
                    ui.label(value).classes("stat-value")
                    ui.label(name).classes("stat-name")
        with ui.column().classes("panel"):
            draw_bar(self._view, whole.counts)

    def _plan(self, whole: Whole) -> None:
        view, t, found = self._view, self._view.t, whole.campaign
        share = SHARES.get(found.capacity_share)
        wait = WAITS_S.get(found.retry_after_s)
        opening = (
            t("now") if whole.rings_now else when(view, whole.next_opening) or t("never again")
        )
        lines = (
            (t("Agent"), found.agent_name), (t("Rings next"), opening),
            (t("Hours"), found.hours or view.console.settings.switch.calling_hours),
            (t("Not before"), when(view, found.starts_at)),
            (t("Not after"), when(view, found.ends_at)),
            (t("Calls at once, at most"), str(found.most_at_once)),
            (t("Uses free lines"), t(share) if share else f"{found.capacity_share:.0%}"),
            (t("Tries for each contact"), str(found.max_attempts)),
            (t("Next try after"), t(wait) if wait else f"{found.retry_after_s} s"),
            (t("Made by"), f"{found.created_by}, {when(view, found.created_at)}"),
        )  # fmt: skip
        with ui.column().classes("panel"):
            ui.label(t("Plan")).classes("panel-title")
            with ui.element("dl").classes("facts"):
                for name, value in lines:
                    if value:
                        with ui.element("dt"):
                            ui.label(name).classes("muted")
                        with ui.element("dd"):
                            ui.label(value)

    def _results(self, whole: Whole) -> None:
        t = self._view.t
        with ui.column().classes("panel"):
            ui.label(t("How the last calls ended")).classes("panel-title")
            if not whole.results:
                ui.label(t("Nobody has been called yet.")).classes("muted")
                return
            most = max(count for _, count in whole.results)
            for result, count in whole.results[:10]:
                with ui.row().classes("system-row"):
                    ui.label(result_words(self._view, result)).classes("system-name").tooltip(
                        result
                    )
                    with ui.element("div").classes("load"):
                        fill = ui.element("div").classes("load-fill cbar--queued")
                        fill.style(f"width:{100 * count / most:.0f}%")
                    ui.label(f"{count:,}").classes("num system-figure")

    # --- contacts ---------------------------------------------------------------------------------

    def _contacts_panel(self) -> None:
        view, t = self._view, self._view.t
        with ui.column().classes("panel panel--table"):
            with ui.row().classes("toolbar"):
                self._text = ui.input(t("Search number, name, result"))
                self._text.props("outlined dense debounce=300 clearable maxlength=100")
                self._text.classes("search")
                words = {state.value: t(word) for state, word in STATE_WORDS.items()}
                self._state = ui.select({"": t("all"), **words}, label=t("State"), value="")
                self._state.props("outlined dense options-dense").classes("log-select")
                for field in (self._text, self._state):
                    field.on_value_change(view.act(self._searched))
                ui.space()
                self._export = ui.link(t("Export CSV"), "#").classes("log-export")
                self._export.props("download")
            self._list = ui.column().classes("wide")

    async def _searched(self) -> None:
        self._page = 0
        await self._load_contacts()

    async def _load_contacts(self) -> None:
        view, t = self._view, self._view.t
        text, state = self._text.value or "", self._state.value or ""
        found = await service.contacts(
            view.console, view.actor, self._id, states=[ContactState(state)] if state else [],
            text=text, limit=PAGE_SIZE, offset=self._page * PAGE_SIZE,
        )  # fmt: skip
        query = urlencode([(n, v) for n, v in (("state", state), ("text", text)) if v])
        self._export.props["href"] = f"{PREFIX}/campaigns/{self._id}/contacts.csv?{query}"
        self._list.clear()
        with self._list:
            if not found.contacts:
                ui.label(t("Nobody is like that.")).classes("muted")
                return
            self._table(found.contacts)
            self._pages(found.total)

    def _table(self, contacts: tuple[ContactEntry, ...]) -> None:
        t = self._view.t
        names = (
            ("number", t("Number")), ("name", t("Name")), ("state", t("State")),
            ("result", t("Result")), ("tries", t("Tries")), ("at", t("Last call")),
            ("call", t("Call")),
        )  # fmt: skip
        columns: list[dict[str, Any]] = [
            {"name": n, "label": w, "field": n, "align": "left"} for n, w in names
        ]
        rows = [
            {
                "id": c.id, "number": c.number, "name": c.name, "kind": str(c.state),
                "state": t(STATE_WORDS[c.state]), "result": result_words(self._view, c.result),
                "tries": c.attempts or "–",
                "at": when(self._view, c.called_at) or "–", "call": c.call_id,
                "call_words": t("open"),
            }
            for c in contacts
        ]  # fmt: skip
        table = SteadyTable(columns=columns, rows=rows, row_key="id", pagination=0)
        table.props("flat dense hide-pagination")
        table.add_slot("body-cell-state", _STATE)
        table.add_slot("body-cell-call", _CALL)

    def _pages(self, total: int) -> None:
        t = self._view.t

        async def go_to(page: int) -> None:
            self._page = page
            await self._load_contacts()

        pager(
            self._view, self._page, (self._page + 1) * PAGE_SIZE < total, go_to,
            before=t("Previous"), after=t("Next"), count=t("Contacts: {n}").format(n=f"{total:,}"),
        )  # fmt: skip
