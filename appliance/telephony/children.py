"""The pjsua2 child processes: started, listened to, restarted with back-off."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from appliance.telephony.childconfig import ChildConfig

_log = logging.getLogger(__name__)

READY_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 3.0
FIRST_DELAY_S = 0.3
LONGEST_DELAY_S = 30.0
STEADY_S = 60.0
"""A child that lived this long starts again without back-off."""
LINE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ChildEvents:
    """What the parent wants to know of a child; ``port`` is its SIP port on loopback."""

    ready: Callable[[int], None]
    started: Callable[[str], None]
    ended: Callable[[str], None]
    died: Callable[[int], None]


class Child:
    """Keeps one child process alive until its task is cancelled."""

    def __init__(self, config: ChildConfig, events: ChildEvents) -> None:
        self._config = config
        self._events = events
        self._name = config.name
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return self._process.pid if self._process else None

    async def keep(self) -> None:
        """Run the child again and again; cancel to stop it."""
        delay_s = FIRST_DELAY_S
        while True:
            began = time.monotonic()
            status = await self._once()
            if time.monotonic() - began > STEADY_S:
                delay_s = FIRST_DELAY_S
            _log.error("! %s ended with status %s; again in %.1f s", self._name, status, delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

    async def _once(self) -> int | None:
        """One life of the child; its exit status."""
        try:
            process = await self._start()
        except OSError as e:
            _log.error("! %s cannot be started: %s", self._name, e)
            return None
        return await self._attend(process)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "appliance.telephony.endpoint",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
        )

    async def _attend(self, process: asyncio.subprocess.Process) -> int | None:
        self._process = process
        assert process.stdin and process.stdout
        try:
            process.stdin.write(orjson.dumps(self._config) + b"\n")
            await asyncio.wait_for(self._first_line(process.stdout), READY_TIMEOUT_S)
            while line := await process.stdout.readline():
                self._handle(line)
        except (TimeoutError, ValueError, OSError) as e:
            _log.error("! %s: %s: %s", self._name, type(e).__name__, e)
        finally:
            await asyncio.shield(self._end(process))
            if self._port:
                port, self._port = self._port, 0
                self._events.died(port)
        return process.returncode

    async def _first_line(self, stdout: asyncio.StreamReader) -> None:
        """Wait for ``ready``; an end before it is an end."""
        if line := await stdout.readline():
            self._handle(line)

    def _handle(self, line: bytes) -> None:
        event = orjson.loads(line)
        match event["event"]:
            case "ready":
                self._port = event["port"]
                _log.info("= %s ready (pid %s, port %d)", self._name, self.pid, self._port)
                self._events.ready(self._port)
            case "started":
                self._events.started(event["sip_call_id"])
            case "ended":
                self._events.ended(event["sip_call_id"])

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """End of stdin asks it to hang up and go; then it is killed."""
        if process.stdin:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
