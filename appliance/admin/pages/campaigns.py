"""``/campaigns``: lists of people that an agent rings."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import campaigns as service
from appliance.admin.services.campaigns import Summary
from appliance.admin.ui.campaigns.bar import CAMPAIGN_TONES, CAMPAIGN_WORDS, shares
from appliance.admin.ui.campaigns.form import CampaignForm
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, page
from appliance.admin.ui.paging import pager
from appliance.admin.ui.show import when
from appliance.admin.ui.tables import SteadyTable
from appliance.store.campaigns import CampaignState, ContactState

PAGE_SIZE = 50
REFRESH_S = 5.0
_NAME = """
<q-td :props="props"><a class="strong" :href="props.row.url">{{ props.value }}</a>
<div class="muted campaign-why" v-if="props.row.why">{{ props.row.why }}</div></q-td>
"""
_STATE = """
<q-td :props="props"><span class="chip" :class="props.row.tone">{{ props.value }}</span></q-td>
"""
_BAR = """
<q-td :props="props"><div class="cbar" role="img" :aria-label="props.row.words">
<div v-for="part in props.value" :key="part.state" class="cbar-part" :class="'cbar--' + part.state"
 :style="{width: part.share + '%'}"></div></div>
<span class="muted num">{{ props.row.words }}</span></q-td>
"""


@page("/campaigns", Permission.CAMPAIGNS_READ, "Campaigns")
async def campaigns(view: View) -> None:
    """Those that run, then the latest."""
    await CampaignsPage(view).draw()


class CampaignsPage:
    """The list in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._page = 0
        self._state = ""

    async def draw(self) -> None:
        view, t = self._view, self._view.t
        with ui.row().classes("toolbar"):
            words = {state.value: t(word) for state, word in CAMPAIGN_WORDS.items()}
            state = ui.select({"": t("all"), **words}, label=t("State"), value="")
            state.props("outlined dense options-dense").classes("log-select")

            async def choose() -> None:
                self._state, self._page = str(state.value), 0
                await self._load()

            state.on_value_change(view.act(choose))
            ui.space()
            ui.link(t("Do-not-call list"), "/do-not-call").classes("log-export")
            if view.actor.may(Permission.CAMPAIGNS_EDIT):
                new = ui.button(t("New campaign"), icon="add", on_click=view.act(self._new))
                new.props("unelevated")
        self._list = ui.column().classes("panel panel--table")
        await self._load()
        ui.timer(REFRESH_S, view.act(self._refresh), immediate=False)

    async def _refresh(self) -> None:
        if any(one.campaign.state is CampaignState.RUNNING for one in self._found):
            await self._load()

    async def _load(self) -> None:
        view, t = self._view, self._view.t
        self._found = await service.campaigns(
            view.console, view.actor, states=[CampaignState(self._state)] if self._state else [],
            limit=PAGE_SIZE, offset=self._page * PAGE_SIZE,
        )  # fmt: skip
        self._list.clear()
        with self._list:
            if not self._found and not self._page:
                empty(
                    "campaign",
                    t("No campaigns."),
                    t("A campaign rings a list of people, a few at a time. Make one."),
                )
                return
            self._table()
            self._pages()

    def _table(self) -> None:
        t = self._view.t
        names = (
            ("name", t("Campaign")), ("state", t("State")), ("bar", t("Contacts")),
            ("agent", t("Agent")), ("created", t("Made")),
        )  # fmt: skip
        columns: list[dict[str, Any]] = [
            {"name": n, "label": w, "field": n, "align": "left"} for n, w in names
        ]
        rows = [self._row(one) for one in self._found]
        table = SteadyTable(columns=columns, rows=rows, row_key="id", pagination=0)
        table.props("flat dense hide-pagination")
        table.add_slot("body-cell-name", _NAME)
        table.add_slot("body-cell-state", _STATE)
        table.add_slot("body-cell-bar", _BAR)

    def _row(self, one: Summary) -> dict[str, Any]:
        t, campaign = self._view.t, one.campaign
        left = sum(one.counts.get(s, 0) for s in (ContactState.WAITING, ContactState.QUEUED))
        words = t("{done} of {total} called").format(done=one.total - left, total=one.total)
        tone = CAMPAIGN_TONES.get(campaign.state, "")
        return {
            "id": campaign.id, "url": f"/campaigns/{campaign.id}", "name": campaign.name,
            "why": t(campaign.why), "state": t(CAMPAIGN_WORDS[campaign.state]),
            "tone": f"chip--{tone}" if tone else "", "bar": shares(one.counts), "words": words,
            "agent": campaign.agent_name, "created": when(self._view, campaign.created_at),
        }  # fmt: skip

    def _pages(self) -> None:
        t = self._view.t

        async def go_to(page: int) -> None:
            self._page = page
            await self._load()

        has_more = len(self._found) == PAGE_SIZE
        words = {"before": t("Newer"), "after": t("Older")}
        pager(self._view, self._page, has_more, go_to, **words)

    async def _new(self) -> None:
        await CampaignForm(self._view, None).open()
