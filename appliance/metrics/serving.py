"""What an engine server's model does: one process has one model, so there is one of this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from appliance.metrics.buckets import SIZES, WAITS_S, Buckets
from appliance.metrics.exposition import Sink
from appliance.metrics.process import put_queue


class Serving:
    """Batches, waits and requests of one engine server."""

    def __init__(self) -> None:
        self.batch_items = Buckets(SIZES)
        """Items of each run of the model."""
        self.run_seconds = Buckets(WAITS_S)
        """How long each run took."""
        self.queue_seconds = Buckets(WAITS_S)
        """How long each item waited for its run."""
        self.requests: Counter[tuple[str, int]] = Counter()
        """By route and status."""
        self.request_seconds: dict[str, Buckets] = {}
        """By route; a websocket's time is its call's, and is not counted."""
        self._queues: list[tuple[Callable[[], int], int]] = []

    def watch_queue(self, waiting: Callable[[], int], limit: int) -> None:
        """Tell how many items wait for the model, and how many may."""
        self._queues.append((waiting, limit))

    def answered(self, route: str, status: int, seconds: float | None) -> None:
        """A request was answered; ``seconds`` None: its time tells nothing."""
        self.requests[route, status] += 1
        if seconds is not None:
            self.request_seconds.setdefault(route, Buckets(WAITS_S)).observe(seconds)

    def ran(self, items: int, seconds: float) -> None:
        """The model worked on ``items`` at once."""
        self.batch_items.observe(items)
        self.run_seconds.observe(seconds)

    def put(self, sink: Sink) -> None:
        """Tell it."""
        sink.histogram("ivr_server_batch_items", self.batch_items)
        sink.histogram("ivr_server_run_seconds", self.run_seconds)
        sink.histogram("ivr_server_queue_seconds", self.queue_seconds)
        for (route, status), count in list(self.requests.items()):
            sink.put("ivr_server_requests_total", count, route=route, status=status)
        for route, seconds in list(self.request_seconds.items()):
            sink.histogram("ivr_server_request_seconds", seconds, route=route)
        if self._queues:
            put_queue(
                sink, "model", sum(waiting() for waiting, _ in self._queues),
                sum(limit for _, limit in self._queues),
            )  # fmt: skip


SERVING = Serving()
