"""The vectors of questions, each asked of the embedder once: speculation asks the same words twice."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from appliance.engines.base import Embedder

MOST_KEPT = 512
"""1 MB; the one longest unused goes first."""

Vector = NDArray[np.float32]


class QuestionVectors:
    """An embedder's answers, kept; whoever asks while one is under way waits for that one."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[str, tuple[str, Vector]] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Vector]] = {}

    @property
    def model(self) -> str:
        """Whose vectors they are; empty before the first."""
        return self._embedder.model

    async def of(self, question: str) -> Vector:
        """The unit vector of ``question``. Raises EngineError. Giving up does not stop it: the next
        who asks finds it."""
        kept = self._kept.get(question)
        if kept and kept[0] == self._embedder.model:
            self._kept.move_to_end(question)
            return kept[1]
        task = self._under_way.get(question)
        if task is None:
            task = asyncio.create_task(self._ask(question))
            self._under_way[question] = task
            task.add_done_callback(lambda done: self._done(question, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, question: str) -> Vector:
        (vector,) = await self._embedder.embed([question], "query")
        return np.asarray(vector, np.float32)

    def _done(self, question: str, task: asyncio.Task[Vector]) -> None:
        self._under_way.pop(question, None)
        if task.cancelled() or task.exception():
            return
        self._kept[question] = (self._embedder.model, task.result())
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
