"""``/flags``: the review queue."""

from __future__ import annotations

from nicegui import events, ui

from appliance.access.roles import Permission
from appliance.admin.services import flags
from appliance.admin.ui.page import View, page
from appliance.admin.ui.review.filters import Filters
from appliance.admin.ui.review.flagcard import FlagCard
from appliance.admin.ui.review.queue import QueueList
from appliance.admin.ui.review.trend import draw_trend
from appliance.store.flags import ReviewedFlag, Wanted


@page("/flags", Permission.FLAGS_READ, "Flagged answers")
async def review_queue(view: View, flag: str = "", state: str = "open") -> None:
    """``flag``: the one to open, whatever the filters say; the first, if it is left out."""
    t = view.t
    ui.add_head_html('<script src="/static/review.js" defer></script>')
    top = ui.element("div").classes("wide")

    async def count() -> None:
        counts = await flags.counts(view.console, view.actor, Wanted())
        top.clear()
        with top:
            draw_trend(view, counts)

    await count()
    kinds = await flags.filters(view.console, view.actor)

    async def narrow() -> None:
        card.clear()
        await queue.load(filters.wanted)
        await queue.first()

    async def decided(one: ReviewedFlag) -> None:
        await queue.decided(one)
        await count()

    known = state if state in ("open", "confirmed", "dismissed") else ""
    filters = Filters(view, kinds, narrow, known)
    with ui.element("div").classes("review-split"):
        with ui.column().classes("wide"):
            queue = QueueList(view, lambda flag_id: card.open(flag_id))
            if view.actor.may(Permission.FLAGS_DECIDE):
                keys = t("Keys: j next, k previous, c it was wrong, d nothing wrong, e correct")
                ui.label(keys).classes("help")
        card = FlagCard(view, decided)
    await queue.load(filters.wanted)
    if flag:
        queue.mark(flag)
        await card.open(flag)
    else:
        await queue.first()
    _keyboard(view, queue, card)


def _keyboard(view: View, queue: QueueList, card: FlagCard) -> None:
    """Letters while no field has the focus; ``e`` is static/review.js's."""

    async def press(event: events.KeyEventArguments) -> None:
        modified = event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta
        if not event.action.keydown or event.action.repeat or modified:
            return
        match event.key.name:
            case "j":
                await queue.step(1)
            case "k":
                await queue.step(-1)
            case "c":
                await card.confirm()
            case "d":
                await card.dismiss()

    ui.keyboard(on_key=view.act(press), ignore=["input", "select", "textarea"])
