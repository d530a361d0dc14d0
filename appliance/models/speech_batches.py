"""Phrases of many calls through one model, in batches: who goes when is the schedule's.

Everything but the model lives on the event loop: a batch is picked, computed in the model's thread,
and handed out; while it is computed, new phrases gather. A phrase whose generator is closed leaves
the schedule, and what a batch still computes for it is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any, TypeVar

from appliance.metrics.serving import SERVING
from appliance.models.chunk_plan import Window, windows
from appliance.models.model_watch import ModelWatch
from appliance.models.shaping import Wave
from appliance.models.speech_model import DeviceLost, Letters, Spectrogram, SpeechModel
from appliance.models.speech_schedule import GPU, Limits, Schedule, Turn, Work

_log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_AHEAD = 6
"""Chunks (some 8 s) made and not yet fetched; a phrase that far ahead of its listener rests."""
LATER_FRAMES = 96
"""First chunk of a phrase's second and later pieces: its listener has something to hear already."""

Execute = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs something in the model's thread."""


class _State(Enum):
    WAITS = auto()
    IN_BATCH = auto()
    LEFT = auto()


@dataclass(slots=True, eq=False)
class _Phrase:
    turn: Turn
    texts: deque[Letters]
    chunks: asyncio.Queue[Wave | Exception | None] = field(default_factory=asyncio.Queue)
    """Bounded by ``MOST_AHEAD`` and the end mark: a phrase that is ahead is not scheduled."""
    spectrogram: Spectrogram | None = None
    plan: deque[Window] = field(default_factory=deque)
    state: _State = _State.WAITS

    def wait(self) -> None:
        """Say what is wanted next."""
        self.state = _State.WAITS
        if self.chunks.qsize() >= MOST_AHEAD or not (self.plan or self.texts):
            self.turn.work = Work.NOTHING
        elif self.plan:
            self.turn.work, self.turn.length = Work.SOUND, self.plan[0].length
        else:
            self.turn.work, self.turn.length = Work.SPECTROGRAM, len(self.texts[0].ids)


class SpeechBatches:
    """Speaks phrases with loaded models."""

    def __init__(
        self,
        models: Mapping[str, SpeechModel],
        execute: Execute,
        watch: ModelWatch,
        limits: Limits = GPU,
    ) -> None:
        self._models = models
        self._execute = execute
        self._watch = watch
        self._schedule = Schedule(limits)
        self._phrases: dict[Turn, _Phrase] = {}
        self._running: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Phrases under way."""
        return len(self._phrases)

    async def speak(self, model: str, texts: Sequence[Letters]) -> AsyncGenerator[Wave, None]:
        """The sound of ``texts``, one after the other, chunk by chunk.

        Raises whatever the model raised at this phrase alone.
        """
        turn = Turn(model, asyncio.get_running_loop().time())
        phrase = _Phrase(turn, deque(texts))
        phrase.wait()
        self._phrases[turn] = phrase
        self._schedule.add(turn)
        try:
            if not texts:
                return
            self._wake()
            while (chunk := await phrase.chunks.get()) is not None:
                if isinstance(chunk, Exception):
                    raise chunk
                if turn.work is Work.NOTHING and phrase.state is _State.WAITS:
                    phrase.wait()  # it was far ahead; now there is room for a chunk again
                    self._wake()
                yield chunk
        finally:
            self._leave(phrase)

    def _leave(self, phrase: _Phrase) -> None:
        phrase.state = _State.LEFT
        self._schedule.remove(phrase.turn)
        self._phrases.pop(phrase.turn, None)

    def _wake(self) -> None:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Serve until nothing waits."""
        while turns := self._schedule.pick():
            batch = [self._phrases[turn] for turn in turns]
            work = turns[0].work
            for phrase in batch:
                phrase.state, phrase.turn.work = _State.IN_BATCH, Work.NOTHING
            await self._serve(work, batch)
            for phrase in batch:
                if phrase.state is _State.IN_BATCH:
                    self._next(phrase)

    def _next(self, phrase: _Phrase) -> None:
        phrase.wait()
        if not (phrase.plan or phrase.texts):
            phrase.chunks.put_nowait(None)
            self._leave(phrase)

    async def _serve(self, work: Work, batch: Sequence[_Phrase]) -> None:
        """One batch; one that fails is tried again one by one, so that each fails for itself."""
        try:
            await self._compute(work, batch)
        except DeviceLost as e:
            self._watch.lose(str(e))
            for phrase in batch:
                self._fail(phrase, e)
        except Exception as e:  # the border of a job
            if len(batch) == 1:
                self._fail(batch[0], e)
                return
            _log.warning("! a batch of %d failed (%s); trying one by one", len(batch), e)
            for phrase in batch:
                if phrase.state is _State.IN_BATCH:
                    await self._serve(work, [phrase])

    def _fail(self, phrase: _Phrase, error: Exception) -> None:
        phrase.chunks.put_nowait(error)
        self._leave(phrase)

    async def _compute(self, work: Work, batch: Sequence[_Phrase]) -> None:
        name = batch[0].turn.model
        model, loop = self._models[name], asyncio.get_running_loop()
        cost = len(batch) * max(phrase.turn.length for phrase in batch)
        began = loop.time()
        for phrase in batch:
            if phrase.turn.first_heard_s is None and phrase.spectrogram is None:
                SERVING.queue_seconds.observe(began - phrase.turn.came_s)
        if work is Work.SPECTROGRAM:
            letters = [phrase.texts[0] for phrase in batch]
            made = await self._timed(partial(model.spectrograms, letters))
            for phrase, spectrogram in zip(batch, made, strict=True):
                phrase.texts.popleft()
                phrase.spectrogram = spectrogram
                phrase.plan = deque(self._plan(model, phrase, spectrogram.frames))
        else:
            orders = [
                (phrase.spectrogram, phrase.plan[0]) for phrase in batch if phrase.spectrogram
            ]
            waves = await self._timed(partial(model.waves, orders))
            for phrase, wave in zip(batch, waves, strict=True):
                self._hand_out(phrase, phrase.plan.popleft(), wave, model.frame_s)
        took = loop.time() - began
        self._schedule.pace.took(work, name, cost, took)
        SERVING.ran(len(batch), took)

    @staticmethod
    def _plan(model: SpeechModel, phrase: _Phrase, frames: int) -> list[Window]:
        """Short chunks first only where somebody waits for the first sound."""
        if phrase.turn.first_heard_s is None:
            return windows(frames, model.reach)
        return windows(frames, model.reach, first=LATER_FRAMES)

    async def _timed(self, compute: Callable[[], T]) -> T:
        with self._watch.step():
            result: T = await self._execute(compute)
        return result

    def _hand_out(self, phrase: _Phrase, window: Window, wave: Wave, frame_s: float) -> None:
        if phrase.turn.first_heard_s is None:
            phrase.turn.first_heard_s = asyncio.get_running_loop().time()
        phrase.turn.made_s += window.heard * frame_s
        phrase.chunks.put_nowait(wave)
