"""Ports: each held by whom it should be, and what is internal not reachable from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from appliance.metrics.access import is_local
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.processes import Listener, listeners
from appliance.ops.doctor.sentences import worded
from appliance.settings import Settings

POSTGRES_PROGRAMS = ("postgres", "postmaster")
REDIS_PROGRAMS = ("redis-server",)
FREESWITCH = "freeswitch"
SIP_PROGRAMS = ("sip", "up")
"""Commands of ours that may hold the port of SIP."""


@dataclass(frozen=True, slots=True)
class Place:
    """A port that somebody of ours should hold, if anybody."""

    setting: str
    kind: str
    port: int
    ours: tuple[str, ...]
    """Commands of ``ivr``."""
    programs: tuple[str, ...] = ()
    """Other programs that may stand there."""


async def all_listeners(box: Box) -> list[Listener]:
    """Asked of /proc once a round."""
    return await box.once("listeners", lambda: asyncio.to_thread(listeners))


async def look_at_holders(box: Box) -> Sequence[Finding]:
    """Whether a stranger stands where one of ours wants to."""
    found = await all_listeners(box)
    wanted = places(box.settings)
    strangers = [finding for place in wanted for finding in _strangers(place, found)]
    held = sum(any(one.kind == p.kind and one.port == p.port for one in found) for p in wanted)
    good = worded(
        "{held} of {total} ports are held, all by ours; the others are free.",
        held=held,
        total=len(wanted),
    )
    return strangers or [Finding("ports", State.GOOD, good)]


async def look_at_exposure(box: Box) -> Sequence[Finding]:
    """Whether what is internal listens on more than loopback."""
    found = await all_listeners(box)
    internal = [place for place in places(box.settings) if place.setting not in OUTSIDE]
    open_ones = [finding for place in internal for finding in _exposed(box.settings, place, found)]
    good = "Workers, engines, Postgres, Redis and the event socket listen on loopback alone."
    return open_ones or [Finding("exposure", State.GOOD, good)]


OUTSIDE = frozenset({"sip.port", "admin.port"})
"""What is meant to be reached from outside."""


def places(settings: Settings) -> list[Place]:
    """Every port of the settings that something on this machine listens on."""
    found = [
        Place("worker.port", "tcp", settings.worker.port, ("worker",)),
        Place("switch.api_port", "tcp", settings.switch.api_port, ("switch",)),
        Place("switch.esl_port", "tcp", settings.switch.esl_port, (), (FREESWITCH,)),
        *(
            Place("sip.port", kind, settings.sip.port, SIP_PROGRAMS, (FREESWITCH,))
            for kind in settings.sip.transports
        ),
    ]
    if settings.admin.enabled:
        found.append(Place("admin.port", "tcp", settings.admin.port, ("admin",)))
    if settings.jobs.enabled:
        port = settings.redis.embedded_port
        if settings.redis.url:
            port = _local_port(settings.redis.url, 6379)
        if port:
            found.append(Place("redis", "tcp", port, ("redis",), REDIS_PROGRAMS))
    port = settings.database.embedded_port
    if settings.database.url:
        port = _local_port(settings.database.url, 5432)
    if port:
        found.append(Place("database", "tcp", port, ("postgres",), POSTGRES_PROGRAMS))
    return found + list(_engines(settings))


def _engines(settings: Settings) -> Iterator[Place]:
    for name, stage in settings.engines.stages().items():
        for place in stage.places():
            commands = (name, "emulate", "llm")
            # an engine of another environment is a program of its own: vllm, python
            programs = ("vllm", "python", "python3") if place.run.python or name == "llm" else ()
            yield Place(f"engines.{name}.run", "tcp", place.port, commands, programs)


def _local_port(url: str, default: int) -> int:
    """The port of a server on this machine; 0: it is on another one."""
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    return (parts.port or default) if is_local(host) else 0


def _strangers(place: Place, found: Sequence[Listener]) -> Iterator[Finding]:
    told: set[str] = set()
    for one in found:
        process = one.process
        if (one.kind, one.port) != (place.kind, place.port) or process is None:
            continue
        if process.ours in place.ours or process.name in place.programs:
            continue
        who = f"{process.name} (process {process.pid})"
        if who not in told:
            told.add(who)
            yield Finding(
                "ports", State.BAD,
                "{kind} port {port} ({setting}) is held by {who}, which is none of ours.",
                "Stop it, or choose another port: {setting} in the settings.",
                {"kind": place.kind.upper(), "port": str(place.port), "setting": place.setting,
                 "who": who},
                code="port-taken",
            )  # fmt: skip


def _exposed(settings: Settings, place: Place, found: Sequence[Listener]) -> Iterator[Finding]:
    for one in found:
        if (one.kind, one.port) != (place.kind, place.port) or one.address.is_loopback:
            continue
        meant = place.setting == "worker.port" and not is_local(settings.worker.host)
        yield Finding(
            "exposure", State.WARNING if meant else State.BAD,
            "{kind} port {port} ({setting}) can be reached on {address}, not from this machine alone.",
            "Let it listen on 127.0.0.1, or close the port in the firewall.",
            {"kind": place.kind.upper(), "port": str(place.port), "setting": place.setting,
             "address": str(one.address)},
            code="port-open",
        )  # fmt: skip


CHECKS = (
    Check("ports", "Ports", Group.NETWORK, look_at_holders, how="/proc/net and /proc/PID/fd"),
    Check("exposure", "Internal ports", Group.SECURITY, look_at_exposure, how="/proc/net"),
)
