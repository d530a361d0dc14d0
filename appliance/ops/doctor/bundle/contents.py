"""The files of a support bundle."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from appliance import __version__
from appliance.capacity.planfile import read_plan
from appliance.checkpoints.gpu import ask
from appliance.errors import UserError
from appliance.ops.doctor import gpu, machine, services
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.bundle import harmless, journal
from appliance.ops.doctor.bundle.masking import sentence
from appliance.ops.doctor.checks import CHECKS
from appliance.ops.doctor.disk import disks
from appliance.ops.doctor.run import Outcome, examine
from appliance.ops.poolstatus import read_pools
from appliance.store.health import read_server, schema_revision
from appliance.store.schema import head_of

DEBIAN = (
    "freeswitch*",
    "mod-audio-stream",
    "postgresql*",
    "redis*",
    "nvidia-driver*",
    "linux-image*",
)
"""Packages beside Python's whose version matters."""
DATABASE_TIMEOUT_S = 5.0
_POOL = ("stage", "engine", "least", "most", "wanted", "in_flight", "capacity")


async def collect(box: Box, logs: Sequence[Path]) -> dict[str, bytes]:
    """Name and bytes of each file. Raises UserError: a log file cannot be read."""
    outcomes = [outcome async for outcome in examine(box, CHECKS)]
    files = {
        "versions.json": await _versions(box),
        "settings.json": harmless.shown(box.settings),
        "findings.json": [_finding(outcome, f) for outcome in outcomes for f in outcome.findings],
        "machine.json": await _machine(box),
        "packages.json": await _packages(box),
        "units.json": await services.units(box),
        "pools.json": await asyncio.to_thread(_pools, box),
        "plan.json": await asyncio.to_thread(_plan, box),
    }
    found = {name: orjson.dumps(value, option=orjson.OPT_INDENT_2) for name, value in files.items()}
    found["journal.txt"] = journal.joined(await journal.lines(box))
    for number, path in enumerate(logs, start=1):
        found[f"log-{number}.txt"] = journal.joined(await asyncio.to_thread(journal.of_file, path))
    return found


def _finding(outcome: Outcome, finding: Any) -> dict[str, Any]:
    """Codes, states, figures, and the sentences as far as they are ours."""
    figures = {
        name: value for name, value in finding.detail.items() if isinstance(value, bool | int | float)
    }  # fmt: skip
    return {
        "check": finding.check or outcome.check.code,
        "code": finding.code or outcome.check.code,
        "state": finding.state.value,
        "what": sentence(finding.told),
        "do": sentence(finding.advice) if finding.advice else "",
        "ms": round(outcome.ms),
        "detail": figures,
    }


async def _versions(box: Box) -> dict[str, Any]:
    found: dict[str, Any] = {
        "at": time.time(),
        "appliance": __version__,
        "python": platform.python_version(),
        "system": machine.os_release(),
        "kernel": platform.release(),
        "schema_wanted": await asyncio.to_thread(head_of),
    }
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_S), box.engine.connect() as connection:
            server = await read_server(connection)
            found |= {"postgres": server.version, "pgvector": server.pgvector}
            found |= {"database_bytes": server.bytes, "connections": server.connections}
            found["schema"] = await schema_revision(connection)
    except (SQLAlchemyError, OSError):
        found["postgres"] = None  # it is away, which a finding says
    return found


async def _machine(box: Box) -> dict[str, Any]:
    text = await asyncio.to_thread(ask, gpu.FIELDS, gpu.ASK_TIMEOUT_S)
    clock = await asyncio.to_thread(machine.kernel_clock)
    return {
        "machine": platform.machine(),
        "memory": await asyncio.to_thread(machine.meminfo),
        "load": list(os.getloadavg()),
        "stolen": await asyncio.to_thread(machine.stolen_share),
        "clock": {"synchronised": clock.synchronised, "error_us": clock.error_us}
        if clock
        else None,
        "disks": [
            {"free_bytes": d.free_bytes, "bytes": d.bytes, "free_inodes": d.free_inodes}
            for d in await asyncio.to_thread(disks, box.settings)
        ],
        "gpus": (text or "").splitlines(),
    }


async def _packages(box: Box) -> dict[str, Any]:
    python = {dist.name: dist.version for dist in metadata.distributions() if dist.name}
    form = "${Package} ${Version} ${db:Status-Status}\n"
    ran = await box.run("dpkg-query", "--show", f"--showformat={form}", *DEBIAN)
    debian = [line for line in ran.out.splitlines() if line.endswith(" installed")]
    return {"python": dict(sorted(python.items())), "debian": debian}


def _pools(box: Box) -> list[dict[str, Any]]:
    try:
        pools = read_pools(box.settings)["pools"]
    except (UserError, KeyError, TypeError):
        return []
    return [
        {name: pool.get(name) for name in _POOL}
        | {"states": [server.get("state") for server in pool.get("servers", ())]}
        for pool in pools
    ]


def _plan(box: Box) -> dict[str, Any] | None:
    try:
        plan = read_plan(box.settings.plan_file)
    except UserError:
        return None
    if plan is None:
        return None
    return {
        "made_at": plan.made_at,
        "interval_s": plan.interval_s,
        "servers": {
            stage: [[step.from_s, step.servers] for step in steps]
            for stage, steps in plan.servers.items()
        },
    }
