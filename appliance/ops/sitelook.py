"""Looks at every part of the box once: what it is that people, alarms and ``ivr doctor`` judge.

Each question has a timeout of its own and none fails the others: a part that does not answer is told
of as away.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.http import read_at_most
from appliance.engines.key import KeyFor, headers_of, key_for, no_key
from appliance.engines.roster import read_roster
from appliance.errors import UserError
from appliance.ops.backup.state import BackupLook, look_at_backups
from appliance.ops.poolstatus import read_pools
from appliance.ops.switchclient import ask
from appliance.settings import REDIS_SECRET, SWITCH_SECRET, Settings
from appliance.store.overview import Backlog, Recent, read_backlog, read_recent, server_version
from appliance.store.queue import redis_url
from appliance.urls import http_of

HEALTH_TIMEOUT_S = 1.0
DATABASE_TIMEOUT_S = 3.0
SWITCH_TIMEOUT_S = 3.0
LARGEST_ANSWER_BYTES = 1 << 20
MOST_SERVERS = 256
"""Of one look; more is a mistake in the settings."""


@dataclass(frozen=True, slots=True)
class WorkerLook:
    """One worker, as it says of itself."""

    url: str
    up: bool
    status: str = ""
    """ok, starting or draining."""
    calls: int = 0
    capacity: int = 0
    why: str = ""
    """Why it takes fewer calls than ``worker.max_calls`` now; empty: it does not."""


@dataclass(frozen=True, slots=True)
class ServerLook:
    """One engine server."""

    url: str
    up: bool
    engine: str = ""
    in_flight: int = 0
    capacity: int = 0
    """0: it does not say."""
    is_optional: bool = False
    """It need not run: a place that is filled when load wants it."""


@dataclass(frozen=True, slots=True)
class StageLook:
    """The servers of one stage."""

    name: str
    servers: tuple[ServerLook, ...]

    @property
    def up(self) -> tuple[ServerLook, ...]:
        return tuple(server for server in self.servers if server.up)

    @property
    def in_flight(self) -> int:
        return sum(server.in_flight for server in self.up)

    @property
    def capacity(self) -> int:
        return sum(server.capacity for server in self.up)


@dataclass(frozen=True, slots=True)
class PoolLook:
    """What is kept running of one kind of server on this machine."""

    pool: str
    stage: str
    engine: str
    model: str
    least: int
    most: int
    wanted: int
    states: tuple[str, ...]
    """Of each server: starting, warm, lost, draining."""
    in_flight: int
    capacity: int


@dataclass(frozen=True, slots=True)
class TrunkLook:
    """One trunk, as ``ivr switch`` sees it."""

    name: str
    carrier: str
    enabled: bool
    up: bool
    state: str
    ping_ms: str
    calls: int
    max_calls: int


@dataclass(frozen=True, slots=True)
class TollRefusalLook:
    """Calls of one kind that the toll rules have refused."""

    number: str
    """Its first digits; empty where there is none."""
    who: str
    why: str
    count: int


@dataclass(frozen=True, slots=True)
class SwitchLook:
    """``ivr switch``, where it runs."""

    up: bool
    """It answers."""
    freeswitch: bool = False
    """It has FreeSWITCH."""
    trunks: tuple[TrunkLook, ...] = ()
    error: str = ""
    blocked_ranges: tuple[str, ...] = ()
    """Foreign ranges that a burst of short calls has stopped."""
    refused: tuple[TollRefusalLook, ...] = ()
    """What the toll rules have refused in the last hour, the latest first."""


@dataclass(frozen=True, slots=True)
class DatabaseLook:
    up: bool
    ms: float = 0.0
    """A round trip, and the last minutes read."""
    version: str = ""
    recent: Recent | None = None
    backlog: Backlog | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """All of it, at ``at_s`` (Unix seconds)."""

    at_s: float
    workers: tuple[WorkerLook, ...] = ()
    stages: tuple[StageLook, ...] = ()
    pools: tuple[PoolLook, ...] = ()
    """Empty: nobody on this machine keeps any."""
    switch: SwitchLook = field(default=SwitchLook(False))
    expects_switch: bool = False
    """The settings of FreeSWITCH are in use here: ``ivr switch`` has been here."""
    database: DatabaseLook = field(default=DatabaseLook(False))
    jobs_expected: bool = False
    jobs_ready: bool = False
    redis_up: bool = False
    disk_free_bytes: int = 0
    disk_bytes: int = 0
    spool_bytes: int = 0
    """Rows of the journal that wait on disk for Postgres."""
    certificate_ends: datetime | None = None
    backup: BackupLook | None = None
    """None: nobody looked."""


def worker_urls(settings: Settings) -> tuple[str, ...]:
    """Where the workers are that FreeSWITCH or ``ivr sip`` give calls to, but for the spare one; where
    the settings name none, this machine's."""
    default = type(settings.switch)().worker_urls
    lists = (settings.switch.worker_urls, settings.sip.worker_urls)
    named = [url for urls in lists if urls != default for url in urls]
    named = named or [f"ws://{settings.worker.reached}:{settings.worker.port}"]
    return tuple(dict.fromkeys(url.rstrip("/") for url in named))


