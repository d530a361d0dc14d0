"""The frame around every page: menu, title, who is logged in, light or dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request
from nicegui import ui

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.ui.words import Translate

THEME_COOKIE = "ivr-theme"
"""light or dark; without it the browser's own preference counts. Set by static/console.js."""
_STYLE = '<link rel="stylesheet" href="/static/console.css">'
_SCRIPT = '<script src="/static/console.js" defer></script>'


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu."""

    path: str
    title: str
    icon: str
    permission: Permission | None


_P = Permission
MENU: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Now",
        (
            Entry("/live", "Live", "graphic_eq", _P.LIVE_READ),
            Entry("/calls", "Calls", "call", _P.CALLS_READ),
            Entry("/flags", "Flagged answers", "flag", _P.FLAGS_READ),
        ),
    ),
    (
        "Build",
        (
            Entry("/agents", "Agents", "support_agent", _P.AGENTS_READ),
            Entry("/knowledge", "Knowledge", "menu_book", _P.KNOWLEDGE_READ),
            Entry("/rules", "Rules", "shield", _P.FLAGS_READ),
        ),
    ),
    (
        "Connect",
        (
            Entry("/numbers", "Numbers", "dialpad", _P.NUMBERS_READ),
            Entry("/trunks", "Trunks", "cable", _P.TRUNKS_READ),
            Entry("/campaigns", "Campaigns", "campaign", _P.CAMPAIGNS_READ),
            Entry("/webhooks", "Webhooks", "webhook", _P.WEBHOOKS_EDIT),
        ),
    ),
    (
        "Measure",
        (
            Entry("/analytics", "Analytics", "insights", _P.ANALYTICS_READ),
            Entry("/system", "System", "memory", _P.SYSTEM_READ),
        ),
    ),
    (
        "Administer",
        (
            Entry("/users", "Users", "group", _P.USERS_READ),
            Entry("/keys", "API keys", "key", _P.KEYS_EDIT),
            Entry("/tenants", "Tenants", "apartment", _P.TENANTS_EDIT),
            Entry("/audit", "Audit log", "history_edu", _P.AUDIT_READ),
        ),
    ),
)


@contextmanager
def frame(actor: Actor, request: Request, t: Translate, title: str, nav: str) -> Iterator[None]:
    """Draw the frame; the block fills the page's content."""
    ui.add_head_html(_STYLE)
    ui.add_head_html(_SCRIPT)
    ui.colors(
        primary="#2f6fde", secondary="#5b6b82", accent="#7a4fd0", positive="#1f8a5b",
        negative="#c8372d", warning="#b26a00", info="#2f6fde",
    )  # fmt: skip
    dark = ui.dark_mode({"light": False, "dark": True}.get(request.cookies.get(THEME_COOKIE, "")))
    with ui.header().classes("top"):
        menu_button = ui.button(icon="menu").props("flat dense round")
        menu_button.classes("top-menu").props(f'aria-label="{t("Menu")}"')
        ui.label(title).classes("top-title").props("role=heading aria-level=1")
        ui.space()
        _theme_button(dark, t)
        _person(actor, t)
    with (
        ui.left_drawer()  # open where there is room
        .props("width=216 breakpoint=1100 bordered")
        .classes("side") as side
    ):
        _menu(actor, t, nav)
    menu_button.on_click(side.toggle)
    with ui.column().classes("content"):
        yield


def _menu(actor: Actor, t: Translate, here: str) -> None:
    with ui.row().classes("brand"):
        ui.image("/static/icon.svg").classes("brand-icon").props('alt="" no-spinner no-transition')
        ui.label("IVR").classes("brand-name")
    for group, entries in MENU:
        mine = [e for e in entries if e.permission is None or actor.may(e.permission)]
        if not mine:
            continue
        ui.label(t(group)).classes("menu-group")
        for entry in mine:
            with ui.link(target=entry.path).classes("menu-entry") as link:
                ui.icon(entry.icon)
                ui.label(t(entry.title))
            if entry.path == here:
                link.classes("menu-entry--here").props('aria-current="page"')


def _theme_button(dark: ui.dark_mode, t: Translate) -> None:
    button = ui.button(icon="contrast").props(f'flat dense round aria-label="{t("Light or dark")}"')
    button.on("click", js_handler="() => ivrToggleTheme()")
    button.on("click", lambda: dark.set_value(not dark.value))
    button.tooltip(t("Light or dark"))


def _person(actor: Actor, t: Translate) -> None:
    with ui.button(icon="account_circle").props(f'flat dense round aria-label="{t("Account")}"'):
        with ui.menu().props("auto-close"):
            with ui.column().classes("person"):
                ui.label(actor.name).classes("person-name")
                ui.label(t(actor.role.capitalize())).classes("muted")
            ui.separator()
            ui.menu_item(t("My account"), on_click=lambda: ui.navigate.to("/account"))
            item = ui.menu_item(t("Log out"))
            item.on("click", js_handler="() => ivrLogOut()")


def crumbs(here: str, *way: tuple[str, str]) -> ui.label:
    """The way to this page, (title, path) each, and its own name: first in the toolbar of a page that
    a list leads to."""
    for title, path in way:
        ui.link(title, path).classes("crumb")
        ui.icon("chevron_right").classes("crumb-next").props("aria-hidden=true")
    return ui.label(here).classes("page-name").props("role=heading aria-level=2")


def trouble(t: Translate, icon: str, sentence: str) -> None:
    """In place of a page that cannot be shown."""
    with ui.column().classes("empty"):
        ui.icon(icon).classes("empty-icon")
        ui.label(sentence).classes("empty-text")
        ui.link(t("Back to the beginning"), "/")


def empty(icon: str, sentence: str, hint: str = "") -> None:
    """In place of a list that has nothing in it: what it is for, and what to do next."""
    with ui.column().classes("empty"):
        ui.icon(icon).classes("empty-icon")
        ui.label(sentence).classes("empty-text")
        if hint:
            ui.label(hint).classes("muted")
