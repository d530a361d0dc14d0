"""What ``ivr up`` runs, made from the settings: Postgres, engine servers, worker, endpoint, jobs, the
console."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

import orjson

from appliance.errors import UserError
from appliance.ops.keeping import probe
from appliance.ops.keeping.groups import Group, engine_groups, ivr, servers
from appliance.ops.keeping.program import Address, Program
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.ops.redis.server import STOP_SIGNAL as REDIS_STOP_SIGNAL
from appliance.ops.redis.server import EmbeddedRedis
from appliance.settings import Settings
from appliance.telephony.sip import check_host
from appliance.urls import reached

DRAIN_MARGIN_S = 15.0
"""After the longest drain a worker writes its journal and recordings."""
POSTGRES_STOP_S = 15.0
"""A fast shutdown writes a checkpoint."""
JOBS_STOP_S = 5.0
"""A job under way that takes longer is cut off, and taken up again after the next start."""
JOBS_PACKAGES = ("celery", "redis")
CONSOLE_PACKAGES = ("nicegui", "fastapi", "uvicorn", "argon2", "celery")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything ``ivr up`` starts. In each field the programs depend on the fields before."""

    postgres: EmbeddedPostgres | None
    """None: ``database.url`` names a server that is not ours."""
    database: tuple[Program, ...]
    engines: tuple[Group, ...]
    worker: Program
    sip: Program
    redis: tuple[Program, ...] = ()
    jobs: tuple[Program, ...] = ()
    """Background work and its queue: calls need neither, and nobody waits for them."""
    console: tuple[Program, ...] = ()
    """``ivr admin``; no call needs it either."""

    @property
    def programs(self) -> tuple[Program, ...]:
        """In the order of their start, with those that run at the peak only."""
        calls = (*self.database, *servers(self.engines), self.worker, self.sip)
        return (*calls, *self.redis, *self.jobs, *self.console)


def plan(settings: Settings) -> Plan:
    """The programs for ``settings``. Raises UserError where an address cannot be served."""
    check_host(settings.sip.host)
    postgres = None if settings.database.url else EmbeddedPostgres(settings)
    with_jobs = settings.jobs.enabled and _installed(
        JOBS_PACKAGES, "jobs are left out", "so no documents are read", "jobs,documents"
    )
    with_console = settings.admin.enabled and _installed(
        CONSOLE_PACKAGES, "the console is left out", "so there are commands only", "admin"
    )
    return Plan(
        postgres=postgres,
        database=(_kept(postgres),) if postgres else (),
        engines=engine_groups(settings),
        worker=_worker(settings),
        sip=_sip(settings),
        redis=(redis_program(settings),) if with_jobs and not settings.redis.url else (),
        jobs=(_jobs(settings),) if with_jobs else (),
        console=(_console(settings),) if with_console else (),
    )


def check_addresses(programs: tuple[Program, ...]) -> None:
    """Raises UserError naming every port that is taken, and the setting that chooses it."""
    wanted: dict[tuple[str, int, bool], str] = {}
    troubles = []
    for address in (a for program in programs for a in program.addresses):
        key = (address.host, address.port, address.udp)
        kind = socket.SOCK_DGRAM if address.udp else socket.SOCK_STREAM
        if key in wanted:
            troubles.append(
                f"{address.setting} and {wanted[key]} both name {address.host}:{address.port}"
            )
        elif probe.is_taken(address.host, address.port, kind):
            transport = "UDP" if address.udp else "TCP"
            troubles.append(
                f"{transport} port {address.port} on {address.host} ({address.setting}) is taken"
                " or that address is not this machine's"
            )
        wanted[key] = address.setting
    if troubles:
        raise UserError(
            f"{'; '.join(troubles)}. Stop what listens there (another `ivr up`?), or change the"
            " setting."
        )


def _worker(settings: Settings) -> Program:
    host, port = settings.worker.host, settings.worker.port
    return Program(
        name="worker",
        command=ivr("worker"),
        ready=lambda: probe.http_ok(reached(host), port),
        remedy="See its last words above: it waits 20 s for engines and then takes calls.",
        addresses=(Address("worker.port", host, port),),
        stop_timeout_s=settings.worker.drain_timeout_s + DRAIN_MARGIN_S,
    )


