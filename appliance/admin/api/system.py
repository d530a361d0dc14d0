"""``/system``: the box beneath the calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import system as service
from appliance.admin.services.system import Capacity, PlanView
from appliance.ops.alarms import Alarm, Severity
from appliance.ops.sitelook import Site

router = APIRouter(prefix="/system", tags=["system"])

Operator = Annotated[Actor, needs(Permission.SYSTEM_READ)]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong, in English."""

    code: str
    """The same for the same trouble."""
    severity: Severity
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Status:
    """One look at everything, some seconds old at most."""

    site: Site
    capacity: Capacity
    plan: PlanView | None
    alarms: tuple[Trouble, ...]
    versions: dict[str, str]


@router.get("/status")
async def status(console: ConsoleOf, actor: Operator) -> Status:
    """Workers, engine servers, pools, trunks, database, jobs, disk; the plan of the next day; what is
    wrong."""
    seen = await service.status(console, actor)
    found = tuple(map(_told, seen.alarms))
    return Status(seen.site, seen.capacity, seen.plan, found, seen.versions)


@router.get("/alarms")
async def list_alarms(console: ConsoleOf, actor: Operator) -> tuple[Trouble, ...]:
    """What is wrong, the worst first."""
    return tuple(map(_told, await service.list_alarms(console, actor)))


def _told(alarm: Alarm) -> Trouble:
    return Trouble(alarm.code, alarm.severity, alarm.what, alarm.do)
