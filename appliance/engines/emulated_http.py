"""What every emulated server shares: its load, its health page, and how it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

MAX_BODY_BYTES = 4 << 20
CAPACITY = 1000
"""Emulated engines are never the bottleneck of a rehearsal."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Load:
    """How many requests or streams are under way, and what became of the others."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.done = 0
        self.aborted = 0

    async def answered(self, work: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """The response that ``work`` streams, counted; aborted when its client goes away."""
        self.begin()
        aborted = True
        try:
            response = await work
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


def failure(status: int, message: str) -> web.Response:
    """An error of OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return web.json_response({"error": {"message": message, "type": kind}}, status=status)


def health(stage: str, load: Load) -> Handler:
    """The handler of ``GET /health``; ``done`` and ``aborted`` count since the start."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "status": "ok",
                "stage": stage,
                "engine": "emulated",
                "languages": ["*"],
                "in_flight": load.in_flight,
                "capacity": CAPACITY,
                "done": load.done,
                "aborted": load.aborted,
            }
        )

    return answer
