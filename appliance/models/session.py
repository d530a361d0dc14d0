"""A call's session with an engine that decodes in batches: what it asks for, when, what it shows.

While the caller speaks, a partial every so often, as far as the model can bear. As soon as the
line sounds no more, everything is decoded ahead of other calls' partials: if the caller has
finished, that already was the final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from appliance.models.agreement import Agreement
from appliance.models.batching import Batchable, Batcher, Decode, Full
from appliance.models.engine import Words
from appliance.models.sound import Sound

PACE = 1.5
"""A call asks for its next partial no sooner than this many times what its last one took: what is
left is for finals, and for other calls."""
FIRST_QUIET_MS = 20
"""Without sound for so long, it may have ended: everything is decoded in the hope of a final."""
HOPEFUL_EVERY_MS = 200
"""Of audio since what was decoded last; until then only the end of sound itself counts: a word has
silent stops (p, t, k) of 50 to 100 ms."""
SHORTEST_SOUND_MS = 40
"""Less is no word; a model makes one up."""
FINAL_TIMEOUT_S = 20.0
"""Behind the batches of others; the worker has long gone to another server."""


class Heard(Batchable, Protocol):
    """Audio to decode."""

    @property
    def audio_ms(self) -> int:
        """How much of the utterance has been heard when this is decoded."""

    @property
    def whole(self) -> bool:
        """It was made as if nothing more came: good for a final."""


Item = TypeVar("Item", bound=Heard)
Result = TypeVar("Result")
Made = TypeVar("Made", contravariant=True)


class Utterance(Protocol[Item, Made]):
    """What an engine keeps of one utterance."""

    def feed(self, pcm: bytes) -> None:
        """Keep audio. Quick: it is called on the event loop."""

    def item(self, audio_ms: int, whole: bool) -> Item:
        """What there is to decode now."""

    def take(self, item: Item, result: Made, sound_ms: int) -> str:
        """Take in what the model made of ``item``: all words so far."""

    async def words(self, item: Item, result: Made, sound_ms: int) -> Words:
        """The final words; ``item`` is whole."""


@dataclass(slots=True, eq=False)
class _Asked(Generic[Item, Result]):
    """A decode that waits or runs."""

    done: asyncio.Future[Decode[Item, Result]]
    at_s: float
    begun: bool = False


class BatchedSession(Generic[Item, Result]):
    """One call; see :class:`~appliance.models.engine.SttSession`."""

    def __init__(
        self,
        begin: Callable[[], Utterance[Item, Result]],
        batcher: Batcher[Item, Result],
        partial_every_ms: int,
        rate_hz: int,
    ) -> None:
        """``begin`` makes what the engine keeps of the next utterance."""
        self._begin = begin
        self._batcher = batcher
        self._every_ms = partial_every_ms
        self._sound = Sound(rate_hz)
        self._reset()

    def _reset(self) -> None:
        self._utterance = self._begin()
        self._agreement = Agreement()
        self._sound.start()
        self._partial: _Asked[Item, Result] | None = None
        self._candidate: _Asked[Item, Result] | None = None
        self._best: Decode[Item, Result] | None = None
        self._best_text = ""
        self._settled_ms = 0
        """Where the sound ended that was shown as a pause's."""
        self._due_ms = self._every_ms

    @property
    def best(self) -> Decode[Item, Result] | None:
        """Of the utterance: what has been decoded of the most audio so far."""
        return self._best

    def start(self) -> None:
        """Begin an utterance, abandoning the one before it."""
        self.close()
        self._reset()

    async def accept(self, pcm: bytes) -> str | None:
        """Keep the audio; the words shown, where a decode has come since. Never waits for one."""
        self._utterance.feed(pcm)
        self._sound.feed(pcm)
        shown = self._collect()
        if self._sound.is_quiet:
            shown = self._settle() or shown
        if self._has_ended():
            self._ask_candidate()
        elif self._sound.audio_ms >= self._due_ms and self._is_news():
            self._ask_partial()
        return shown

    async def finish(self) -> Words:
        """The final words. Raises Full, Stuck, DeviceLost, TimeoutError: the worker asks another
        server."""
        self._drop_partial()
        if self._sound.loud_ms < SHORTEST_SOUND_MS:
            self.close()
            return Words("", 0.0)
        async with asyncio.timeout(FINAL_TIMEOUT_S):
            if self._candidate is not None:
                self._best, self._candidate = await self._candidate.done, None
            best = self._best
            if best is None or not self._covers(best):
                best = await self._batcher.final(self._whole)
            return await self._utterance.words(best.item, best.result, self._sound.sound_ms)

    def close(self) -> None:
        """The call is over, or its utterance."""
        self._drop_partial()
        if self._candidate is not None:
            self._candidate.done.cancel()
            self._candidate = None

    def _drop_partial(self) -> None:
        if self._partial is not None:
            self._partial.done.cancel()
            self._partial = None

    def _collect(self) -> str | None:
        """Take what has been decoded. A failed decode fails the call here."""
        shown = None
        if self._partial is not None and self._partial.done.done():
            asked, self._partial = self._partial, None
            shown = self._take(asked)
        if self._candidate is not None and self._candidate.done.done():
            asked, self._candidate = self._candidate, None
            shown = self._take(asked) or shown
        return shown

    def _take(self, asked: _Asked[Item, Result]) -> str | None:
        if asked.done.cancelled():  # for another call's final; asked for again soon
            return None
        decode = asked.done.result()
        took_s = asyncio.get_running_loop().time() - asked.at_s
        wait_ms = max(self._every_ms, round(PACE * took_s * 1000))
        self._due_ms = max(self._due_ms, decode.item.audio_ms + wait_ms)
        text = self._utterance.take(decode.item, decode.result, self._sound.sound_ms)
        if self._best is None or decode.item.audio_ms >= self._best.item.audio_ms:
            self._best, self._best_text = decode, text
        return self._agreement.hear(text)

    def _settle(self) -> str | None:
        """In a pause the last hypothesis is as good as a final: it is shown, once, as it is."""
        if self._best is None or self._settled_ms == self._sound.ended_ms:
            return None
        if not self._covers(self._best):
            return None
        self._settled_ms = self._sound.ended_ms
        return self._agreement.settle(self._best_text)

    def _has_ended(self) -> bool:
        """The sound; or, where nothing was decoded just now, it looks like it."""
        heard_ms = self._best.item.audio_ms if self._best else 0
        return self._sound.is_quiet or (
            self._sound.quiet_ms >= FIRST_QUIET_MS
            and self._sound.audio_ms - heard_ms >= HOPEFUL_EVERY_MS
        )

    def _covers(self, decode: Decode[Item, Result]) -> bool:
        """It heard all there is to hear."""
        return decode.item.whole and decode.item.audio_ms >= self._sound.ended_ms

    def _is_news(self) -> bool:
        """There is sound that no decode has heard, and none is on its way."""
        heard_ms = self._best.item.audio_ms if self._best else 0
        asked = self._partial or self._candidate
        return asked is None and self._sound.ended_ms > heard_ms

    def _ask_partial(self) -> None:
        try:
            self._partial = self._asked(self._batcher.partial)
        except Full:  # others come first; this call asks again a step later
            self._due_ms = self._sound.audio_ms + self._every_ms

    def _ask_candidate(self) -> None:
        """Once for each end of sound."""
        if self._candidate is not None or (self._best and self._covers(self._best)):
            return
        if self._partial is not None and not self._partial.begun:
            self._drop_partial()
        try:
            self._candidate = self._asked(self._batcher.final)
        except Full:
            return

    def _asked(
        self, ask: Callable[[Callable[[], Item]], asyncio.Future[Decode[Item, Result]]]
    ) -> _Asked[Item, Result]:
        def make() -> Item:
            asked.begun = True
            return self._utterance.item(
                self._sound.audio_ms, self._sound.quiet_ms >= FIRST_QUIET_MS
            )

        asked = _Asked(ask(make), asyncio.get_running_loop().time())
        return asked

    def _whole(self) -> Item:
        return self._utterance.item(self._sound.audio_ms, True)
