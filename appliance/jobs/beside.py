"""The processes beside the one that does what is due now: what takes long, and the clock.

They are forked from it, and share most of its memory with it.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import Any

from celery import signals

PR_SET_PDEATHSIG = 1
"""prctl(2)."""

_log = logging.getLogger(__name__)


class Beside:
    """Processes that live as long as this one: when one of them dies unasked, this one stops, and
    all are started again by whoever started it."""

    def __init__(self) -> None:
        self._processes: list[ForkProcess] = []
        self._watching: list[threading.Thread] = []
        self._asked = False
        self.died = False
        """Whether one of them ended unasked."""

    def fork(self, name: str, work: Callable[[], None]) -> None:
        """A process that does ``work``. Before there are threads here that may hold a lock."""
        gc.collect()
        gc.freeze()  # what is here now is not written to by collections, and stays shared
        parent = os.getpid()
        forking = multiprocessing.get_context("fork")
        process = forking.Process(target=_tied, args=(work, parent), name=name)
        process.start()
        self._processes.append(process)

    def watch(self) -> None:
        """From now on they are stopped with the Celery worker of this process, and it with them."""
        signals.worker_shutting_down.connect(self._stopping, weak=False)
        for process in self._processes:
            watching = threading.Thread(target=self._watch, args=(process,), daemon=True)
            self._watching.append(watching)
            watching.start()

    def finish(self) -> None:
        """Wait until they have finished what they are doing, unless SIGQUIT says that they shall
        not."""
        self._tell(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGQUIT, lambda *_: self._tell(signal.SIGQUIT))
        for watching in self._watching:
            watching.join()

    def _stopping(self, sig: str = "SIGTERM", **_: Any) -> None:
        # a terminal has sent SIGINT to all of us already, and twice means at once
        self._tell(signal.SIGQUIT if sig == "SIGQUIT" else signal.SIGTERM)

    def _tell(self, number: int) -> None:
        self._asked = True
        for process in self._processes:
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, number)

    def _watch(self, process: ForkProcess) -> None:
        process.join()
        if not self._asked:
            self.died = True
            _log.error("! %s ended (%s); jobs stop", process.name, process.exitcode)
            os.kill(os.getpid(), signal.SIGTERM)


def _tied(work: Callable[[], None], parent: int) -> None:
    die_with(parent)
    work()


def die_with(parent: int) -> None:
    """Be killed when ``parent`` is: its child would go on asking the queue for jobs, unseen."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent or parent == 1:
        os._exit(1)
