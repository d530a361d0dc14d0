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
from urllib.parse import urlsplit

import orjson

from appliance.errors import UserError
from appliance.ops import probe
from appliance.ops.postgres import EmbeddedPostgres
from appliance.ops.program import Address, Program
from appliance.settings import Settings
from appliance.telephony.sip import check_host

_log = logging.getLogger(__name__)

DRAIN_MARGIN_S = 15.0
"""After the longest drain a worker writes its journal and recordings."""
POSTGRES_STOP_S = 15.0
"""A fast shutdown writes a checkpoint."""
ESPEAK = "espeak-ng"


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
    engines, voices = _engines(settings)
    return Plan(
        postgres=postgres,
        database=(_postgres(postgres),) if postgres else (),
        engines=engines,
        worker=_worker(settings, voices),
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


def local_address(setting: str, url: str) -> Address | None:
    """Where ``url`` is served if that is on loopback, which is ours to serve; else None.

    Raises UserError for a URL without a host and port.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as e:
        raise UserError(f"Setting {setting} = {url!r} is no URL: {e}.") from e
    if not host:
        raise UserError(f"Setting {setting} = {url!r} names no host; write http://host:port.")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        if not ip_address(host).is_loopback:
            return None
    except ValueError:
        return None  # a name: somebody else's server
    if port is None:
        raise UserError(f"Setting {setting} = {url!r} names no port; write http://host:port.")
    return Address(setting, host, port)


def _engines(settings: Settings) -> tuple[tuple[Program, ...], tuple[str, ...]]:
    """The engine servers that are ours to run, and the voice URLs that will answer."""
    stages = settings.engines
    found = [
        _engine(stage, index, address)
        for stage in ("stt", "turn", "embed")
        for index, address in _ours(stage, getattr(stages, stage).urls)
    ]
    voices = list(stages.tts.urls)
    for index, address in _ours("tts", stages.tts.urls):
        engine = "espeak" if index == 1 else "flite"
        if engine == "espeak" and shutil.which(ESPEAK) is None:
            _log.warning(
                "! tts.1 left out: %s is not installed, so there is English only"
                " (apt-get install %s)",
                ESPEAK,
                ESPEAK,
            )
            voices.remove(stages.tts.urls[index])
            continue
        found.append(_engine("tts", index, address, "--engine", engine))
    return tuple(found), tuple(voices)


def _ours(stage: str, urls: tuple[str, ...]) -> list[tuple[int, Address]]:
    places = [local_address(f"engines.{stage}.urls", url) for url in urls]
    return [(index, place) for index, place in enumerate(places) if place is not None]


def _engine(stage: str, index: int, address: Address, *options: str) -> Program:
    place = ("--host", address.host, "--port", str(address.port))
    return Program(
        name=f"{stage}.{index}",
        command=_ivr(stage, *options, *place),
        ready=lambda: probe.http_ok(address.host, address.port),
        remedy=f"See its last words above, or run it by itself: ivr {' '.join((stage, *options))}.",
        addresses=(address,),
    )


def _worker(settings: Settings, voices: tuple[str, ...]) -> Program:
    host, port = settings.worker.host, settings.worker.port
    return Program(
        name="worker",
        command=_ivr("worker"),
        ready=lambda: probe.http_ok(_reached(host), port),
        remedy="See its last words above: it waits 20 s for engines and then takes calls.",
        addresses=(Address("worker.port", host, port),),
        environment={"IVR_ENGINES__TTS__URLS": orjson.dumps(voices).decode()},
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


def _ivr(*arguments: str) -> Callable[[], list[str]]:
    """``ivr ARGUMENTS``, in the Python that we run in; settings come by the environment."""
    return lambda: [sys.executable, "-m", "appliance", *arguments]


def _reached(host: str) -> str:
    """An address to reach a server on ``host`` by, which may be "all of them"."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