async def look(settings: Settings, http: aiohttp.ClientSession, engine: AsyncEngine) -> Site:
    """Look at everything, some 3 s at most."""
    workers, stages, switch, database, redis_up, files = await asyncio.gather(
        _workers(settings, http),
        _stages(settings, http),
        asyncio.to_thread(_switch, settings),
        _database(engine),
        _redis(settings),
        asyncio.to_thread(_files, settings),
    )
    return Site(
        at_s=time.time(),
        workers=workers,
        stages=stages,
        switch=switch,
        database=database,
        jobs_expected=settings.jobs.enabled,
        redis_up=redis_up,
        **files,
    )


async def _workers(settings: Settings, http: aiohttp.ClientSession) -> tuple[WorkerLook, ...]:
    """All that shall run; the spare one only while it does, during an upgrade."""
    wanted = worker_urls(settings)
    urls = settings.worker.and_spare(wanted)
    found = await asyncio.gather(*(_worker(http, url) for url in urls))
    return tuple(worker for worker in found if worker.up or worker.url in wanted)


async def _worker(http: aiohttp.ClientSession, url: str) -> WorkerLook:
    said = await _ask(http, f"{http_of(url)}/health")
    if said is None:
        return WorkerLook(url, False)
    return WorkerLook(
        url, True, str(said.get("status", "")), _number(said, "calls"), _number(said, "capacity"),
        str(said.get("why", "")),
    )  # fmt: skip


async def _stages(settings: Settings, http: aiohttp.ClientSession) -> tuple[StageLook, ...]:
    named = settings.engines.stages() | {"llm.fallback": settings.engines.llm.fallback}
    keys = {name: key_for(settings, stage, make=False) for name, stage in named.items()}
    places: list[tuple[str, str, bool]] = []
    for name, stage in named.items():
        places += [(name, url, False) for url in stage.urls]
        places += [
            (name, f"{stage.SCHEME}://127.0.0.1:{place.port}", place.number >= place.run.least)
            for place in stage.places()
        ]
    for name, urls in (await _roster(settings, http)).items():
        places += [(name, url, False) for url in urls]
    places = list({url: (name, url, spare) for name, url, spare in reversed(places)}.values())[::-1]
    del places[MOST_SERVERS:]
    found = await asyncio.gather(
        *(_server(http, url, spare, keys.get(name, no_key)) for name, url, spare in places)
    )
    of: dict[str, list[ServerLook]] = {}
    for (name, _, _), server in zip(places, found, strict=True):
        of.setdefault(name, []).append(server)
    return tuple(StageLook(name, tuple(of[name])) for name in named if name in of)


async def _roster(settings: Settings, http: aiohttp.ClientSession) -> Mapping[str, tuple[str, ...]]:
    if not settings.engines.roster_url:
        return {}
    said = await _ask(http, settings.engines.roster_url)
    try:
        return read_roster(orjson.dumps(said))
    except ValueError:
        return {}


async def _server(
    http: aiohttp.ClientSession, url: str, is_optional: bool, key: KeyFor
) -> ServerLook:
    headers = headers_of(await asyncio.to_thread(key, url))
    said = await _ask(http, f"{http_of(url)}/health", only_200=True, headers=headers)
    if said is None:
        return ServerLook(url, False, is_optional=is_optional)
    return ServerLook(
        url, True, str(said.get("engine", "")), _number(said, "in_flight"),
        _number(said, "capacity"), is_optional,
    )  # fmt: skip


