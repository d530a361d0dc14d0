"""The dialog that makes a campaign, or changes one: plain words for pacing and retries."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from nicegui import ui

from appliance.admin.services import campaigns as service
from appliance.admin.services import numbers
from appliance.admin.ui.dialogs import buttons, titled
from appliance.admin.ui.numbers.hours import HoursEditor
from appliance.admin.ui.page import View
from appliance.errors import UserError
from appliance.outreach.campaigns.plan import Plan
from appliance.store.campaigns import Campaign

SHARES = {0.25: "carefully: a quarter of what callers leave free", 0.5: "half of what is free",
          0.8: "most of what is free", 1.0: "all that is free"}  # fmt: skip
WAITS_S = {900: "15 minutes", 3600: "1 hour", 14_400: "4 hours", 86_400: "1 day"}


class CampaignForm:
    """Makes a campaign (None) and goes to its page, or changes one and draws its page again."""

    def __init__(self, view: View, campaign: Campaign | None) -> None:
        self._view, self._campaign = view, campaign

    async def open(self) -> None:
        view, t, old = self._view, self._view.t, self._campaign
        agents = dict(await numbers.agents(view.console, view.actor))
        if old is not None:
            agents.setdefault(old.agent_id, old.agent_name)
        title = t("New campaign") if old is None else t("Edit {name}").format(name=old.name)
        with titled(view, title, "dialog dialog--wide") as dialog:
            self._name = ui.input(t("Name"), value=old.name if old else "")
            self._name.props("outlined dense autofocus maxlength=120").classes("wide")
            self._agent = ui.select(
                agents, label=t("Agent who talks"), value=old.agent_id if old else None,
                with_input=True,
            ).props("outlined dense").classes("wide")  # fmt: skip
            site = view.console.settings.switch.calling_hours
            self._hours = HoursEditor(
                view, old.hours if old else "", t("Rings in these hours"),
                empty=t("No hours of its own: those of the site, {hours}.").format(hours=site),
            )  # fmt: skip
            limits = t("The site's calling hours ({hours}) hold in any case.").format(hours=site)
            ui.label(limits).classes("help")
            with ui.element("div").classes("form-grid"):
                self._starts = self._day(t("Not before"), old.starts_at if old else None)
                self._ends = self._day(t("Not after"), old.ends_at if old else None)
                self._pacing()

            async def save() -> None:
                await self._save()
                dialog.close()

            buttons(view, dialog, t("Save"), save)

    def _pacing(self) -> None:
        t, old = self._view.t, self._campaign
        self._most = ui.number(
            t("Calls at once, at most"), value=old.most_at_once if old else 5, min=1, precision=0
        ).props("outlined dense")
        share = old.capacity_share if old else 0.5
        shares = {value: t(words) for value, words in SHARES.items()}
        shares.setdefault(share, f"{share:.0%}")
        self._share = ui.select(shares, label=t("Uses free lines"), value=share)
        self._share.props("outlined dense options-dense")
        self._tries = ui.number(
            t("Tries for each contact"), value=old.max_attempts if old else 3, min=1, precision=0
        ).props("outlined dense")
        wait = old.retry_after_s if old else 3600
        waits = {value: t(words) for value, words in WAITS_S.items()}
        waits.setdefault(wait, f"{wait} s")
        self._wait = ui.select(waits, label=t("Next try after"), value=wait)
        self._wait.props("outlined dense options-dense")

    def _day(self, label: str, at: datetime | None) -> ui.input:
        zone = ZoneInfo(self._view.console.settings.switch.timezone)
        value = f"{at.astimezone(zone):%Y-%m-%dT%H:%M}" if at else ""
        return ui.input(label, value=value).props(
            "outlined dense stack-label type=datetime-local clearable"
        )

    async def _save(self) -> None:
        view = self._view
        if not self._agent.value:
            raise UserError("Choose the agent who talks.")
        plan = Plan(
            self._name.value or "", self._agent.value, self._hours.value,
            self._moment(self._starts.value), self._moment(self._ends.value),
            int(self._most.value or 0), float(self._share.value), int(self._tries.value or 0),
            int(self._wait.value),
        )  # fmt: skip
        if self._campaign is None:
            made = await service.create(view.console, view.actor, plan)
        else:
            made = await service.change(view.console, view.actor, self._campaign.id, plan)
        with view.client:
            ui.navigate.to(f"/campaigns/{made.id}")

    def _moment(self, text: str | None) -> datetime | None:
        if not text:
            return None
        zone = ZoneInfo(self._view.console.settings.switch.timezone)
        try:
            return datetime.fromisoformat(text).replace(tzinfo=zone)
        except ValueError as e:
            raise UserError(f"{text[:40]!r} is no moment; write it like 2026-05-04T09:30.") from e
