"""``/analytics``: how the call center does, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from sqlalchemy.exc import SQLAlchemyError

from appliance.access.roles import Permission
from appliance.admin.services import analytics as service
from appliance.admin.services import forecast, knowledge
from appliance.admin.services.analytics import Asked
from appliance.admin.ui.analytics.filters import draw_filters, read_asked
from appliance.admin.ui.analytics.gone import draw_failures, draw_unanswered
from appliance.admin.ui.analytics.groups import draw_groups
from appliance.admin.ui.analytics.outlook import draw_outlook
from appliance.admin.ui.analytics.overview import draw_calls
from appliance.admin.ui.analytics.tiles import draw_tiles
from appliance.admin.ui.analytics.waits import draw_gaps, draw_load, draw_stages
from appliance.admin.ui.layout import empty
from appliance.admin.ui.page import View, in_background, page
from appliance.errors import UserError


@page("/analytics", Permission.ANALYTICS_READ, "Analytics")
async def analytics(view: View) -> None:
    """Filters at once; each part when its figures are there."""
    asked = read_asked(view.request.query_params)
    draw_filters(view, asked, await service.agents(view.console, view.actor))
    _Figures(view, asked).draw()


class _Figures:
    """The parts of the page in one browser."""

    def __init__(self, view: View, asked: Asked) -> None:
        self._view = view
        self._asked = asked

    def draw(self) -> None:
        """Places in their order on the page; what fills them comes one after the other, so that one
        page asks no more of the database at once than it must."""
        self._top = _waiting()
        with ui.element("div").classes("grid-2"):
            self._gaps, self._load, self._stages, self._failures = (_waiting() for _ in range(4))
        self._rest = _waiting()
        self._unanswered, self._outlook = _waiting(), _waiting()
        in_background(self._view, self._fill())

    async def _fill(self) -> None:
        console, actor, asked = self._view.console, self._view.actor, self._asked
        await self._part(self._overview, self._top, self._gaps, self._rest)

        async def load() -> None:
            found = await service.against_load(console, actor, asked)
            with _cleared(self._load):
                draw_load(self._view, found)

        async def stages() -> None:
            found = await service.stages(console, actor, asked)
            with _cleared(self._stages):
                draw_stages(self._view, found)

        async def failures() -> None:
            found = await service.failures(console, actor, asked)
            with _cleared(self._failures):
                draw_failures(self._view, found)

        await self._part(load, self._load)
        await self._part(stages, self._stages)
        await self._part(failures, self._failures)
        await self._part(self._questions, self._unanswered)
        await self._part(self._ahead, self._outlook)

    async def _part(self, work: Callable[[], Awaitable[None]], *places: ui.column) -> None:
        """``work``; what goes wrong with it stands in its places, and the others go on."""
        t = self._view.t
        if places[0].is_deleted:
            return
        try:
            await work()
        except _LeftError:
            pass
        except (UserError, SQLAlchemyError, TimeoutError) as e:
            if places[0].is_deleted:
                return
            known = isinstance(e, UserError)
            words = t(str(e)) if known else t("The figures did not come in time. Try again.")
            for place in places:
                with _cleared(place):
                    if place is places[0]:
                        ui.label(words).classes("notice notice--warn").props("role=alert")

    async def _overview(self) -> None:
        view = self._view
        found = await service.overview(view.console, view.actor, self._asked)
        with _cleared(self._top):
            if not found.now.volume.offered:
                hint = view.t("Choose a longer time, or take a filter away.")
                empty("insights", view.t("There was no call then."), hint)
            draw_tiles(view, found)
            draw_calls(view, found)
        with _cleared(self._gaps):
            draw_gaps(view, found)
        with _cleared(self._rest):
            draw_groups(view, self._asked, found)

    async def _questions(self) -> None:
        view = self._view
        if not view.actor.may(Permission.CALLS_READ):
            _cleared(self._unanswered)
            return
        found = await service.unanswered(view.console, view.actor, self._asked)
        bases = await self._bases() if found else {}
        with _cleared(self._unanswered):
            draw_unanswered(view, found, bases)

    async def _bases(self) -> dict[str, str]:
        """Of each agent, the page of its knowledge base."""
        view = self._view
        if not view.actor.may(Permission.KNOWLEDGE_READ):
            return {}
        found = await knowledge.bases(view.console, view.actor)
        return {
            user.agent_id: f"/knowledge/{base.id}"
            for base in found
            for user in base.users
            if user.published
        }

    async def _ahead(self) -> None:
        view, asked = self._view, self._asked
        mine = view.actor.may(Permission.SYSTEM_READ) and not (asked.agent or asked.language)
        if not mine:
            _cleared(self._outlook)
            return
        hours = 24 if asked.period == "today" else forecast.MOST_HOURS
        found = await forecast.outlook(view.console, view.actor, hours)
        with _cleared(self._outlook):
            draw_outlook(view, found)


def _waiting() -> ui.column:
    place = ui.column().classes("wide")
    with place, ui.column().classes("panel chart-panel chart-waiting"):
        ui.skeleton(width="40%", height="16px")
        ui.skeleton(width="100%", height="120px")
    return place


class _LeftError(Exception):
    """The page is no longer open."""


def _cleared(place: ui.column) -> ui.column:
    """``place``, empty. Raises _LeftError."""
    if place.is_deleted:
        raise _LeftError
    place.clear()
    return place
