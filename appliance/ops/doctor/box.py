"""What all checks look at: the settings, and what is asked once for all of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE
from typing import Any, TypeVar

import aiohttp
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.ops.sitelook import Site, look
from appliance.settings import Settings
from appliance.store.database import EMBEDDED_SECRET, database_url, open_engine

COMMAND_TIMEOUT_S = 5.0
LARGEST_OUTPUT_BYTES = 1 << 20
NO_SECRET_URL = "postgresql://ivr@127.0.0.1:{port}/ivr"
"""Of an embedded server that was never started: to look must not make its secret."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    status: int
    """127: there is no such command; 124: it took too long."""
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.status == 0


class Box:
    """One machine and its appliance, during one round of checks."""

    def __init__(
        self,
        settings: Settings,
        http: aiohttp.ClientSession,
        engine: AsyncEngine,
        *,
        deep: bool = False,
    ) -> None:
        self.settings = settings
        self.http = http
        self.engine = engine
        """Of the database; connects at the first question."""
        self.deep = deep
        """Ask what takes minutes too: checksums of models."""
        self._asked: dict[str, asyncio.Task[Any]] = {}

    @property
    def is_root(self) -> bool:
        """Whether owners can be changed and everybody's files be seen."""
        return os.geteuid() == 0

    async def once(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``ask`` answers, asked once in a round whoever wants it."""
        if name not in self._asked:
            self._asked[name] = asyncio.create_task(ask())
        answer: T = await asyncio.shield(self._asked[name])
        return answer

    async def site(self) -> Site:
        """The look that alarms are made of."""
        return await self.once("site", lambda: look(self.settings, self.http, self.engine))

    async def forget(self) -> None:
        """Ask anew from now on: something was mended, or the round is over."""
        asked, self._asked = list(self._asked.values()), {}
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def run(self, *command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Ran:
        """Run a command that only looks, without a shell and without input."""
        environment = os.environ | {"LC_ALL": "C", "SYSTEMD_COLORS": "0"}
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment
            )
        except (FileNotFoundError, PermissionError):
            return Ran(127, "", f"{command[0]} is not there")
        try:
            out, err = await asyncio.wait_for(process.communicate(), timeout_s)
        except TimeoutError:
            return Ran(124, "", f"{command[0]} took longer than {timeout_s:.0f} s")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        texts = (data[:LARGEST_OUTPUT_BYTES].decode(errors="replace") for data in (out, err))
        return Ran(process.returncode or 0, *texts)


@asynccontextmanager
async def open_box(settings: Settings, *, deep: bool = False) -> AsyncIterator[Box]:
    """A box to look at, and what is opened for it closed again. Raises UserError: no database URL
    can be made of the settings."""
    engine = await asyncio.to_thread(_engine, settings)
    try:
        async with aiohttp.ClientSession() as http:
            box = Box(settings, http, engine, deep=deep)
            try:
                yield box
            finally:
                await box.forget()
    finally:
        await engine.dispose()


def _engine(settings: Settings) -> AsyncEngine:
    try:
        made = settings.database.url or (settings.secrets_dir / EMBEDDED_SECRET).exists()
        url = (
            database_url(settings)
            if made
            else NO_SECRET_URL.format(port=settings.database.embedded_port)
        )
    except OSError as e:
        raise UserError(
            f"The secrets in {settings.secrets_dir} cannot be read: {e.strerror}. Look as root, or as"
            " the user that the appliance runs as."
        ) from e
    return open_engine(url, connect_timeout_s=settings.database.connect_timeout_s)