def _switch(settings: Settings) -> SwitchLook:
    if not (settings.secrets_dir / SWITCH_SECRET).exists():
        return SwitchLook(False)  # it was never here: to look must not make its secret
    try:
        status = ask(settings, "GET", "/v1/status", timeout_s=SWITCH_TIMEOUT_S)
        if status is None:
            return SwitchLook(False)
        trunks = ask(settings, "GET", "/v1/trunks", timeout_s=SWITCH_TIMEOUT_S) or {}
    except UserError as e:
        return SwitchLook(False, error=str(e))
    return SwitchLook(
        True,
        status.get("freeswitch") is True,
        tuple(
            TrunkLook(
                str(one.get("name", "")), str(one.get("carrier", "")), one.get("enabled") is True,
                one.get("up") is True, str(one.get("state", "")), str(one.get("ping_ms", "")),
                _number(one, "calls"), _number(one, "max_calls"),
            )
            for one in trunks.get("trunks", ()) if isinstance(one, dict)
        ),
        blocked_ranges=tuple(map(str, status.get("blocked_ranges", ()))),
        refused=tuple(
            TollRefusalLook(
                str(one.get("number", "")), str(one.get("who", "")), str(one.get("why", "")),
                _number(one, "count"),
            )
            for one in status.get("toll_refused", ()) if isinstance(one, dict)
        ),
    )  # fmt: skip


async def _database(engine: AsyncEngine) -> DatabaseLook:
    began = time.monotonic()
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_S), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            ms = (time.monotonic() - began) * 1000
            version = await server_version(connection)
            recent, backlog = await read_recent(connection), await read_backlog(connection)
    except (SQLAlchemyError, OSError, TimeoutError):
        return DatabaseLook(False, (time.monotonic() - began) * 1000)
    return DatabaseLook(True, ms, version, recent, backlog)


async def _redis(settings: Settings) -> bool:
    """Whether something that speaks Redis listens there. RESP: an inline PING gets +PONG, or
    -NOAUTH from one that wants a password first; both are signs of life."""
    here = settings.redis.url or (settings.secrets_dir / REDIS_SECRET).exists()
    if not settings.jobs.enabled or not here:
        return False
    parts = urlsplit(await asyncio.to_thread(redis_url, settings))
    context = ssl.create_default_context() if parts.scheme == "rediss" else None
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            opening = asyncio.open_connection(
                parts.hostname or "127.0.0.1", parts.port or 6379, ssl=context
            )
            reader, writer = await opening
            try:
                writer.write(b"PING\r\n")
                return (await reader.read(1)) in (b"+", b"-")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _files(settings: Settings) -> dict[str, Any]:
    """What only the disk tells."""
    folder = next((p for p in (settings.data_dir, *settings.data_dir.parents) if p.exists()), None)
    usage = shutil.disk_usage(folder) if folder is not None else None
    spool = settings.spool_dir
    try:
        spooled = sum(file.stat().st_size for file in spool.iterdir()) if spool.exists() else 0
    except OSError:
        spooled = 0
    return {
        "disk_free_bytes": usage.free if usage else 0,
        "disk_bytes": usage.total if usage else 0,
        "spool_bytes": spooled,
        "jobs_ready": settings.jobs_ready_file.exists(),
        "expects_switch": (settings.switch.conf_dir / "site").exists(),
        "pools": _pools(settings),
        "certificate_ends": _certificate_ends(settings),
        "backup": look_at_backups(settings),
    }


def _pools(settings: Settings) -> tuple[PoolLook, ...]:
    try:
        facts = read_pools(settings)
        return tuple(
            PoolLook(
                str(pool["pool"]), str(pool["stage"]), str(pool["engine"]), str(pool["model"]),
                int(pool["least"]), int(pool["most"]), int(pool["wanted"]),
                tuple(str(server["state"]) for server in pool["servers"]),
                int(pool["in_flight"]), int(pool["capacity"] or 0),
            )
            for pool in facts["pools"]
        )  # fmt: skip
    except (UserError, KeyError, TypeError, ValueError):
        return ()


def _certificate_ends(settings: Settings) -> datetime | None:
    if not settings.admin.tls:
        return None
    from cryptography import x509  # takes a while, and only here

    path = Path(settings.admin.certificate or settings.tls_dir / "console.pem")
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


async def _ask(
    http: aiohttp.ClientSession,
    url: str,
    *,
    only_200: bool = False,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """The JSON object at ``url`` ({} where the answer is none); None: nobody answers."""
    timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)
    try:
        asking = http.get(url.rstrip("/"), timeout=timeout, allow_redirects=False, headers=headers)
        async with asking as response:
            if only_200 and response.status != 200:
                return None
            said = orjson.loads(await read_at_most(response, LARGEST_ANSWER_BYTES) or b"{}")
    except ValueError:
        return {}
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
    return said if isinstance(said, dict) else {}


def _number(source: Mapping[str, Any], name: str) -> int:
    value = source.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
