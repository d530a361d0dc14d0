"""``/account``: one's own password, second factor, language and sessions."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from appliance.admin.services import account as service
from appliance.admin.services.account import Mine, MySession
from appliance.admin.ui.access.factor import FactorPanel
from appliance.admin.ui.page import View, page
from appliance.admin.ui.show import ago, chip, when
from appliance.admin.ui.words import LANGUAGES
from appliance.errors import UserError

BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
"""Words of a User-Agent, the telling ones first."""
BROWSER_NAMES = {"Edg": "Edge", "OPR": "Opera"}
SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")


@page("/account", None, "My account")
async def account_page(view: View) -> None:
    """Whoever has logged in."""
    await AccountPage(view).draw()


class AccountPage:
    """It in one browser."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def draw(self) -> None:
        """Four panels."""
        mine = await service.show_mine(self._view.console, self._view.actor)
        with ui.element("div").classes("grid-2"):
            with ui.column().classes("panel"):
                self._password()
            self._factor = ui.column().classes("panel")
        self._draw_factor(mine)
        with ui.column().classes("panel"):
            self._language(mine)
        self._sessions = ui.column().classes("panel")
        await self._load_sessions()

    def _password(self) -> None:
        view, t = self._view, self._view.t
        ui.label(t("Password")).classes("panel-title")
        old = _secret(t("Password that you have"), "current-password")
        new = _secret(t("New password"), "new-password")
        again = _secret(t("New password, again"), "new-password")
        ui.label(t("At least 12 letters; four words will do. Your other sessions end.")).classes(
            "help"
        )

        async def change() -> None:
            if new.value != again.value:
                raise UserError("The two passwords are not alike.")
            await service.change_password(
                view.console, view.actor, old.value or "", new.value or ""
            )
            for field in (old, new, again):
                field.set_value("")
            view.notify(t("Your password is changed."))
            await self._load_sessions()

        again.on("keydown.enter", view.act(change))
        ui.button(t("Change it"), on_click=view.act(change)).props("unelevated").classes(
            "self-start"
        )

    def _draw_factor(self, mine: Mine) -> None:
        self._factor.clear()
        with self._factor:
            FactorPanel(self._view, mine, self._reload_factor).draw()

    async def _reload_factor(self) -> None:
        self._draw_factor(await service.show_mine(self._view.console, self._view.actor))
        await self._load_sessions()

    def _language(self, mine: Mine) -> None:
        view, t = self._view, self._view.t

        async def choose(event: Any) -> None:
            await service.set_language(view.console, view.actor, str(event.value))
            ui.navigate.reload()

        with ui.row().classes("toolbar"):
            ui.label(t("Language")).classes("panel-title")
            chosen = ui.toggle(LANGUAGES, value=mine.user.language, on_change=view.act(choose))
            chosen.props("dense no-caps unelevated")

    async def _load_sessions(self) -> None:
        view, t = self._view, self._view.t
        found = await service.list_sessions(view.console, view.actor)
        self._sessions.clear()
        with self._sessions:
            with ui.row().classes("toolbar"):
                ui.label(t("Where you are logged in")).classes("panel-title")
                ui.space()
                if len(found) > 1:
                    end = ui.button(t("End all others"), on_click=view.act(self._end_others))
                    end.props("outline dense color=negative")
            for one in found:
                self._draw_session(one)

    def _draw_session(self, one: MySession) -> None:
        view, t, session = self._view, self._view.t, one.session
        with ui.row().classes("session"):
            ui.icon("devices").classes("muted")
            with ui.column().classes("session-facts"):
                ui.label(browser_name(session.browser) or t("Unknown browser")).tooltip(
                    session.browser
                )
                seen = t("since {since}, last seen {ago}").format(
                    since=when(view, session.created_at), ago=ago(view, session.seen_at)
                )
                ui.label(f"{session.address} · {seen}").classes("muted")
            ui.space()
            if one.is_this:
                chip(t("this one"), "accent")
            else:
                end = ui.button(t("End"), on_click=view.act(partial(self._end, session.id)))
                end.props("flat dense color=negative")

    async def _end(self, session_id: str, *_: object) -> None:
        await service.end_session(self._view.console, self._view.actor, session_id)
        await self._load_sessions()

    async def _end_others(self) -> None:
        await service.end_other_sessions(self._view.console, self._view.actor)
        await self._load_sessions()


def browser_name(agent: str) -> str:
    """Browser and system of a User-Agent header; empty: neither is known."""
    browser = next((name for name in BROWSERS if f"{name}/" in agent), "")
    system = next((name for name in SYSTEMS if name in agent), "")
    return " · ".join(part for part in (BROWSER_NAMES.get(browser, browser), system) if part)


def _secret(label: str, complete: str) -> ui.input:
    field = ui.input(label, password=True, password_toggle_button=True)
    field.props(f"outlined dense maxlength=256 autocomplete={complete}")
    return field.classes("wide")
