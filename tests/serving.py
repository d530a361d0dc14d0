"""Starts real engine servers for tests: on a free port, stopped with SIGTERM, exit status checked."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from appliance.ops.keeping.ports import free_port
from tests.knowledge_servers import AUTHORIZATION, KEY

START_TIMEOUT_S = 120
CHECKOUT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Served:
    """A running server: its base URL and its process."""

    url: str
    process: asyncio.subprocess.Process

    def rss_mb(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def cpu_s(self) -> float:
        """CPU time that the process has used, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def serving(
    data_dir: Path, *command: str, python: str = sys.executable, status: int = 0
) -> AsyncIterator[Served]:
    """Run ``ivr COMMAND --port FREE`` until the block ends; it must then exit with ``status``.

    ``python``: interpreter of another environment, which finds our checkout by PYTHONPATH.
    """
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        python, "-m", "appliance", *command, "--port", str(port),
        env={**os.environ, "IVR_DATA_DIR": str(data_dir), "OMP_NUM_THREADS": "1",
             "PYTHONPATH": str(CHECKOUT), "IVR_ENGINES__KEY": KEY},
    )  # fmt: skip
    try:
        served = Served(f"http://127.0.0.1:{port}", process)
        await healthy(served)
        yield served
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == status
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def client() -> aiohttp.ClientSession:
    """A session that brings the key that these servers ask for."""
    return aiohttp.ClientSession(headers=AUTHORIZATION)


async def healthy(served: Served) -> None:
    """Wait until the server says so; it must not end before."""
    async with asyncio.timeout(START_TIMEOUT_S), aiohttp.ClientSession() as session:
        while served.process.returncode is None:
            try:
                async with session.get(f"{served.url}/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)
    raise AssertionError("the server ended before it was healthy")
