"""``ivr cluster``: has Ray Serve run the engine servers, and serves the workers their roster."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from appliance import direct
from appliance.capacity import cluster
from appliance.capacity.cluster import PoolSpec
from appliance.capacity.roster import RosterServer
from appliance.capacity.warmups import WarmUps
from appliance.errors import UserError
from appliance.ops.keeping.groups import LOOPBACK, Group, engine_groups, sections
from appliance.ops.keeping.replica import Replica
from appliance.ops.keeping.stopping import Stop, unless_stopped
from appliance.ops.planner import Planner
from appliance.settings import DEFAULT_FILE, ENV_PREFIX, METRICS_SECRET, SECRET_NAMES, Settings

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
FACTS_EVERY_S = 5.0
ASK_TIMEOUT_S = 2.0
STATUS_BYTES = 16 << 20
DEPLOY_TIMEOUT_S = 1800.0
"""A language model of 8 B loads for minutes, from a cold disk for many."""
REMOVE_TIMEOUT_S = 90.0
PID_FILE = "cluster.pid"
"""In ``data_dir``: of the driver that runs a Ray of its own."""


def up(settings: Settings, *, as_json: bool) -> None:
    """Run the pools of the settings on the cluster, and serve the roster until SIGTERM or SIGINT.

    A Ray of our own ends with us; on somebody else's, the servers run on until :func:`down`.
    Raises UserError.
    """
    specs = specs_of(settings)
    cluster.connect(settings.cluster)
    try:
        with _pid_file(settings):
            asyncio.run(_up(settings, specs, as_json))
    finally:
        cluster.disconnect()


async def _up(settings: Settings, specs: list[PoolSpec], as_json: bool) -> None:
    stop = Stop("what is under way")
    roster = RosterServer(secret=partial(settings.secret, METRICS_SECRET))
    port = await roster.start(settings.cluster.host, settings.cluster.port)
    url = f"http://{settings.cluster.host}:{port}/roster"
    failure: UserError | None = None
    async with asyncio.TaskGroup() as tasks:
        driver = _Driver(settings, roster, cluster.open_board())
        background = [tasks.create_task(driver.watch()), tasks.create_task(driver.plan())]
        try:
            if await unless_stopped(stop, driver.deploy(specs)):
                _announce(settings, specs, url, as_json)
                await stop.asked.wait()
        except UserError as e:
            failure = e
        if failure or not settings.cluster.address:
            await driver.remove()
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await roster.stop()
    _log.info("= stopped")
    if failure:
        raise failure


class _Driver:
    """What goes on beside the pools: roster, plan, status."""

    def __init__(self, settings: Settings, roster: RosterServer, board: Any) -> None:
        self._settings = settings
        self._roster = roster
        self._board = board
        self._planner = Planner(settings)
        self._facts: dict[str, Any] = {"pid": os.getpid(), "pools": {}}
        self._facts_s = 0.0
        self._deployed = False

    async def deploy(self, specs: list[PoolSpec]) -> None:
        """Returns when every pool has its least number of servers warm. Raises UserError."""
        environment = environment_of_engines(self._settings)
        try:
            async with asyncio.timeout(DEPLOY_TIMEOUT_S):
                await asyncio.to_thread(cluster.deploy, specs, Replica, environment)
        except (RuntimeError, TimeoutError) as e:
            raise UserError(
                f"Ray Serve does not run all pools: {e or 'it took too long'}. Its last words are"
                " above; `ray status` says what the machines have."
            ) from e
        self._deployed = True

    async def remove(self) -> None:
        """Drain and end all pools."""
        try:
            async with asyncio.timeout(REMOVE_TIMEOUT_S):
                await asyncio.to_thread(cluster.remove)
        except Exception as e:  # whatever Ray raises; what is left ends with Ray, or is told
            _log.error("! the pools were not removed in order: %s", str(e) or type(e).__name__)

    async def plan(self) -> None:
        """Keep the plan fresh: Serve's policies read the file."""
        await self._planner.run()

    async def watch(self) -> None:
        """Show what is on the board, until cancelled."""
        while True:
            try:
                await self._look()
            except Exception as e:  # whatever Ray raises: the roster says that nothing is known
                _log.warning("! the board does not answer: %s", str(e) or type(e).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            heard = await self._board.has_heard.remote()
            entries = await self._board.entries.remote()
        if self._deployed and time.monotonic() - self._facts_s > FACTS_EVERY_S:
            self._facts["pools"] = await asyncio.to_thread(cluster.facts)
            self._facts_s = time.monotonic()
        if heard:
            self._roster.show(entries, self._facts)


def specs_of(settings: Settings) -> list[PoolSpec]:
    """Every entry of ``run`` as a pool. Raises UserError when there is none."""
    if settings.cluster.address and not settings.engines.key:
        raise UserError(
            "The machines of a cluster need one key for their engine servers. Set engines.key, the"
            " same in the settings of each."
        )
    groups = engine_groups(settings)
    if not groups:
        raise UserError("There is nothing to run on the cluster: set engines.<stage>.run.")
    return [_spec(settings, groups, group) for group in groups]


def _spec(settings: Settings, groups: tuple[Group, ...], group: Group) -> PoolSpec:
    kin = [other for other in groups if other.stage == group.stage]
    short = group.stage.partition(".")[0]
    shares = settings.cluster
    schemes = {stage: section.SCHEME for stage, section in sections(settings)}
    warm_up_s = WarmUps(settings.data_dir).seconds(group.stage, group.warm_up_s)
    return PoolSpec(
        name=group.name,
        stage=group.stage,
        least=group.run.least,
        most=group.run.most,
        cpus=shares.cpu_share.get(group.stage, shares.cpu_share.get(short, 1.0)),
        gpus=shares.gpu_share.get(group.stage, shares.gpu_share.get(short, 0.0)),
        policy={
            "plan_file": str(settings.plan_file.absolute()) if settings.capacity.plan else "",
            "stage": group.stage,
            "bounds": [[other.run.least, other.run.most] for other in kin],
            "position": kin.index(group),
            "capacity": group.capacity,
            "warm_up_s": warm_up_s,
            "idle_s": settings.capacity.idle_s,
        },
        arguments=(
            group.stage,
            group.run.model_dump(),
            schemes[group.stage],
            group.warm_up_s,
            # A Ray of our own is this machine alone; what is said to its servers is not encrypted.
            "" if shares.address else LOOPBACK,
        ),
    )


def environment_of_engines(settings: Settings) -> dict[str, str]:
    """Our settings for the engine servers, by environment, but for those that hold a secret: Ray
    shows the environment of its processes. A key stands in the settings of each machine, which lie
    there under the same path as here, and so does ``data_dir``."""
    secret = tuple(name.upper() for name in SECRET_NAMES)
    found = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(ENV_PREFIX) and not name.endswith(secret)
    }
    file = Path(found.get("IVR_SETTINGS", DEFAULT_FILE))
    if file.exists():
        found["IVR_SETTINGS"] = str(file.absolute())
    found["IVR_DATA_DIR"] = str(settings.data_dir.absolute())
    return found


