"""What answers SIP here, and which number is dialled there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.doctor.box import Box
from appliance.ops.keeping import probe
from appliance.settings import Settings
from appliance.store.agents import load_assignment, load_assignments
from appliance.store.models import ANY_DID
from appliance.telephony.site import read_variables

IVR_SIP, FREESWITCH = "ivr sip", "FreeSWITCH"
ANY_NUMBER = "1001"
"""Dialled where every number is answered."""
POLL_S = 0.5
STARTING = "starting"


@dataclass(frozen=True, slots=True)
class Target:
    """One SIP entrance of this machine."""

    through: str
    """:data:`IVR_SIP` or :data:`FREESWITCH`."""
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Dialled:
    """A number, and who answers it."""

    number: str
    agent: Agent


async def dialled(box: Box, number: str) -> Dialled:
    """``number``, else the first that is answered. Raises UserError: nobody answers."""
    if number:
        found = await load_assignment(box.engine, number, box.settings.switch.country)
        if found is None:
            raise UserError(
                f"No agent answers {number}. `ivr numbers` lists those that are answered."
            )
        return Dialled(number, found.agent)
    assignments = await load_assignments(box.engine)
    if not assignments:
        raise UserError(
            "No number is answered by an agent yet. Publish one: `ivr seed` has a sample, or the"
            " console, under Agents."
        )
    exact = [one for one in assignments if one.did != ANY_DID]
    chosen = (exact or assignments)[0]
    return Dialled(ANY_NUMBER if chosen.did == ANY_DID else chosen.did, chosen.agent)


async def targets(box: Box, wait_s: float, tell: Callable[[str], None]) -> list[Target]:
    """What answers now, or within ``wait_s`` where the appliance is still starting."""
    deadline_s = time.monotonic() + wait_s
    told = False
    while True:
        found = await _answering(box)
        ready = await _workers_ready(box)
        if (found and ready) or time.monotonic() > deadline_s:
            return found
        if not told:
            tell("Waiting until the appliance is ready …")
            told = True
        await asyncio.sleep(POLL_S)
        await box.forget()


async def _workers_ready(box: Box) -> bool:
    workers = [worker for worker in (await box.site()).workers if worker.up]
    return bool(workers) and any(worker.status != STARTING for worker in workers)


async def _answering(box: Box) -> list[Target]:
    asked: list[tuple[Target, Callable[[], Awaitable[bool]]]] = []
    switch = (await box.site()).switch
    if (
        switch.up
        and switch.freeswitch
        and (place := await asyncio.to_thread(_trunks_at, box.settings))
    ):
        asked.append((Target(FREESWITCH, *place), _there))
    sip = box.settings.sip
    if "udp" in sip.transports:
        target = Target(IVR_SIP, sip.host, sip.port)
        asked.append((target, lambda: probe.sip_ok(sip.host, sip.port, "udp")))
    found: dict[tuple[str, int], Target] = {}
    for target, answers in asked:  # one port is one entrance: FreeSWITCH may stand on ours
        if await answers():
            found.setdefault((target.host, target.port), target)
    return list(found.values())


async def _there() -> bool:
    """FreeSWITCH answers OPTIONS to its trunks alone; the call will tell."""
    return True


def _trunks_at(settings: Settings) -> tuple[str, int] | None:
    """Address and port of FreeSWITCH's profile for trunks."""
    try:
        values = read_variables((settings.switch.conf_dir / "site" / "vars.xml").read_text())
        return values["sip_address"], int(values["sip_port"])
    except (OSError, KeyError, ValueError):
        return None
