"""The new release, tried before anything is switched: its worker and its `ivr sip` on free ports of
loopback, and one call through both, asked and answered by the box's own engines.

They read the box's database and write nothing into it; their files go into a folder that is thrown
away. What is not tried so: FreeSWITCH with a new `ivr switch`, and new engine servers.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path

import orjson

from appliance import direct
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_ports
from appliance.ops.releases.health import ring
from appliance.settings import Settings
from appliance.store.database import database_url

READ_ONLY = {"PGOPTIONS": "-c default_transaction_read_only=on"}
"""libpq hands it to Postgres, whatever the code does."""
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.2
RTP_PORTS = (10_000, 15_000, 100)
"""Below those that anybody is told to open; `ivr sip` goes on to the next where one is taken."""
SHARED_DATA = ("secrets", "models", "cache")
"""What they need of the box's data."""


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """A data folder that is thrown away, with the box's secrets and models in it."""
    data = settings.data_dir.absolute()
    with tempfile.TemporaryDirectory(prefix="ivr-scratch-") as made:
        folder = Path(made)
        for name in SHARED_DATA:
            if (data / name).exists():
                (folder / name).symlink_to(data / name)
        if os.geteuid() == 0:
            owner = data.stat()
            os.chown(folder, owner.st_uid, owner.st_gid)
        yield folder


def try_release(ivr: Path, settings: Settings, folder: Path, *, call: bool) -> bool:
    """Start them, ring them once (``call``); whether a call was made. Raises UserError where they do
    not come up, or the call is not answered as it should be."""
    worker, sip, nobody = free_ports(3)
    environment = _environment(settings, folder, worker, sip, nobody)
    with ExitStack() as running:
        log = running.enter_context(_process(ivr, "worker", folder, environment))
        _until_ready(log, lambda: _answers(worker), "worker")
        if not call or find_spec("pjsua2") is None:
            return False
        running.enter_context(_process(ivr, "sip", folder, environment))
        ring(ivr, settings.data_dir, environment)
    return True


def _environment(
    settings: Settings, folder: Path, worker: int, sip: int, nobody: int
) -> dict[str, str]:
    """Settings of the scratch processes; on port ``nobody`` nothing listens: the box's own
    `ivr switch` is none of their business."""
    urls = orjson.dumps([f"ws://127.0.0.1:{worker}"]).decode()
    return READ_ONLY | {
        "IVR_DATA_DIR": str(folder),
        "IVR_DATABASE__URL": database_url(settings),
        "IVR_WORKER__HOST": "127.0.0.1",
        "IVR_WORKER__PORT": str(worker),
        "IVR_WORKER__SPARE_PORT": "0",
        "IVR_WORKER__RECORDINGS": "false",
        "IVR_WORKER__DRAIN_TIMEOUT_S": "0",
        "IVR_SIP__HOST": "127.0.0.1",
        "IVR_SIP__PORT": str(sip),
        "IVR_SIP__ALLOW": '["127.0.0.0/8"]',
        "IVR_SIP__PROCESSES": "1",
        "IVR_SIP__RTP_PORT": str(random.randrange(*RTP_PORTS)),
        "IVR_SIP__REGISTRAR": "",
        "IVR_SIP__WORKER_URLS": urls,
        "IVR_SWITCH__WORKER_URLS": urls,
        "IVR_SWITCH__API_PORT": str(nobody),
    }


class _Log:
    """A process and where it writes."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path) -> None:
        self.process = process
        self._file = file

    @property
    def last(self) -> str:
        lines = self._file.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"


@contextmanager
def _process(ivr: Path, name: str, folder: Path, environment: Mapping[str, str]) -> Iterator[_Log]:
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NOTIFY_SOCKET")}
    account = folder.stat() if os.geteuid() == 0 else None
    file = folder / f"{name}.log"
    with file.open("wb") as log:
        process = subprocess.Popen(
            [str(ivr), name], env=own | dict(environment), stdout=log, stderr=log, cwd=folder,
            stdin=subprocess.DEVNULL,
            user=account.st_uid if account else None, group=account.st_gid if account else None,
            extra_groups=[account.st_gid] if account else None,
        )  # fmt: skip
    try:
        yield _Log(process, file)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(log: _Log, ready: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not ready():
        if log.process.poll() is not None or time.monotonic() > deadline:
            raise UserError(f"The new {name} does not come up: {log.last}")
        time.sleep(POLL_S)


def _answers(port: int) -> bool:
    try:
        answer = direct.get(f"http://127.0.0.1:{port}/health", timeout_s=2.0, most_bytes=0)
    except OSError:
        return False
    return answer.status == HTTPStatus.OK