def _sip(settings: Settings) -> Program:
    sip = settings.sip
    return Program(
        name="sip",
        command=ivr("sip"),
        ready=_sip_probe(settings),
        remedy="See its last words above; sip.host must be an address of this machine.",
        addresses=tuple(
            Address("sip.port", sip.host, sip.port, udp=transport == "udp")
            for transport in sip.transports
        ),
        environment=_to_our_worker(settings),
        stop_timeout_s=settings.worker.drain_timeout_s + DRAIN_MARGIN_S,
    )


def _to_our_worker(settings: Settings) -> dict[str, str]:
    """Calls go to the worker that we run, wherever its port is, unless somebody chose others."""
    if "worker_urls" in settings.sip.model_fields_set:
        return {}
    url = f"ws://{settings.worker.reached}:{settings.worker.port}"
    return {"IVR_SIP__WORKER_URLS": orjson.dumps([url]).decode()}


def _sip_probe(settings: Settings) -> Callable[[], Awaitable[bool]]:
    sip = settings.sip
    transport = "udp" if "udp" in sip.transports else "tcp"
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM

    async def bound() -> bool:
        return probe.is_taken(sip.host, sip.port, kind)

    if any(ip_address(sip.host) in network for network in sip.allow):
        return lambda: probe.sip_ok(sip.host, sip.port, transport)
    return bound  # it does not answer us: we are in none of its networks


def postgres_program(settings: Settings) -> Program:
    """The embedded Postgres of ``settings``."""
    return _kept(EmbeddedPostgres(settings))


def _kept(server: EmbeddedPostgres) -> Program:
    async def ready() -> bool:
        return await asyncio.to_thread(server.ready)

    return Program(
        name="postgres",
        command=server.command,
        ready=ready,
        remedy="See its last words above, or set database.url to a Postgres of your own.",
        # its port is looked at by prepare(), which first ends what a killed supervisor left there
        prepare=server.prepare,
        account=server.account,
        stop_timeout_s=POSTGRES_STOP_S,
        stop_signal=server.stop_signal,
        abort_signal=signal.SIGQUIT,
        death_signal=server.stop_signal,
        logs_like_us=False,
    )


def redis_program(settings: Settings) -> Program:
    """The embedded Redis of ``settings``."""
    server = EmbeddedRedis(settings)
    return Program(
        name="redis",
        command=server.command,
        ready=server.ready,
        remedy="See its last words above, or set redis.url to a Redis of your own.",
        addresses=(Address("redis.embedded_port", "127.0.0.1", server.port),),
        prepare=server.prepare,
        stop_signal=REDIS_STOP_SIGNAL,
        logs_like_us=False,
    )


def _jobs(settings: Settings) -> Program:
    mark = settings.jobs_ready_file

    async def ready() -> bool:
        return await asyncio.to_thread(mark.exists)

    return Program(
        name="jobs",
        command=ivr("jobs"),
        ready=ready,
        remedy="See its last words above; calls go on without it.",
        prepare=lambda: mark.unlink(missing_ok=True),
        stop_timeout_s=JOBS_STOP_S,
        abort_signal=signal.SIGQUIT,
    )


def _console(settings: Settings) -> Program:
    admin = settings.admin

    async def ready() -> bool:  # it may speak TLS under any name: that it listens is enough
        return probe.is_taken(admin.host, admin.port, socket.SOCK_STREAM)

    return Program(
        name="admin",
        command=ivr("admin"),
        ready=ready,
        remedy="See its last words above; calls go on without it.",
        addresses=(Address("admin.port", admin.host, admin.port),),
    )


def _installed(packages: tuple[str, ...], left_out: str, so: str, extra: str) -> bool:
    """Whether all of ``packages`` are there; else what is left out is said once."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        _log.warning(
            "! %s: %s is not installed, %s (pip install 'ivr-appliance[%s]')",
            left_out,
            " and ".join(missing),
            so,
            extra,
        )
    return not missing
