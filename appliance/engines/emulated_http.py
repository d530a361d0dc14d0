"""What every emulated server shares: its load, its health page, and how it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from appliance.engines.door import KNOWN, WANTED
from appliance.metrics.exposition import CONTENT_TYPE, Sink
from appliance.metrics.process import exporter_of

MAX_BODY_BYTES = 4 << 20
CAPACITY = 1000
"""Slots of a server that is told none: never the bottleneck of a rehearsal."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Load:
    """How many requests or streams are under way, and what became of the others."""

    def __init__(self, slots: int = CAPACITY) -> None:
        """``slots``: requests worked on at once; more wait for one, as at a real engine."""
        self.slots = slots
        self.in_flight = 0
        self.done = 0
        self.aborted = 0
        self._free = asyncio.Semaphore(slots)

    @property
    def full(self) -> bool:
        return self.in_flight >= self.slots

    async def answered(
        self, work: Callable[[float], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The response that ``work(begun_s)`` streams once a slot is free, counted; aborted when
        its client goes away."""
        self.begin()
        aborted = True
        try:
            async with self._free:
                response = await work(asyncio.get_running_loop().time())
            aborted = False
            return response
        except ConnectionError:
            return web.Response(status=499)  # the client is gone; nobody reads this
        finally:
            self.end(aborted=aborted)

    def begin(self) -> None:
        self.in_flight += 1

    def end(self, *, aborted: bool = False) -> None:
        """One is over; ``aborted``: its client went away before it was."""
        self.in_flight -= 1
        self.done += not aborted
        self.aborted += aborted


def metrics(stage: str, load: Load) -> Handler:
    """The handler of ``GET /metrics``: what an engine server tells, as far as it holds here."""
    exporter = exporter_of(stage)

    def put(sink: Sink) -> None:
        of = {"stage": stage, "engine": "emulated"}
        sink.put("ivr_server_ready", 1, **of)
        sink.put("ivr_server_in_flight", load.in_flight, **of)
        sink.put("ivr_server_capacity", load.slots, **of)

    exporter.add(put)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=exporter.render(), headers={"Content-Type": CONTENT_TYPE})

    return answer


def failure(status: int, message: str) -> web.Response:
    """An error of OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return web.json_response({"error": {"message": message, "type": kind}}, status=status)


def health(stage: str, load: Load) -> Handler:
    """The handler of ``GET /health``; ``done`` and ``aborted`` count since the start."""

    async def answer(request: web.Request) -> web.Response:
        if not request[KNOWN]:
            return web.json_response({"status": "ok", "key": WANTED})
        return web.json_response(
            {
                "status": "ok",
                "stage": stage,
                "engine": "emulated",
                "languages": ["*"],
                "in_flight": load.in_flight,
                "capacity": load.slots,
                "done": load.done,
                "aborted": load.aborted,
            }
        )

    return answer
