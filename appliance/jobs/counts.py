"""What the jobs of all processes of ``ivr jobs`` did, in memory that they share.

Each job runs in a child that Celery replaces after some hundred; so the counts stand in a table that
the first process made before it forked, and whose port tells it. A lock guards each row's change for
microseconds; who cannot have it within ``LOCK_S`` (its holder was killed) is not counted.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from appliance.metrics.buckets import JOBS_S, Buckets
from appliance.metrics.exposition import Sink

LOCK_S = 0.2


class Outcome(IntEnum):
    """How a job ended; its column in the table."""

    DONE = 0
    FAILED = 1
    TOO_LONG = 2


_RUNNING, _SUM, _BUCKETS = 3, 4, 5
COLUMNS = _BUCKETS + len(JOBS_S) + 1


class JobCounts:
    """One row a task. Make it before any process is forked."""

    def __init__(self, tasks: Sequence[str]) -> None:
        context = multiprocessing.get_context("fork")
        self._rows = {task: number for number, task in enumerate(tasks)}
        self._table = context.RawArray("d", len(self._rows) * COLUMNS)
        self._lock = context.Lock()

    @contextmanager
    def running(self, task: str) -> Iterator[list[Outcome]]:
        """Count one job; its outcome goes into the list (nothing: it failed)."""
        outcome: list[Outcome] = []
        began_s = time.monotonic()
        self._add(task, {_RUNNING: 1})
        try:
            yield outcome
        finally:
            took_s = time.monotonic() - began_s
            bucket = next((i for i, edge in enumerate(JOBS_S) if took_s <= edge), len(JOBS_S))
            ended = outcome[-1] if outcome else Outcome.FAILED
            self._add(task, {_RUNNING: -1, ended: 1, _SUM: took_s, _BUCKETS + bucket: 1})

    def put(self, sink: Sink) -> None:
        """Tell it."""
        for task, row in self._rows.items():
            values = self._table[row * COLUMNS : (row + 1) * COLUMNS]
            for outcome in Outcome:
                sink.put(
                    "ivr_jobs_done_total", int(values[outcome]), task=task,
                    outcome=outcome.name.lower(),
                )  # fmt: skip
            sink.put("ivr_jobs_running", max(0, int(values[_RUNNING])), task=task)
            seconds = Buckets(JOBS_S)
            seconds.counts = [int(value) for value in values[_BUCKETS:]]
            seconds.sum = values[_SUM]
            sink.histogram("ivr_job_seconds", seconds, task=task)

    def _add(self, task: str, changes: dict[int, float]) -> None:
        row = self._rows.get(task)
        if row is None or not self._lock.acquire(timeout=LOCK_S):
            return
        try:
            for column, change in changes.items():
                self._table[row * COLUMNS + column] += change
        finally:
            self._lock.release()
