"""A real Redis on a free port, for tests: the binary that ``ivr up`` runs, with its configuration."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import redis

from appliance.ops.keeping.ports import free_port
from appliance.ops.redis.server import EmbeddedRedis
from appliance.settings import Redis, Settings
from appliance.store.queue import redis_url

START_TIMEOUT_S = 60.0


class RedisProcess:
    """From started to stopped; it may be killed and started again, with what it held."""

    def __init__(self, data_dir: Path) -> None:
        self.settings = Settings(data_dir=data_dir, redis=Redis(embedded_port=free_port()))
        self.server = EmbeddedRedis(self.settings)
        self.url = redis_url(self.settings)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.server.prepare()
        self.process = subprocess.Popen(self.server.command(), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except redis.ConnectionError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.02)

    def kill(self) -> None:
        """``kill -9``."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)
