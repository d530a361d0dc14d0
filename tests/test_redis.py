"""The embedded Redis: private, on loopback, and mended when its log was torn."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from appliance.ops.redis.server import EmbeddedRedis
from appliance.settings import REDIS_SECRET, Redis, Settings
from appliance.store.queue import redis_url
from tests.redis_server import RedisProcess

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(tmp_path / "var")
    process.start()
    yield process
    process.kill()


def test_the_password_is_asked_for_and_not_on_the_command_line(server: RedisProcess) -> None:
    password = server.settings.secret(REDIS_SECRET)
    assert server.process is not None
    shown = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode()
    assert "redis-server" in shown and password not in shown
    config = server.settings.data_dir / "redis" / "redis.conf"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600 and password in config.read_text()
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    with redis.Redis(port=server.server.port, retry=None) as stranger:
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
    with server.client() as client:
        memory = client.config_get("maxmemory*")
        assert memory["maxmemory-policy"] == "noeviction" and int(memory["maxmemory"]) > 0
        assert client.config_get("bind")["bind"] == "127.0.0.1"


async def test_ready_means_ours(server: RedisProcess, tmp_path: Path) -> None:
    assert await server.server.ready()
    other = Settings(data_dir=tmp_path / "b", redis=Redis(embedded_port=server.server.port))
    assert not await EmbeddedRedis(other).ready()
    await asyncio.to_thread(server.kill)
    assert not await server.server.ready()


def test_what_it_held_is_there_after_a_torn_log(server: RedisProcess) -> None:
    with server.client() as client:
        client.rpush("jobs", *range(50))
        client.bgrewriteaof()
        client.config_set("appendfsync", "always")
        client.rpush("jobs", "last")
    server.kill()
    log = server.settings.data_dir / "redis" / "appendonly.aof"
    log.write_bytes(log.read_bytes() + b"*3\r\n$5\r\nRPUSH\r\n\0\0\0 no such thing")
    server.start()
    with server.client() as client:
        assert client.llen("jobs") == 51


def test_the_url_is_the_one_set_or_the_embedded_one(tmp_path: Path) -> None:
    set_one = Settings(data_dir=tmp_path, redis=Redis(url="rediss://:p@queue:6379/3"))
    assert redis_url(set_one) == "rediss://:p@queue:6379/3"
    ours = Settings(data_dir=tmp_path, redis=Redis(embedded_port=7999))
    assert redis_url(ours).endswith("@127.0.0.1:7999/0")
