"""Redis wants its password; nothing that was given up waits for a person."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from appliance.metrics.access import is_local
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded
from appliance.settings import REDIS_SECRET, Settings
from appliance.store.health import dead_deliveries
from appliance.store.queue import redis_url

TIMEOUT_S = 3.0
ANSWER_BYTES = 64 << 10


async def look_at_redis(box: Box) -> Sequence[Finding]:
    """PING without a password, then with it, then INFO (RESP, inline commands)."""
    settings = box.settings
    if not settings.jobs.enabled:
        return [Finding("redis", State.SKIPPED, "jobs.enabled is off.")]
    if not settings.redis.url and not (settings.secrets_dir / REDIS_SECRET).exists():
        return [Finding("redis", State.SKIPPED, "The embedded Redis was never started.")]
    parts = urlsplit(await asyncio.to_thread(redis_url, settings))
    try:
        bare = await _say(parts, b"PING\r\n")
    except OSError as e:
        why = getattr(e, "strerror", None) or "no answer"
        return [
            Finding(
                "redis", State.SKIPPED, worded("Redis does not answer ({why}): see jobs.", why=why)
            )
        ]
    found = [] if bare.startswith(b"-NOAUTH") else [_open(parts)]
    if parts.password:
        answer = await _say(parts, _login(parts) + b"INFO memory\r\n")
        if answer.startswith(b"-"):
            found.append(_refused(settings, answer))
        elif b"maxmemory_policy:" in answer and b"maxmemory_policy:noeviction" not in answer:
            found.append(_evicting())
    return found or [Finding("redis", State.GOOD, "Redis wants its password and loses no job.")]


def _open(parts: SplitResult) -> Finding:
    state = State.WARNING if is_local(parts.hostname or "localhost") else State.BAD
    do = "Set requirepass in redis.conf, and the password in redis.url: redis://:PASSWORD@HOST:PORT/0"
    what = worded(
        "Redis at {host}:{port} asks for no password: any program adds jobs.",
        host=parts.hostname,
        port=parts.port,
    )
    return Finding("redis", state, what, do, code="redis-open")


def _refused(settings: Settings, answer: bytes) -> Finding:
    where = (
        "redis.url"
        if settings.redis.url
        else worded("the secret {file}", file=settings.secrets_dir / REDIS_SECRET)
    )
    what = worded(
        "Redis refuses the password: {why}.", why=answer[1:80].split(chr(13).encode())[0].decode()
    )
    do = worded("Mend {where}, or stop the other Redis that stands on this port.", where=where)
    return Finding("redis", State.BAD, what, do, code="redis-password")


def _evicting() -> Finding:
    what = "Redis throws away jobs when its memory is full."
    do = "Set maxmemory-policy noeviction in redis.conf."
    return Finding("redis", State.WARNING, what, do, code="redis-evicts")


def _login(parts: SplitResult) -> bytes:
    words = [
        b"AUTH",
        unquote(parts.username or "").encode(),
        unquote(parts.password or "").encode(),
    ]
    words = [word for word in words if word]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


async def _say(parts: SplitResult, said: bytes) -> bytes:
    """The answer; of several, from the first that is no +OK. Raises OSError."""
    context = ssl.create_default_context() if parts.scheme == "rediss" else None
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(
            parts.hostname or "127.0.0.1", parts.port or 6379, ssl=context
        )
        try:
            writer.write(said)
            answer = await reader.read(ANSWER_BYTES)
            while answer == b"+OK\r\n":
                answer = await reader.read(ANSWER_BYTES)
            return answer.removeprefix(b"+OK\r\n")
        finally:
            writer.close()


async def look_at_dead_letters(box: Box) -> Sequence[Finding]:
    """Deliveries of webhooks that were given up."""
    async with box.engine.connect() as connection:
        dead = await dead_deliveries(connection)
    if not dead:
        return [Finding("dead-letters", State.GOOD, "No delivery of a webhook was given up.")]
    what = worded("{dead} deliveries of webhooks were given up.", dead=dead)
    do = "Console, Webhooks: each tells why; mend the receiver, then send them again there."
    return [Finding("dead-letters", State.WARNING, what, do, detail={"dead": dead})]


CHECKS = (
    Check("redis", "Redis", Group.JOBS, look_at_redis, how="PING with and without the password"),
    Check("dead-letters", "Dead letters", Group.JOBS, look_at_dead_letters, how="rows of webhooks"),
)
