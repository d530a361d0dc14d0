"""What a call waits for, counted in played frames: no clock of the machine's, and none to cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto


class Timer(Enum):
    """One thing that is waited for."""

    MEDIA = auto()
    SILENCE = auto()
    SLOW = auto()
    LONGEST = auto()
    TONE = auto()
    PERSON = auto()
    BEEP = auto()


class Timers:
    """Those of one call."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """``now_ms``: how much of the call has been played."""
        self._now_ms = now_ms
        self._due_ms: dict[Timer, int] = {}

    def start(self, timer: Timer, after_ms: int) -> None:
        """Have it due so much later than now, whenever it was due before."""
        self._due_ms[timer] = self._now_ms() + after_ms

    def stop(self, *timers: Timer) -> None:
        """Wait for these no longer."""
        for timer in timers:
            self._due_ms.pop(timer, None)

    def is_running(self, timer: Timer) -> bool:
        """Whether it is waited for."""
        return timer in self._due_ms

    def due(self) -> Iterator[Timer]:
        """Those due by now, each once; one that the handling of another has stopped is left out."""
        now_ms = self._now_ms()
        for timer in [timer for timer, due_ms in self._due_ms.items() if due_ms <= now_ms]:
            if self._due_ms.get(timer, now_ms + 1) <= now_ms:
                del self._due_ms[timer]
                yield timer
