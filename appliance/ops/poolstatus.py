"""What the pools of this machine do now: written by who runs them, read by ``ivr pools status``."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from appliance.errors import UserError
from appliance.files import write_whole
from appliance.ops.keeping.servergroup import ServerGroup
from appliance.settings import Settings

_log = logging.getLogger(__name__)

FILE_NAME = "pools.json"
"""In ``data_dir``."""
STALE_S = 10.0
"""It is written once a second; older than this, nobody writes it any more."""


def write(settings: Settings, now_s: float, groups: Sequence[ServerGroup]) -> None:
    """Write what the pools do, whole. A disk that is full costs the status only."""
    facts = {"at": now_s, "pid": os.getpid(), "pools": [_facts(group) for group in groups]}
    path = settings.data_dir / FILE_NAME
    try:
        write_whole(path, orjson.dumps(facts))
    except OSError as e:
        _log.debug("! %s cannot be written: %s", path, e.strerror)


def forget(settings: Settings) -> None:
    """The pools have ended."""
    (settings.data_dir / FILE_NAME).unlink(missing_ok=True)


def _facts(group: ServerGroup) -> dict[str, Any]:
    run = group.group.run
    return {
        "pool": group.group.name,
        "stage": group.group.stage,
        "engine": run.engine,
        "model": run.model,
        "least": run.least,
        "most": run.most,
        "wanted": group.wanted,
        "in_flight": group.in_flight,
        "capacity": group.capacity,
        "servers": [
            {
                "name": member.program.name,
                "port": member.port,
                "pid": member.keeper.pid,
                "state": member.standing.value,
                "in_flight": member.in_flight,
            }
            for member in group.members
        ],
    }


def print_status(settings: Settings, *, as_json: bool) -> None:
    """Show what the pools do now. Raises UserError when nobody runs them."""
    facts = read_pools(settings)
    if as_json:
        click.echo(orjson.dumps(facts).decode())
    else:
        _table(facts)


def read_pools(settings: Settings) -> dict[str, Any]:
    """What was written last. Raises UserError when nobody runs pools here."""
    return _read(settings.data_dir / FILE_NAME)


def _read(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = orjson.loads(path.read_bytes())
        stale = time.time() - float(facts["at"]) > STALE_S
    except FileNotFoundError:
        stale = True
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"{path} cannot be read: {e}. Who runs the pools writes it anew.") from e
    if stale:
        raise UserError("No pools run with these settings. Start them: `ivr up` or `ivr pools`.")
    return facts


def _table(facts: dict[str, Any]) -> None:
    table = Table("pool", "engine", "servers", "wanted", "in flight", "each carries", box=None)
    for pool in facts["pools"]:
        states = [server["state"] for server in pool["servers"]]
        told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        table.add_row(
            pool["pool"],
            " ".join(filter(None, (pool["engine"], pool["model"]))),
            told or "none",
            f"{pool['wanted']} ({pool['least']}-{pool['most']})",
            str(pool["in_flight"]),
            str(pool["capacity"] or "?"),
        )
    Console().print(table)
