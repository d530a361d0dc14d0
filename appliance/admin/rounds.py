"""The rounds of ``ivr doctor``'s checks that the console makes: one at a time, for all who look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import State
from appliance.ops.doctor.checks import CHECKS
from appliance.ops.doctor.run import Outcome, examine

FRESH_S = 5.0
"""Whoever asks again within so long gets the round that was just made: it costs the engines work."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found."""

    at_s: float
    """When it was over, Unix seconds."""
    took_s: float
    outcomes: tuple[Outcome, ...]

    @property
    def counts(self) -> Mapping[State, int]:
        """Findings by their state."""
        states = [finding.state for outcome in self.outcomes for finding in outcome.findings]
        return {state: states.count(state) for state in State}

    @property
    def good(self) -> bool:
        """Nothing is bad."""
        return not self.counts[State.BAD]


@dataclass(slots=True)
class Rounds:
    """The last round, and the one under way."""

    last: Round | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self, box: Box) -> Round:
        """A round that ended after now, or ``FRESH_S`` ago at most."""
        async with self._looking:
            if self.last is None or time.time() - self.last.at_s > FRESH_S:
                self.last = await _round(box)
            return self.last


async def _round(box: Box) -> Round:
    began_s = time.monotonic()
    try:
        outcomes = [outcome async for outcome in examine(box, CHECKS)]
    finally:
        await box.forget()
    return Round(time.time(), time.monotonic() - began_s, tuple(outcomes))