def _announce(settings: Settings, specs: list[PoolSpec], url: str, as_json: bool) -> None:
    if as_json:
        facts = {"ready": True, "roster": url, "pools": [s.name for s in specs], "pid": os.getpid()}
        click.echo(orjson.dumps(facts).decode())
        return
    click.echo(f"{len(specs)} pools run. The workers' setting: engines.roster_url = {url!r}")
    if settings.cluster.address:
        click.echo("They run on when this ends: `ivr cluster down` ends them.")


def print_status(settings: Settings, *, as_json: bool) -> None:
    """Show what runs on the cluster, as the driver knows it. Raises UserError when none runs."""
    url = f"http://{settings.cluster.host}:{settings.cluster.port}/status"
    try:
        answer = direct.get(url, timeout_s=ASK_TIMEOUT_S, most_bytes=STATUS_BYTES)
        facts: dict[str, Any] = orjson.loads(answer.body)
    except (OSError, ValueError) as e:
        raise UserError(
            f"{url} does not answer ({e}). Start it: `ivr cluster up`; where it is, are the settings"
            " cluster.host and cluster.port."
        ) from e
    if as_json:
        click.echo(orjson.dumps(facts).decode())
        return
    table = Table("pool", "server", "state", "in flight", "carries", box=None)
    for server in facts["servers"]:
        state = "warm" if server["warm"] else "not warm"
        load, most = str(server["in_flight"]), str(server["capacity"] or "?")
        table.add_row(server["pool"], server["url"], state, load, most)
    Console().print(table)
    for name, pool in facts["pools"].items():
        click.echo(f"{name}: {pool['status']} {pool['message']}".rstrip())


def down(settings: Settings) -> None:
    """End all pools, each server drained. Raises UserError when there is nothing to end."""
    if settings.cluster.address:
        cluster.connect(settings.cluster, log_to_driver=False)
        try:
            cluster.remove()
        finally:
            cluster.disconnect()
        click.echo("The pools have ended.")
        return
    pid = _driver(settings)
    if pid is None:
        raise UserError("No `ivr cluster up` runs with these settings.")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + REMOVE_TIMEOUT_S + cluster.DRAIN_S
    while _driver(settings) is not None:
        if time.monotonic() > deadline:
            raise UserError(f"Process {pid} still runs; its log says why.")
        time.sleep(0.1)
    click.echo("The pools have ended.")


@contextmanager
def _pid_file(settings: Settings) -> Iterator[None]:
    path = settings.data_dir / PID_FILE
    if (pid := _driver(settings)) is not None:
        raise UserError(f"`ivr cluster up` runs already with these settings (pid {pid}).")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(os.getpid()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _driver(settings: Settings) -> int | None:
    """The process that :data:`PID_FILE` names, if it is one of these and lives."""
    try:
        pid = int((settings.data_dir / PID_FILE).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if b"cluster" in words and b"up" in words else None
