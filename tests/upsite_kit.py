"""``ivr up`` as an operator starts it: every process real, all on free ports, all below one folder."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from appliance.events import CallRecord, Turn
from appliance.ops.keeping.ports import free_ports
from appliance.settings import ENV_PREFIX, Settings, load
from appliance.store.database import database_url
from tests.appliance_kit import ROOT, rows_of
from tests.process_kit import children_of
from tests.sipkit import free_port

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 120.0
READY_TIMEOUT_S = 120.0
RTP_PORTS = (13000, 17800, 200)
POLL_S = 0.05
PORTS = ("postgres", "redis", "worker", "stt", "tts", "turn", "embed", "admin")
IVR = [sys.executable, "-m", "appliance"]


class UpSite:
    """One appliance; ``more`` are further settings, as environment."""

    def __init__(self, folder: Path, embedded_dir: Path, more: dict[str, str]) -> None:
        folder.mkdir(mode=0o755)
        self.folder = folder
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True)) | {"sip": free_port()}
        own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
        self.environment = own | self._settings(embedded_dir) | more
        self.settings: Settings = load(environ=self.environment)
        self._log = folder / "up.log"
        self._up: subprocess.Popen[bytes] | None = None
        self.told: dict[str, Any] = {}
        """What ``ivr up --json`` said."""

    def _settings(self, embedded_dir: Path) -> dict[str, str]:
        def run(stage: str, engine: str) -> dict[str, str]:
            server = {"engine": engine, "port": self.ports[stage]}
            return {f"IVR_ENGINES__{stage.upper()}__RUN": orjson.dumps([server]).decode()}

        return {
            "OMP_NUM_THREADS": "1",
            "IVR_DATA_DIR": str(self.folder / "var"),
            "IVR_DATABASE__EMBEDDED_PORT": str(self.ports["postgres"]),
            "IVR_DATABASE__EMBEDDED_DIR": str(embedded_dir),
            "IVR_REDIS__EMBEDDED_PORT": str(self.ports["redis"]),
            "IVR_ADMIN__PORT": str(self.ports["admin"]),
            "IVR_JOBS__SWEEP_S": "1",
            "IVR_WORKER__PORT": str(self.ports["worker"]),
            "IVR_WORKER__ADMISSION": "false",  # on a busy machine it would refuse callers
            "IVR_SIP__PORT": str(self.ports["sip"]),
            "IVR_SIP__PROCESSES": "1",
            "IVR_SIP__RTP_PORT": str(random.randrange(*RTP_PORTS)),
            "IVR_ENGINES__STT__TIMEOUT_MS": "2000",
            **run("stt", "pocketsphinx"),
            **run("tts", "flite"),
            **run("turn", "smart-turn"),
            **run("embed", "minilm"),
        }

    # --- what appliance_kit.ringing asks of a site ------------------------------------------------

    @property
    def sip_port(self) -> int:
        return self.ports["sip"]

    @property
    def worker_url(self) -> str:
        return f"ws://127.0.0.1:{self.ports['worker']}"

    def log(self, name: str = "") -> str:
        """Everything that ``ivr up`` and its children have logged; of one child, by its name."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if name in line)

    async def rows(self, number: str) -> tuple[CallRecord, list[Turn]]:
        return await rows_of(self.database_url, number)

    # --- life (these block) -----------------------------------------------------------------------

    @property
    def database_url(self) -> str:
        return database_url(self.settings)

    def open(self) -> None:
        """Start everything and wait until calls are answered."""
        with self._log.open("ab") as log:
            self._up = subprocess.Popen(
                [*IVR, "up", "--json"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
            )
        assert self._up.stdout is not None
        watchdog = threading.Timer(START_TIMEOUT_S, self._up.terminate)
        watchdog.start()
        try:
            line = self._up.stdout.readline()
        finally:
            watchdog.cancel()
        assert line, self.log()[-4000:]
        self.told = orjson.loads(line)

    def close(self) -> None:
        """SIGTERM; nothing may be left."""
        if self._up is None:
            return
        self._up.terminate()
        try:
            self._up.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()
            raise
        finally:
            assert self._up.stdout is not None
            self._up.stdout.close()

    def kill(self) -> None:
        """``kill -9`` of ``ivr up``: the kernel ends its children."""
        assert self._up is not None and self._up.stdout is not None
        children = children_of(self._up.pid)
        self._up.kill()
        self._up.wait()
        self._up.stdout.close()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(_command(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def until(self, name: str, words: str, count: int = 1) -> None:
        """Wait until a child has logged ``words`` so many times."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self.log(name).count(words) < count:
            assert time.monotonic() < deadline, f"{name}: {words!r}\n{self.log()[-3000:]}"
            time.sleep(POLL_S)

    def ivr(self, *arguments: str, status: int = 0, given: str = "") -> str:
        """A command with this site's settings, in a process of its own; what it printed. ``given``:
        its standard input."""
        done = subprocess.run(
            [*IVR, *arguments],
            env=self.environment,
            cwd=ROOT,
            text=True,
            check=False,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert done.returncode == status, (arguments, done.returncode, done.stdout[-3000:])
        return done.stdout

    def ask(self, *arguments: str) -> dict[str, Any]:
        """The JSON object of a command's last line."""
        told: dict[str, Any] = orjson.loads(self.ivr(*arguments, "--json").splitlines()[-1])
        return told

    def everyone(self) -> list[int]:
        """Pids of ``ivr up`` and of its children."""
        assert self._up is not None
        return [self._up.pid, *children_of(self._up.pid)]

    def children(self, name: str) -> list[int]:
        """Pids of the children of ``ivr up`` whose command line ends with ``name``, or whose program
        is so called."""
        assert self._up is not None
        return [pid for pid in children_of(self._up.pid) if name in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
