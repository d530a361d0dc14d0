"""The journal, with a counter and a tracer beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from appliance.call.speaker import Journal
from appliance.events import CallRecord, Flag, Redaction, Turn
from appliance.metrics.calls import CallCounts

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Who hears of calls and turns; returns at once."""

    def call(self, record: CallRecord) -> None:
        """A call began, changed or ended."""

    def turn(self, turn: Turn) -> None:
        """A turn is over."""


class MeasuredJournal:
    """Passes everything on to ``journal``; what counts beside it may break, and costs a count."""

    def __init__(
        self, journal: Journal, counts: CallCounts, observer: Observer | None = None
    ) -> None:
        self._journal = journal
        self._counts = counts
        self._observers = (counts, observer) if observer is not None else (counts,)
        self._told = False

    def call(self, record: CallRecord) -> None:
        """A call began, changed or ended."""
        self._journal.call(record)
        for observer in self._observers:
            self._safely(partial(observer.call, record))

    def turn(self, turn: Turn) -> None:
        """A turn is over."""
        self._journal.turn(turn)
        for observer in self._observers:
            self._safely(partial(observer.turn, turn))

    def flag(self, flag: Flag) -> None:
        """The guard found something."""
        self._journal.flag(flag)
        self._safely(partial(self._counts.flag, flag))

    def redaction(self, span: Redaction) -> None:
        """A span of the recording that nobody may hear."""
        self._journal.redaction(span)

    def _safely(self, work: Callable[[], None]) -> None:
        """The border of a job: no call ends because it was miscounted."""
        try:
            work()
        except Exception:
            if not self._told:
                self._told = True
                log.exception("! a call or a turn is not counted")
