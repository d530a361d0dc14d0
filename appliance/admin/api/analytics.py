"""Figures of the call center over HTTP. What each term means stands in docs/console.md."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import analytics as service
from appliance.admin.services import forecast
from appliance.admin.services.analytics import Asked, LoadBand, Overview, StageShares
from appliance.store.analytics import FailureCount
from appliance.store.unanswered import Unanswered

router = APIRouter(prefix="/analytics", tags=["Analytics"])

Reader = Annotated[Actor, needs(Permission.ANALYTICS_READ)]
DayText = Annotated[str, Field(max_length=10, pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


class AskedQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    period: Literal["today", "7d", "30d", "90d", "custom"] = "7d"
    first: DayText = ""
    """First day of `custom`, YYYY-MM-DD, in the site's time zone."""
    last: DayText = ""
    """Last day of `custom`, included; 92 days at most."""
    unit: Literal["", "hour", "day"] = ""
    """Empty: what suits the period. Hours are for 14 days at most."""
    agent: Annotated[str, Field(max_length=service.LONGEST_LETTERS)] = ""
    language: Annotated[str, Field(max_length=service.LONGEST_LETTERS)] = ""

    def asked(self) -> Asked:
        return Asked(**self.model_dump())


AskedOf = Annotated[AskedQuery, Query()]


@router.get("/overview")
async def get_overview(console: ConsoleOf, actor: Reader, query: AskedOf) -> Overview:
    """Calls, how they ended, gaps; over time, by agent and language; and of the period before."""
    return await service.overview(console, actor, query.asked())


@router.get("/load")
async def get_load(console: ConsoleOf, actor: Reader, query: AskedOf) -> list[LoadBand]:
    """Gaps by how many calls were in progress."""
    return list(await service.against_load(console, actor, query.asked()))


@router.get("/stages")
async def get_stages(console: ConsoleOf, actor: Reader, query: AskedOf) -> StageShares:
    """Each stage's share of the gap."""
    return await service.stages(console, actor, query.asked())


@router.get("/failures")
async def get_failures(console: ConsoleOf, actor: Reader, query: AskedOf) -> list[FailureCount]:
    """What callers did not get as meant, by kind."""
    return await service.failures(console, actor, query.asked())


@router.get("/unanswered")
async def get_unanswered(console: ConsoleOf, actor: Reader, query: AskedOf) -> list[Unanswered]:
    """Questions without an answer, by their wording; also needs `calls:read`."""
    return await service.unanswered(console, actor, query.asked())


@router.get("/forecast")
async def get_forecast(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.SYSTEM_READ)],
    hours: Annotated[int, Query(ge=1, le=forecast.MOST_HOURS)] = 48,
) -> forecast.Outlook:
    """Calls to come against those that came; of the whole box."""
    return await forecast.outlook(console, actor, hours)
