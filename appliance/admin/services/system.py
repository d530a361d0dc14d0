"""The box beneath the calls: workers, engine servers, trunks, jobs, plan, and what is wrong."""

from __future__ import annotations

import asyncio
import platform
import time
from dataclasses import dataclass

from appliance import __version__
from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.capacity.plan import CallsAt, Step
from appliance.capacity.planfile import PlanFile, read_plan
from appliance.errors import UserError
from appliance.ops.alarms import Alarm, alarms
from appliance.ops.sitelook import Site

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class PlanView:
    """The forecast's plan for the next 24 hours; times are Unix seconds."""

    made_at: float
    calls: tuple[CallsAt, ...]
    """Calls at once: mean, and the quantile that is planned for."""
    servers: dict[str, tuple[Step, ...]]
    """Of each stage, from when how many."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Places for calls on all workers."""

    calls: int
    places: int
    why: str
    """Why there are fewer than the settings allow; empty: there are not."""


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """One look at everything."""

    site: Site
    capacity: Capacity
    plan: PlanView | None
    """None: none was made yet."""
    plan_trouble: str
    alarms: tuple[Alarm, ...]
    versions: dict[str, str]


async def status(console: Console, actor: Actor) -> SystemStatus:
    """Everything, some seconds old at most."""
    actor.require(Permission.SYSTEM_READ)
    site = await console.live.site.get(console.http)
    plan, trouble = await asyncio.to_thread(_plan, console)
    return SystemStatus(
        site=site,
        capacity=capacity_of(site),
        plan=plan,
        plan_trouble=trouble,
        alarms=alarms(site),
        versions={
            "appliance": __version__,
            "python": platform.python_version(),
            "postgres": site.database.version,
            "system": f"{platform.system()} {platform.release()}",
        },
    )


async def list_alarms(console: Console, actor: Actor) -> tuple[Alarm, ...]:
    """What is wrong, the worst first."""
    actor.require(Permission.SYSTEM_READ)
    return alarms(await console.live.site.get(console.http))


def capacity_of(site: Site) -> Capacity:
    """Places on the workers that take calls."""
    ready = [worker for worker in site.workers if worker.up]
    return Capacity(
        calls=sum(worker.calls for worker in ready),
        places=sum(worker.capacity for worker in ready if worker.status == "ok"),
        why="; ".join(worker.why for worker in ready if worker.why),
    )


def _plan(console: Console) -> tuple[PlanView | None, str]:
    try:
        plan = read_plan(console.settings.plan_file)
    except UserError as e:
        return None, str(e)
    return (None, "") if plan is None else (_next_day(plan, time.time()), "")


def _next_day(plan: PlanFile, now_s: float) -> PlanView:
    def in_time(from_s: float) -> bool:
        return now_s - plan.interval_s <= from_s <= now_s + DAY_S

    return PlanView(
        made_at=plan.made_at,
        calls=tuple(at for at in plan.calls if in_time(at.from_s)),
        servers={
            stage: (
                *[step for step in steps if step.from_s < now_s - plan.interval_s][-1:],
                *[step for step in steps if in_time(step.from_s)],
            )
            for stage, steps in plan.servers.items()
        },
    )
