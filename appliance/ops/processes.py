"""What ``ivr up`` runs, made from the settings: Postgres, engine servers, worker, SIP endpoint."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

import orjson

from appliance.errors import UserError
from appliance.ops import probe
from appliance.ops.postgres import EmbeddedPostgres
from appliance.ops.program import Address, Program
from appliance.settings import Place, Settings, Stage
from appliance.telephony.sip import check_host

_log = logging.getLogger(__name__)

DRAIN_MARGIN_S = 15.0
"""After the longest drain a worker writes its journal and recordings."""
POSTGRES_STOP_S = 15.0
"""A fast shutdown writes a checkpoint."""
ESPEAK = "espeak-ng"
LOOPBACK = "127.0.0.1"
STAGES = ("stt", "tts", "turn", "embed", "llm")
ENGINES_BY_NAME = ("stt", "tts")
"""Stages whose command is told which engine to be; the others have one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything ``ivr up`` starts. In each field the programs depend on the fields before."""

    postgres: EmbeddedPostgres | None
    """None: ``database.url`` names a server that is not ours."""
    database: tuple[Program, ...]
    engines: tuple[Program, ...]
    worker: Program
    sip: Program

    @property
    def programs(self) -> tuple[Program, ...]:
        """In the order of their start."""
        return (*self.database, *self.engines, self.worker, self.sip)


def plan(settings: Settings) -> Plan:
    """The programs for ``settings``. Raises UserError where an address cannot be served."""
    check_host(settings.sip.host)
    postgres = None if settings.database.url else EmbeddedPostgres(settings)
    return Plan(
        postgres=postgres,
        database=(_postgres(postgres),) if postgres else (),
        engines=_engines(settings),
        worker=_worker(settings),
        sip=_sip(settings),
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


def _engines(settings: Settings) -> tuple[Program, ...]:
    """The engine servers that run here always."""
    found = []
    for stage in STAGES:
        section: Stage = getattr(settings.engines, stage)
        for number, place in enumerate(section.places()):
            if place.number < place.run.least and _is_installed(stage, place):
                found.append(engine_program(stage, number, place))
    return tuple(found)


def _is_installed(stage: str, place: Place) -> bool:
    if place.run.engine != "espeak" or shutil.which(ESPEAK) is not None:
        return True
    _log.warning(
        "! %s on port %d is left out: %s is not installed, so there is English only"
        " (apt-get install %s)",
        *(stage, place.port, ESPEAK, ESPEAK),
    )
    return False


def engine_program(stage: str, number: int, place: Place) -> Program:
    """How to run one engine server; ``number`` is its place among those of its stage."""
    run = place.run
    options = [
        *(("--engine", run.engine) if stage in ENGINES_BY_NAME else ()),
        *(("--model", run.model) if run.model else ()),
        *(("--device", run.device) if run.device != "auto" else ()),
        *(("--compute-type", run.compute_type) if run.compute_type else ()),
        *(("--languages", ",".join(run.languages)) if run.languages else ()),
        *(("--capacity", str(run.capacity)) if run.capacity else ()),
        *run.options,
    ]
    address = Address(f"engines.{stage}.run", LOOPBACK, place.port)
    return Program(
        name=f"{stage}.{number}",
        command=_ivr(stage, *options, "--port", str(place.port), python=run.python),
        ready=lambda: probe.http_ok(address.host, address.port),
        remedy=f"See its last words above, or run it by itself: ivr {' '.join((stage, *options))}.",
        addresses=(address,),
    )


def _worker(settings: Settings) -> Program:
    host, port = settings.worker.host, settings.worker.port
    return Program(
        name="worker",
        command=_ivr("worker"),
        ready=lambda: probe.http_ok(_reached(host), port),
        remedy="See its last words above: it waits 20 s for engines and then takes calls.",
        addresses=(Address("worker.port", host, port),),
        stop_timeout_s=settings.worker.drain_timeout_s + DRAIN_MARGIN_S,
    )


def _sip(settings: Settings) -> Program:
    sip = settings.sip
    return Program(
        name="sip",
        command=_ivr("sip"),
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
    url = f"ws://{_reached(settings.worker.host)}:{settings.worker.port}"
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


def _postgres(server: EmbeddedPostgres) -> Program:
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


def _ivr(*arguments: str, python: str = "") -> Callable[[], list[str]]:
    """``ivr ARGUMENTS``, in the Python that we run in, or another that has an engine's packages;
    settings come by the environment."""
    return lambda: [python or sys.executable, "-m", "appliance", *arguments]


def _reached(host: str) -> str:
    """An address to reach a server on ``host`` by, which may be "all of them"."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
