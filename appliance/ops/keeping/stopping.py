"""The two ways to tell a process that keeps others to stop: in order, and at once."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine

_log = logging.getLogger(__name__)


class Stop:
    """SIGTERM, SIGINT and SIGHUP ask; a second SIGINT insists."""

    def __init__(self, what_may_end: str) -> None:
        """``what_may_end``: for the log, what is let finish."""
        self._what_may_end = what_may_end
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.asked.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(signal.SIGHUP, self.asked.set)

    def _interrupted(self) -> None:
        if self.asked.is_set():
            _log.warning("! stopping at once")
            self.at_once.set()
        else:
            self.asked.set()
            _log.info("= stopping when %s has ended; once more to stop at once", self._what_may_end)


async def unless_stopped(stop: Stop, work: Coroutine[None, None, None]) -> bool:
    """Whether ``work`` was done; it is cancelled by a stop. What it raises is raised."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(stop.asked.wait())
    await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if doing.done():
        await doing
        return True
    doing.cancel()
    await asyncio.wait({doing})
    return False
