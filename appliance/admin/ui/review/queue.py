"""The list of flags beside the one that is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from appliance.admin.services import flags
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View
from appliance.admin.ui.review.words import SEVERITY_TONES, STATE_TONES, severity_words, state_words
from appliance.admin.ui.show import ago, chip
from appliance.store.flags import ReviewedFlag, Wanted

AT_ONCE = 50
LONGEST_LINE_LETTERS = 140

Opened = Callable[[str], Awaitable[None]]


class QueueList:
    """Flags as wanted, fifty at a time, with one of them chosen."""

    def __init__(self, view: View, opened: Opened) -> None:
        """``opened``: called with the id of the flag that is chosen."""
        self._view = view
        self._opened = opened
        self._wanted = Wanted()
        self._flags: list[ReviewedFlag] = []
        self._rows: dict[str, ui.element] = {}
        self._total = 0
        self.chosen = ""
        with ui.column().classes("panel review-list"):
            self._count = ui.label("").classes("muted small").props('aria-live="polite"')
            self._list = ui.column().classes("review-rows").props('role="listbox"')
            self._more_button = ui.button(view.t("More"), on_click=view.act(self._more)).props(
                "flat dense"
            )

    async def load(self, wanted: Wanted) -> None:
        """Draw the flags as wanted now, from the beginning."""
        self._wanted = wanted
        self._flags, self._rows = [], {}
        self._list.clear()
        await self._more()

    async def _more(self) -> None:
        view, t = self._view, self._view.t
        found = await flags.queue(
            view.console, view.actor, self._wanted, limit=AT_ONCE, offset=len(self._flags)
        )
        self._flags += [one for one in found.flags if one.flag.id not in self._rows]
        self._more_button.set_visibility(len(self._flags) < found.total)
        self._say(found.total)
        with self._list:
            if not self._flags:
                empty("task_alt", t("Nothing to look at."), t("Other filters may show more."))
            for one in found.flags:
                if one.flag.id not in self._rows:
                    self._row(one)

    def _say(self, total: int) -> None:
        self._total = total
        self._count.set_text(self._view.t("{n} flags").format(n=total))

    def _row(self, one: ReviewedFlag) -> None:
        view, t, flag = self._view, self._view.t, one.flag
        row = ui.element("button").classes("review-row").props('role="option" type="button"')
        self._rows[flag.id] = row
        row.on("click", view.act(lambda: self._open(flag.id)))
        with row:
            with ui.element("span").classes("review-row-head"):
                chip(severity_words(t, flag.severity), SEVERITY_TONES[flag.severity])
                if one.state != "open":
                    chip(state_words(t, one.state), STATE_TONES[one.state])
                ui.label(flag.rule).classes("mono ellipsis")
                ui.label(ago(view, flag.at)).classes("muted small review-row-time")
            ui.label(flag.phrase[:LONGEST_LINE_LETTERS]).classes("review-row-phrase ellipsis")
            if flag.question:
                ui.label(flag.question[:LONGEST_LINE_LETTERS]).classes("muted small ellipsis")

    async def step(self, by: int) -> None:
        """Open the flag that is ``by`` further down."""
        ids = [one.flag.id for one in self._flags]
        if not ids:
            return
        if self.chosen not in ids:
            await self._open(ids[0])
            return
        place = ids.index(self.chosen) + by
        if 0 <= place < len(ids):
            await self._open(ids[place])

    async def first(self) -> None:
        """Open the first flag, if there is one."""
        if self._flags:
            self.mark(self._flags[0].flag.id)
            await self._opened(self.chosen)

    async def decided(self, one: ReviewedFlag) -> None:
        """A flag stands otherwise now: where the filter leaves it out, the next is opened."""
        if self._wanted.state in ("", one.state):
            return
        ids = [kept.flag.id for kept in self._flags]
        if one.flag.id not in ids:
            return
        place = ids.index(one.flag.id)
        self._rows.pop(one.flag.id).delete()
        del self._flags[place]
        self._say(max(self._total - 1, 0))
        if self._flags:
            await self._open(self._flags[min(place, len(self._flags) - 1)].flag.id)
        else:
            await self.load(self._wanted)

    async def _open(self, flag_id: str) -> None:
        self.mark(flag_id)
        if flag_id in self._rows:
            self._rows[flag_id].run_method("scrollIntoView", {"block": "nearest"})
        await self._opened(flag_id)

    def mark(self, flag_id: str) -> None:
        """Show which flag is open."""
        if self.chosen in self._rows:
            self._rows[self.chosen].classes(remove="review-row--here")
            self._rows[self.chosen].props('aria-selected="false"')
        self.chosen = flag_id
        if flag_id in self._rows:
            self._rows[flag_id].classes("review-row--here").props('aria-selected="true"')
