"""``ivr turn``: the end-of-turn judge's server. The wire is docs/wires.md, section 5."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from aiohttp import web

from appliance.audio import RATES_HZ, Samples, bytes_of
from appliance.models import http
from appliance.models.smart_turn import SmartTurn, weights
from appliance.settings import Settings

LONGEST_MS = 10_000
"""The model hears the last 8 s; a little more is no mistake."""
STALE_MS = 400
"""By then the silence has decided: a later judgement is of no use to its call."""
CAPACITY = 16
"""Requests waiting or running: at 25 ms each the last of them is served just before it is stale."""


class Stale(Exception):
    """A request waited so long for its run that nobody needs it any more."""


class Server:
    """The routes of the turn judge's server; one thread runs the model, so the loop stays free."""

    def __init__(self, model: SmartTurn) -> None:
        self._model = model
        self._load = http.Load("turn", "smart-turn-v3", ("*",), CAPACITY)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="smart-turn")

    def application(self) -> web.Application:
        app = http.application(self._load, request_bytes=bytes_of(LONGEST_MS, max(RATES_HZ)))
        app.router.add_post("/v1/turn", self._turn)
        return app

    async def _turn(self, request: web.Request) -> web.Response:
        rate_hz = request.query.get("rate", "")
        if rate_hz not in map(str, RATES_HZ):
            raise http.Refused(400, "The query needs rate=8000 or rate=16000.")
        pcm = await request.read()
        if len(pcm) % 2:
            raise http.Refused(400, "The body must be L16: an even number of bytes.")
        if self._load.full or self._load.draining.is_set():
            raise http.Refused(503, f"{CAPACITY} turns are being judged; more would be too late.")
        self._load.in_flight += 1
        try:
            complete, ms = await self._judged(np.frombuffer(pcm, "<i2"), int(rate_hz))
        except Stale as e:
            raise http.Refused(503, f"The request waited more than {STALE_MS} ms.") from e
        finally:
            self._load.in_flight -= 1
        return http.reply({"complete": round(complete, 4), "ms": round(ms, 1)})

    async def _judged(self, samples: Samples, rate_hz: int) -> tuple[float, float]:
        """Probability and run time, in order of arrival. Raises Stale.

        A caller that hangs up cancels its run if that has not begun.
        """
        asked = time.monotonic()

        def run() -> tuple[float, float]:
            began = time.monotonic()
            if (began - asked) * 1000 > STALE_MS:
                raise Stale
            complete = self._model.judge(samples, rate_hz)
            return complete, (time.monotonic() - began) * 1000

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)


def run(settings: Settings, host: str, port: int) -> None:
    """Serve Smart Turn until SIGTERM. Raises UserError."""

    async def build() -> web.Application:
        model = SmartTurn(weights())
        model.judge(np.zeros(0, np.int16), max(RATES_HZ))  # the first run is the slowest
        return Server(model).application()

    http.run(build, host, port, partial(http.access_of, settings, settings.engines.turn))
