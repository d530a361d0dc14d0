"""Calls to come, against those that came, and what the box is set to carry: the operator's matter."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.capacity.backtest import Score, back_test
from appliance.capacity.planning import look_ahead
from appliance.capacity.services import holding_s
from appliance.ops.capacityview import Hour, hours_ahead, hours_back
from appliance.settings import Settings

NICE = 10
"""Calls go before."""
MOST_HOURS = 24 * 7
TIMEOUT_S = 40.0
"""Some grouped queries over the weeks that it learns from, and one question to each engine server."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was forecast, what came, what is to come."""

    past: tuple[Hour, ...]
    """As they were forecast when they began; calls in, those that we made are not in it."""
    coming: tuple[Hour, ...]
    live: int
    """Calls in progress."""
    max_calls: int
    """That the box takes at once, by its settings."""
    quantile: float
    """The upper bounds hold for so many intervals out of all."""
    score: Score | None
    """How good it was over the last week, forecast a day ahead; None: nothing to learn from yet."""


async def outlook(console: Console, actor: Actor, hours: int = 48) -> Outlook:
    """The last ``hours`` and the next day. Raises UserError where the database does not answer."""
    actor.require(Permission.SYSTEM_READ)
    hours = min(max(hours, 1), MOST_HOURS)
    # seconds of arithmetic: in a process of its own, not beside whoever listens to a live call
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S):
            return await loop.run_in_executor(pool, look, console.settings, hours)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def look(settings: Settings, hours: int) -> Outlook:
    """As :func:`outlook`; blocks."""
    os.nice(NICE)
    found = look_ahead(settings)
    quantile, history = settings.capacity.quantile, found.history.inbound
    score = None
    if history is not None:
        score = back_test(history, found.site, holding_s(found.history.holding), quantile)
    return Outlook(
        past=tuple(hours_back(found, hours, quantile)),
        coming=tuple(hours_ahead(found, quantile)),
        live=found.history.live,
        max_calls=settings.switch.max_calls,
        quantile=quantile,
        score=score,
    )
