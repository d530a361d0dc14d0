"""Which worker takes the next call: the healthy one with most room, asked once a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
import orjson

from appliance.telephony import greenhttp

log = logging.getLogger(__name__)

ASK_EVERY_S = 1.0
ASK_TIMEOUT_S = 0.5
SHUN_S = 3.0
"""A worker that broke or refused a stream is not asked again for so long, unless there is no other."""
AGAIN_S = 0.2
"""After an ask that was not answered."""
SILENT_ASKS = 3
"""Asks in a row, some 2 to 3 s together: one that answers none of them is frozen, and its calls go
to another, though their websockets look alive. Asks are counted rather than seconds, so that a stop
of our own process blames nobody."""
SILENT_ASKS_ALONE = 8
"""The same where there is no other worker: this one may yet wake up."""
LARGEST_ANSWER_BYTES = 256 * 1024


@dataclass
class _Worker:
    url: str
    healthy: bool = False
    calls: int = 0
    """As it last said, and what we have given it since."""
    capacity: int = 1
    shunned_until_s: float = 0.0
    unanswered: int = 0
    """Asks in a row."""


class Workers:
    """The workers of ``switch.worker_urls``, and how busy each is."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._workers = {url: _Worker(url) for url in (text.rstrip("/") for text in urls)}
        self.silent: Callable[[str], None] = lambda url: None
        """Told the URL of a worker that does not answer any more, again while that lasts."""

    def run(self) -> None:
        """Ask them all, for ever; each in a greenlet of its own, so that none delays another."""
        gevent.joinall([gevent.spawn(self._ask_for_ever, w) for w in self._workers.values()])

    def pick(self, but: Sequence[str] = ()) -> str | None:
        """URL of the worker with most room, none of ``but``; it counts as one call busier now.

        None when no healthy one has room. One that broke lately is only picked for want of others.
        """
        now = time.monotonic()
        free = [
            w
            for url, w in self._workers.items()
            if w.healthy and w.calls < w.capacity and url not in but
        ]
        if not free:
            return None
        best = min(free, key=lambda w: (w.shunned_until_s > now, w.calls / w.capacity))
        best.calls += 1
        return best.url

    @property
    def room(self) -> int:
        """How many more calls the healthy ones take together."""
        return sum(max(0, w.capacity - w.calls) for w in self._workers.values() if w.healthy)

    @property
    def are_full(self) -> bool:
        """Whether there are healthy ones, and none has room: worth waiting for."""
        healthy = [w for w in self._workers.values() if w.healthy]
        return bool(healthy) and all(w.calls >= w.capacity for w in healthy)

    def failed(self, url: str) -> None:
        """A stream to it broke or was refused."""
        if url in self._workers:
            self._workers[url].shunned_until_s = time.monotonic() + SHUN_S

    def holds(self, url: str, call_id: str) -> bool | None:
        """Whether that worker carries the call; None when it does not answer."""
        try:
            health = _get(f"{url}/health?call={call_id}")
        except greenhttp.FAILURES:
            return None
        return bool(health.get("holds"))

    def states(self) -> list[dict[str, object]]:
        """For people: every worker, whether it takes calls, and how many it has."""
        return [
            {"url": w.url, "healthy": w.healthy, "calls": w.calls, "capacity": w.capacity}
            for w in self._workers.values()
        ]

    def _ask_for_ever(self, worker: _Worker) -> None:
        while True:
            was = worker.healthy
            try:
                health = _get(f"{worker.url}/health")
                worker.calls, worker.capacity = int(health["calls"]), int(health["capacity"])
                worker.healthy = health["status"] == "ok"
                worker.unanswered = 0
            except (*greenhttp.FAILURES, KeyError, TypeError):
                worker.healthy = False
                worker.unanswered += 1
            if was != worker.healthy:
                state = "takes calls" if worker.healthy else "takes no calls"
                log.info("= worker %s %s", worker.url, state)
            if self._is_silent(worker):
                self.silent(worker.url)
            gevent.sleep(AGAIN_S if 0 < worker.unanswered < SILENT_ASKS_ALONE else ASK_EVERY_S)

    def _is_silent(self, worker: _Worker) -> bool:
        others = any(w.healthy for w in self._workers.values() if w is not worker)
        return worker.unanswered >= (SILENT_ASKS if others else SILENT_ASKS_ALONE)


def _get(url: str) -> dict[str, Any]:
    """An object, whatever the status: one that drains says so with 503. Raises greenhttp.FAILURES."""
    _, body = greenhttp.ask(
        "GET", url, connect_timeout_s=ASK_TIMEOUT_S, read_timeout_s=ASK_TIMEOUT_S,
        most_bytes=LARGEST_ANSWER_BYTES,
    )  # fmt: skip
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError(f"{url} answers no object")
    return found
