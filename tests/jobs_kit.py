"""A real ``ivr jobs`` on a real Redis, for tests."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.settings import ENV_PREFIX, Settings, load
from tests.knowledge_servers import KEY
from tests.process_kit import children_of, descendants_of
from tests.redis_server import RedisProcess

STOP_TIMEOUT_S = 15.0


class Jobs:
    """``ivr jobs`` with its Redis, both to be killed and started again."""

    def __init__(self, folder: Path, database_url: str, embed_url: str, **more: Any) -> None:
        self.redis = RedisProcess(folder / "var")
        self.log = folder / "jobs.log"
        own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
        self.environment = own | {
            "IVR_DATA_DIR": str(folder / "var"),
            "IVR_DATABASE__URL": database_url,
            "IVR_REDIS__EMBEDDED_PORT": str(self.redis.server.port),
            "IVR_JOBS__SWEEP_S": "1",
            "IVR_ENGINES__EMBED__URLS": orjson.dumps([embed_url]).decode(),
            "IVR_ENGINES__KEY": KEY,
            "OMP_NUM_THREADS": "1",
            **{f"IVR_{name.upper()}": str(value) for name, value in more.items()},
        }
        self.settings: Settings = load(environ=self.environment)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the workers; they come up by themselves, Redis or not."""
        self.settings.jobs_ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "appliance", "jobs"],
                *(-1, None, subprocess.DEVNULL, log, log),
                env=self.environment,
                start_new_session=True,
            )

    def kill(self) -> None:
        """``kill -9`` of the process alone: its children are tied to it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()
        finally:
            self.process = None

    def children(self) -> list[int]:
        """Process ids of the workers, of the clock, and of theirs."""
        assert self.process is not None
        return descendants_of(self.process.pid)

    def own_children(self) -> list[int]:
        """Those that it has started itself: what takes long, the clock, then workers."""
        assert self.process is not None
        return children_of(self.process.pid)

    async def is_ready(self) -> bool:
        """Whether it has taken jobs since it was started."""
        return self.settings.jobs_ready_file.exists()

    def said(self) -> str:
        return self.log.read_text(errors="replace")


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
    """Wait for what is asked of Postgres."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def value(engine: AsyncEngine, query: str) -> Any:
    """The one value that ``query`` asks for."""
    async with engine.connect() as connection:
        return await connection.scalar(text(query))
