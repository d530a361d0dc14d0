"""Texts waiting for the embedding model: callers' questions never behind documents being ingested.

Each kind has a queue and a thread of its own: a passage of 500 characters takes as long as five
questions, and a question that comes while one is computed would wait for it. No run of passages begins
while questions are under way, and their thread has a lower priority: it yields its core too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.models.lane import Bounds, Lane

QUESTIONS = Bounds(run_items=16, run_chars=1600, waiting=256)
"""10 in one run take as long as 4 runs of one: a burst of 10 has all its vectors after 2 runs."""
PASSAGES = Bounds(run_items=8, run_chars=1000, waiting=512)
"""Bounds one run to some 30 ms, for what is left of it is in the way of a question's thread."""
PASSAGES_NICENESS = 5
YIELD_MS = 200
"""Longest that a run of passages waits for questions: those that never end must not stop it."""
YIELD_POLL_MS = 1

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
Kind = Literal["query", "passage"]


class EmbedQueue:
    """Feeds ``embed`` (called in threads of its own) from any number of requests."""

    def __init__(self, embed: Embed) -> None:
        self._lanes: dict[Kind, Lane[str]] = {
            "query": Lane(embed, len, QUESTIONS),
            "passage": Lane(
                embed, len, PASSAGES, niceness=PASSAGES_NICENESS, before_run=self._questions_first
            ),
        }

    @property
    def waiting(self) -> int:
        """Texts not yet given to the model."""
        return sum(lane.waiting for lane in self._lanes.values())

    async def embed(self, texts: Sequence[str], kind: Kind) -> list[NDArray[np.float32]]:
        """One unit-length vector a text, in order. Raises Full when too many are waiting."""
        return await self._lanes[kind].submit(texts)

    async def run(self) -> None:
        """Serve both queues until cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes.values():
                group.create_task(lane.run())

    async def _questions_first(self) -> None:
        for _ in range(YIELD_MS // YIELD_POLL_MS):
            if self._lanes["query"].is_idle:
                return
            await asyncio.sleep(YIELD_POLL_MS / 1000)
