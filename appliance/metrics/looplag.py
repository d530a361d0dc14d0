"""How late an event loop gets round to what is due: the first sign of a process with too much to do."""

from __future__ import annotations

import asyncio

from appliance.metrics.buckets import LAG_S, Buckets

LOOK_EVERY_S = 0.25
"""A timer four times a second, 20 µs of a core each second."""


class LoopLag:
    """Of one event loop."""

    def __init__(self) -> None:
        self.seconds = Buckets(LAG_S)

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self.seconds.observe(max(0.0, loop.time() - due))
