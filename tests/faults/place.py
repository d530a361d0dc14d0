"""``ivr up`` with every child real, and emulated engines beside it, two of each but the model.

Whatever of ``ivr up`` is broken heals itself, as on site. The engines are looked after by
:meth:`Place.mind`, which stands for ``ivr pools``: one that ended is started again a second later.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

from appliance.ops.keeping.ports import free_ports
from appliance.settings import ENV_PREFIX
from appliance.store.agents import load_agents, publish_agent
from appliance.store.database import open_engine
from tests.appliance_kit import ROOT
from tests.process_kit import children_of
from tests.upsite_kit import UpSite

SERVERS = {"stt": 2, "tts": 2, "turn": 1, "embed": 1, "llm": 1}
BACK_AFTER_S = 1.0
READY_S = 40.0
CALLS_PER_CHILD = 4
"""Of ``ivr sip``: pjsua2's limit."""
DISK_BYTES = 1 << 30
"""More than all faults together record."""
CLOCK = Path(__file__).with_name("clock.c")


class Place:
    """One appliance; ``clock``: its wall clock can be turned (needs a C compiler)."""

    def __init__(self, folder: Path, script: Path, calls: int, *, clock: bool = False) -> None:
        self._script = script
        self._ports = {
            f"{stage}.{index}": free_ports(1)[0]
            for stage, count in SERVERS.items()
            for index in range(count)
        }
        self._engines: dict[str, subprocess.Popen[bytes]] = {}
        self._clock = folder / "clock" if clock else None
        embedded = folder / "embedded"
        self.up = UpSite(folder / "site", embedded, self._settings(calls))
        self.data_dir = self.up.settings.data_dir

    def _settings(self, calls: int) -> dict[str, str]:
        found = {
            "IVR_ENGINES__LLM__MODEL": "emulated",
            "IVR_WORKER__MAX_CALLS": str(2 * calls),
            "IVR_WORKER__DRAIN_TIMEOUT_S": "10",
            "IVR_SIP__TRUNKS": '["127.0.0.1/32"]',  # all callers are at one address, as a carrier's
            "IVR_SIP__PROCESSES": str(-(-calls // CALLS_PER_CHILD) + 1),
        }
        for stage in SERVERS:
            scheme = "ws" if stage == "stt" else "http"
            urls = [f"{scheme}://127.0.0.1:{port}" for _, port in self._of(stage)]
            setting = f"{ENV_PREFIX}ENGINES__{stage.upper()}__"
            found |= {f"{setting}RUN": "[]", f"{setting}URLS": orjson.dumps(urls).decode()}
        if self._clock is not None:
            self.turn_clock(0)
            library = self._clock.with_suffix(".so")
            compiler = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(CLOCK), "-ldl"]
            subprocess.run(compiler, check=True, timeout=60)
            found |= {"LD_PRELOAD": str(library), "IVR_TEST_CLOCK": str(self._clock)}
        return found

    # --- life (these block) -----------------------------------------------------------------------

    def open(self) -> None:
        """Start everything; calls are answered."""
        for name in self._ports:
            self._start(name)
        for name in self._ports:
            self._await(name)
        self.up.open()
        asyncio.run(self._shorten())

    def close(self) -> None:
        try:
            self.up.close()
        finally:
            for process in self._engines.values():
                process.kill()
                process.wait()

    def mind(self) -> None:
        """Start what has ended of the engines again."""
        ended = [name for name, process in self._engines.items() if process.poll() is not None]
        if ended:
            time.sleep(BACK_AFTER_S)
            for name in ended:
                self._start(name)

    # --- breaking ---------------------------------------------------------------------------------

    def kill_engine(self, stage: str) -> None:
        """``kill -9`` the first server of a stage."""
        self._engines[f"{stage}.0"].kill()

    def signal(self, name: str, sign: signal.Signals) -> None:
        """Send a signal to the child of ``ivr up`` with that name."""
        for pid in self.up.children(name):
            os.kill(pid, sign)

    def sip_children(self) -> list[int]:
        """The processes of ``ivr sip`` that carry calls."""
        return [child for pid in self.up.children("appliance sip") for child in children_of(pid)]

    def turn_clock(self, by_s: int) -> None:
        """Let every process of ``ivr up`` see the wall clock ``by_s`` off."""
        assert self._clock is not None
        with self._clock.open("r+b" if self._clock.exists() else "wb") as clock:
            clock.write(by_s.to_bytes(8, "little", signed=True))

    # --- inside -----------------------------------------------------------------------------------

    def _of(self, stage: str) -> list[tuple[str, int]]:
        return [(n, port) for n, port in self._ports.items() if n.partition(".")[0] == stage]

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", "appliance", "emulate", "--stage", name.partition(".")[0]]
        command += ["--port", str(self._ports[name]), "--script", str(self._script)]
        self._engines[name] = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _await(self, name: str) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{self._ports[name]}/health", None, 2
                ):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError(f"{name} did not come up")

    async def _shorten(self) -> None:
        """A greeting of one word, so that callers soon ask."""
        engine = open_engine(self.up.database_url)
        try:
            for agent in await load_agents(engine):
                await publish_agent(engine, dataclasses.replace(agent, greeting="Hello."))
        finally:
            await engine.dispose()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of ``DISK_BYTES`` at ``folder``, to be filled. Needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


@contextmanager
def place(folder: Path, script: Path, calls: int, *, clock: bool = False) -> Iterator[Place]:
    """A place that is open; its data on a disk of its own where we are root."""
    with ExitStack() as stack:
        made = Place(folder, script, calls, clock=clock)
        if os.geteuid() == 0:
            stack.enter_context(small_disk(made.data_dir))
        stack.callback(made.close)
        made.open()
        yield made
