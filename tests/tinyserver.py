"""Small real HTTP servers for tests of engine clients: on free ports, counted, killed at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Tiny:
    """A server: its URL, what it was asked, and what became of the requests."""

    runner: web.AppRunner
    url: str = ""
    status: int = 200
    languages: list[str] = field(default_factory=lambda: ["*"])
    voices: list[str] = field(default_factory=list)
    in_flight: int = 0
    asked: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    aborted: int = 0

    async def health(self, _: web.Request) -> web.Response:
        body = {
            "status": "ok",
            "languages": self.languages,
            "voices": self.voices,
            "in_flight": self.in_flight,
        }
        return web.json_response(body, status=self.status)

    async def stop(self) -> None:
        """Close its port and every connection."""
        await self.runner.cleanup()

    async def start_again(self) -> None:
        """A new process on the same port."""
        port = int(self.url.rpartition(":")[2])
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port).start()


@asynccontextmanager
async def tiny(path: str = "/x", handler: Handler | None = None) -> AsyncIterator[Tiny]:
    """Serve ``handler`` at ``path`` beside a health page."""

    async def counted(request: web.Request) -> web.StreamResponse:
        served.asked.append(await request.read())
        served.headers.append(dict(request.headers))
        assert handler is not None
        try:
            return await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            served.aborted += 1
            raise

    app = web.Application(client_max_size=4 << 20)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    served = Tiny(runner)
    app.router.add_get("/health", served.health)
    app.router.add_route("*", path, counted)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await served.stop()


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait for ``condition``, or fail."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
