"""Everything a rehearsal runs on: a temporary site with emulated engines and one real worker."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO

import orjson

from appliance import direct
from appliance.errors import UserError
from appliance.ops.keeping import probe
from appliance.ops.keeping.ports import free_port
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.ops.seed import seed
from appliance.settings import MEDIA_SECRET, load
from appliance.store import database

ROOT = Path(__file__).resolve().parents[3]
"""What holds the package, so that its children find it."""
READY_S = 30
STOP_S = 10
RTP_PORTS = (12_000, 17_900)
"""RTP of the SIP processes, below the ports that others take at will; 100 a process."""
CALLS_PER_SIP_PROCESS = 4
"""pjsua2's limit."""
SPARE_CALLS = 50
"""For calls that have just ended and are still counted: nobody is told to hold for them."""
SIP_CHILDREN_S = 2.0
"""SIP is answered as soon as one child process of ``ivr sip`` is up; the others need this."""


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A site that runs: where to call, with which secret, and the worker's process."""

    worker_url: str
    secret: str
    engines: dict[str, str]
    worker_pid: int
    environment: dict[str, str]
    folder: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Pools:
    """How many emulated servers each stage has, where not one; and what each works on at once."""

    servers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    slots: Mapping[str, int] = dataclasses.field(default_factory=dict)


@contextmanager
def site(
    script: Path,
    max_calls: int,
    pools: Pools | None = None,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """Start Postgres, the emulated engines and a worker on free ports; stop them at the end.
    ``extra``: more settings, as environment.

    Raises UserError when one of them does not come up, with the end of its log.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ivr-site-"))
        folder.chmod(0o755)  # root's Postgres runs as another user
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        urls = _engines(stack, script, folder, pools or Pools())
        environment = _environment(folder, urls, max_calls) | dict(extra or {})
        settings = load(environ=environment)
        postgres = EmbeddedPostgres(settings)
        stack.callback(postgres.stop)
        postgres.start()
        database.migrate(postgres.url)
        asyncio.run(seed(settings))
        worker = stack.enter_context(ivr(["worker"], folder / "worker.log", environment))
        url = f"http://127.0.0.1:{settings.worker.port}"
        ready(url + "/health", worker, folder / "worker.log")
        yield Site(
            worker_url=url.replace("http:", "ws:"),
            secret=settings.secret(MEDIA_SECRET),
            engines={stage: found[0] for stage, found in urls.items()},
            worker_pid=worker.pid,
            environment=environment,
            folder=folder,
        )


@contextmanager
def sip_office(site_: Site, calls: int) -> Iterator[str]:
    """``ivr sip`` in front of the site's worker, with room for ``calls``; its SIP URI."""
    port = free_port()
    processes = -(-calls // CALLS_PER_SIP_PROCESS)
    first, last = RTP_PORTS
    rtp_port = random.randrange(first, max(first + 1, last - 100 * processes), 100)
    environment = {
        **site_.environment,
        "IVR_SIP__PORT": str(port),
        "IVR_SIP__RTP_PORT": str(rtp_port),
        "IVR_SIP__PROCESSES": str(processes),
        "IVR_SIP__WORKER_URLS": f'["{site_.worker_url}"]',
    }
    log = site_.folder / "sip.log"
    with ivr(["sip"], log, environment) as process:
        deadline_s = time.monotonic() + READY_S
        while process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.2)
            if asyncio.run(probe.sip_ok("127.0.0.1", port, "udp")):
                break
        else:
            raise UserError(f"ivr sip is not ready: {tail(log)}")
        time.sleep(SIP_CHILDREN_S)
        yield f"sip:1001@127.0.0.1:{port}"


def _engines(stack: ExitStack, script: Path, folder: Path, pools: Pools) -> dict[str, list[str]]:
    """Where each stage is served."""
    urls = {stage: [url] for stage, url in _emulate(stack, script, folder, pools).items()}
    for stage, servers in pools.servers.items():
        for _ in range(servers - 1):
            urls[stage] += _emulate(stack, script, folder, pools, stage).values()
    return urls


def _emulate(
    stack: ExitStack, script: Path, folder: Path, pools: Pools, stage: str = ""
) -> dict[str, str]:
    log = folder / "engines.log"
    arguments = ["emulate", "--script", str(script), *(("--stage", stage) if stage else ())]
    if pools.slots:
        arguments += ["--slots", ",".join(f"{name}={n}" for name, n in pools.slots.items())]
    process = stack.enter_context(ivr(arguments, log, dict(os.environ), pipe=True))
    line = process.stdout.readline() if process.stdout else b""
    if not line:
        raise UserError(f"The emulated engines did not start: {tail(log)}")
    urls: dict[str, str] = orjson.loads(line)
    return urls


def _environment(folder: Path, urls: dict[str, list[str]], max_calls: int) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("IVR_")}
    stages = {
        f"IVR_ENGINES__{stage.upper()}__URLS": orjson.dumps(found).decode()
        for stage, found in urls.items()
    }
    return {
        **own,
        **stages,
        "IVR_DATA_DIR": str(folder / "var"),
        "IVR_DATABASE__EMBEDDED_PORT": str(free_port()),
        "IVR_JOBS__ENABLED": "false",
        "IVR_ADMIN__ENABLED": "false",
        "IVR_ENGINES__LLM__MODEL": "emulated",
        "IVR_WORKER__PORT": str(free_port()),
        "IVR_WORKER__MAX_CALLS": str(max_calls + SPARE_CALLS),
        "IVR_WORKER__ADMISSION": "false",  # where it bends is measured, not where it refuses
    }


@contextmanager
def ivr(
    arguments: list[str], log: Path, environment: dict[str, str], *, pipe: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """``ivr ARGUMENTS`` as a child, its log in ``log``, ended by SIGTERM."""
    with (
        log.open("ab") as output,
        running(
            [sys.executable, "-m", "appliance", *arguments],
            environment,
            stdout=subprocess.PIPE if pipe else output,
            stderr=output,
        ) as process,
    ):
        yield process


@contextmanager
def running(
    command: list[str],
    environment: dict[str, str],
    *,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that does not outlive the block."""
    process = subprocess.Popen(
        command, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
        if process.stdout:
            process.stdout.close()


def ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until ``url`` answers 200; UserError with the log's end when it does not."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            if direct.get(url, timeout_s=1.0, most_bytes=0).status == HTTPStatus.OK:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise UserError(f"What should serve {url} is not ready: {tail(log)}")


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "it wrote nothing"
