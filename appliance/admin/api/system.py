"""``/system``: the box beneath the calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.rounds import Round
from appliance.admin.services import doctor
from appliance.admin.services import system as service
from appliance.admin.services.system import Capacity, PlanView
from appliance.ops.alarms import Alarm, Severity
from appliance.ops.doctor.check import Group, State
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


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found, in English."""

    check: str
    """Its code, as `ivr doctor --only` takes it."""
    code: str
    """The same for the same trouble."""
    title: str
    group: Group
    state: State
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Checks:
    """A round of `ivr doctor`."""

    at_s: float
    """When it was over, Unix seconds; 0: none was made yet."""
    good: bool
    """Nothing is bad."""
    findings: tuple[Checked, ...]


@router.get("/checks")
async def last_checks(console: ConsoleOf, actor: Operator) -> Checks:
    """What the last round of checks found."""
    found = doctor.last(console, actor)
    return Checks(0.0, True, ()) if found is None else _checks(found)


@router.post("/checks")
async def check(console: ConsoleOf, actor: Operator) -> Checks:
    """Check everything now, as `ivr doctor` does; some seconds. Who asks again at once gets the round
    that was just made."""
    return _checks(await doctor.check(console, actor))


def _checks(found: Round) -> Checks:
    return Checks(
        found.at_s, found.good,
        tuple(
            Checked(
                outcome.check.code, finding.code or outcome.check.code, outcome.check.title,
                outcome.check.group, finding.state, finding.told, finding.advice,
            )
            for outcome in found.outcomes for finding in outcome.findings
        ),
    )  # fmt: skip


def _told(alarm: Alarm) -> Trouble:
    return Trouble(alarm.code, alarm.severity, alarm.what, alarm.do)
