"""What the pages and the API share: one object for each ``ivr admin``."""

from __future__ import annotations

from dataclasses import dataclass, field

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.admin.live.hub import LiveHub
from appliance.admin.rounds import Rounds
from appliance.admin.tryit.calls import TestCalls
from appliance.metrics.looplag import LoopLag
from appliance.settings import Settings


@dataclass(frozen=True, slots=True)
class Console:
    """Given to every service, first."""

    settings: Settings
    engine: AsyncEngine
    live: LiveHub
    """The calls in progress, as the workers tell of them."""
    http: aiohttp.ClientSession
    """For the appliance's own servers; each request has a timeout of its own."""
    test_calls: TestCalls = field(default_factory=TestCalls)
    """People who try an agent from here."""
    lag: LoopLag = field(default_factory=LoopLag)
    rounds: Rounds = field(default_factory=Rounds)
    """Of the doctor's checks."""
