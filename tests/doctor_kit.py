"""One check of ``ivr doctor`` against real parts, and what a broken one says."""

from __future__ import annotations

from typing import Any

from appliance.ops.doctor.box import open_box
from appliance.ops.doctor.check import Finding, State
from appliance.ops.doctor.checks import CHECKS
from appliance.ops.doctor.run import examine
from appliance.settings import Settings


async def look(settings: Settings, code: str, **options: Any) -> tuple[Finding, ...]:
    """What the check ``code`` finds."""
    async with open_box(settings, **options) as box:
        asked = [check for check in CHECKS if check.code == code]
        (outcome,) = [one async for one in examine(box, asked)]
    return outcome.findings


async def trouble(settings: Settings, code: str) -> Finding:
    """The one thing that is not good."""
    found = [f for f in await look(settings, code) if f.state in (State.WARNING, State.BAD)]
    assert len(found) == 1, [finding.told for finding in found]
    assert found[0].advice, "it says what to do"
    return found[0]
