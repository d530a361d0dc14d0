"""From one page of a long list to the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from appliance.admin.ui.page import View


def pager(
    view: View,
    page: int,
    has_more: bool,
    go_to: Callable[[int], Awaitable[None]],
    *,
    before: str,
    after: str,
    count: str = "",
) -> None:
    """A row with ``count`` and the ways to the pages beside ``page`` (the first is 0), where there are
    any; ``before`` and ``after`` are what their buttons say."""
    ways = ((-1, "chevron_left", before, page > 0), (1, "chevron_right", after, has_more))
    with ui.row().classes("toolbar"):
        ui.label(count).classes("muted num")
        ui.space()
        for step, icon, words, there in ways:
            if not there:
                continue

            async def go(to: int = page + step) -> None:
                await go_to(to)

            ui.button(words, icon=icon, on_click=view.act(go)).props("flat dense")
