"""Upgrades: one that was cut short, and services that run another release than the one in force."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from appliance.errors import UserError
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded
from appliance.ops.releases.journal import Journal
from appliance.ops.releases.release import Place
from appliance.ops.releases.units import Systemctl, Units

CODE = "release"


async def look_at_releases(box: Box) -> Sequence[Finding]:
    """Skipped where the appliance is no installed release."""
    place = Place()
    if not place.current.is_symlink():
        return [Finding(CODE, State.SKIPPED, "The appliance is no installed release here.")]
    units = Systemctl(box.settings.worker.drain_timeout_s)
    return await asyncio.to_thread(look, place, units)


def look(place: Place, units: Units) -> list[Finding]:
    """What is to be told of ``place``. Raises UserError."""
    if (progress := Journal(place).read()) is not None:
        what = worded(
            "An upgrade to {release} is under way, or was cut short.", release=progress.new
        )
        do = "If none is at work: `ivr upgrade --resume`."
        return [Finding(CODE, State.WARNING, what, do, code="upgrade-cut-short")]
    now = place.in_force().name
    try:
        others = [one.name for one in units.running() if one.release not in (now, "")]
    except UserError:
        others = []  # no service manager to ask
    if others:
        what = worded(
            "{services} run another release than {release}, which is in force.",
            services=", ".join(others),
            release=now,
        )
        do = "`ivr upgrade --finish` moves them in a moment without calls."
        return [Finding(CODE, State.WARNING, what, do, code="older-services")]
    return [Finding(CODE, State.GOOD, worded("Release {release} is in force.", release=now))]


CHECKS = (
    Check(
        CODE, "Release", Group.SERVICES, look_at_releases, how="/opt/ivr and the services' programs"
    ),
)
