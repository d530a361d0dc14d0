"""A whole site behind FreeSWITCH: Postgres, emulated engines, two workers, `ivr switch`.

All are real processes.
The switch in front is the real FreeSWITCH (tests/freeswitch_kit.py) or the stand-in; callers are SIP
peers (tests/sippeer.py) on the addresses of a trunk in the database.
"""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine

from appliance.ops.keeping.ports import free_ports
from appliance.settings import Settings
from appliance.store.database import migrate, open_sync_engine
from appliance.store.legs import Leg, legs_of
from appliance.store.phonebook import Extension, Queue, Trunk
from appliance.store.trunks import (
    list_numbers,
    remove_number,
    save_extension,
    save_number,
    save_queue,
    save_trunk,
)
from tests.appliance_kit import POLL_S, READY_TIMEOUT_S, ROOT, Agents, Site, emulated_engine
from tests.freeswitch_kit import FreeSwitch, free_port, freeswitch

STAGES = {"stt": 1, "tts": 1, "llm": 1, "turn": 1, "embed": 1}
PLAYBACK_PORTS = 200


class SwitchSite(Site):
    """A site whose calls come through FreeSWITCH: ``worker``, ``worker.1`` and ``switch``."""

    def __init__(
        self,
        folder: Path,
        embedded_dir: Path,
        script: Path,
        switch: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        """``switch``: where FreeSWITCH is, as settings without their ``IVR_SWITCH__``."""
        self._api_port = free_port()
        second = free_ports(1)[0]
        own = {f"IVR_SWITCH__{name.upper()}": value for name, value in switch.items()}
        own |= {"IVR_SWITCH__API_PORT": str(self._api_port)}
        own |= {"IVR_SWITCH__PLAYBACK_PORTS": str(PLAYBACK_PORTS)}
        super().__init__(
            folder, embedded_dir, STAGES, emulated_engine(script), own | dict(environment)
        )
        urls = [f"ws://127.0.0.1:{port}" for port in (self._ports["worker"], second)]
        self._environment["IVR_SWITCH__WORKER_URLS"] = orjson.dumps(urls).decode()
        self._ports["worker.1"], self._ports["switch"] = second, self._api_port
        self._commands["worker.1"] = [
            "env", f"IVR_WORKER__PORT={second}", sys.executable, "-m", "appliance", "worker",
        ]  # fmt: skip
        self._commands["switch"] = [sys.executable, "-m", "appliance", "switch"]
        self.engine: Engine = open_sync_engine(self.postgres.url)

    def open(self, agents: Agents) -> None:
        """Start everything but ``ivr sip``."""
        for name in self.engines:
            self._spawn(name)
        self.postgres.start()
        migrate(self.postgres.url)
        for name in self.engines:
            self._wait_until_ready(name)
        asyncio.run(self._publish(agents))
        self.start("worker", "worker.1", "switch")
        self.mend()

    def close(self) -> None:
        self.engine.dispose()
        super().close()

    def add_trunk(self, trunk: Trunk) -> None:
        with self.engine.begin() as connection:
            save_trunk(connection, trunk)
        self.api("POST", "/v1/reload")

    def add_extension(self, extension: Extension) -> None:
        with self.engine.begin() as connection:
            save_extension(connection, extension)
        self.api("POST", "/v1/reload")

    def add_queue(self, queue: Queue) -> None:
        with self.engine.begin() as connection:
            save_queue(connection, queue)
        self.api("POST", "/v1/reload")

    def set_hours(self, did: str, hours: str, closed_text: str) -> None:
        self._change_number(did, hours=hours, closed_text=closed_text)

    def set_overflow(self, did: str, to: str) -> None:
        self._change_number(did, overflow_to=to)

    def forget_number(self, did: str) -> None:
        with self.engine.begin() as connection:
            remove_number(connection, did, "IN")
        self.api("POST", "/v1/reload")

    def worker_of(self, url: str) -> str:
        """Name of the process at a worker's URL."""
        port = int(url.rpartition(":")[2])
        return next(name for name in ("worker", "worker.1") if self._ports[name] == port)

    def mend(self) -> None:
        """Start what is dead, and wait until calls are taken."""
        dead = [name for name, p in self._processes.items() if p.poll() is not None]
        self.start(*sorted(dead, key=["worker", "worker.1", "switch"].__contains__))
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not all(w["healthy"] for w in self.api("GET", "/v1/workers")["workers"]):
            assert time.monotonic() < deadline, self.log("worker")[-3000:]
            time.sleep(POLL_S)

    def _change_number(self, did: str, **changes: str) -> None:
        with self.engine.begin() as connection:
            entry = next(n for n in list_numbers(connection) if n.did == did)
            save_number(connection, dataclasses.replace(entry, **changes), "IN")
        self.api("POST", "/v1/reload")

    def legs(self, call_id: str) -> list[Leg]:
        with self.engine.connect() as connection:
            return legs_of(connection, call_id)

    def api(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Ask the API of `ivr switch`; raises HTTPError."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._api_port}{path}",
            method=method,
            data=None if method == "GET" else orjson.dumps(body or {}),
            headers={"Authorization": f"Bearer {self.settings.secret('switch')}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            said: dict[str, Any] = orjson.loads(answer.read())
            return said

    def ivr(
        self, *words: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of ``ivr`` with the site's settings."""
        return subprocess.run(
            [sys.executable, "-m", "appliance", *words], input=stdin, text=True, timeout=60,
            capture_output=True, env=self._environment | environment, cwd=ROOT,
        )  # fmt: skip

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def live(self) -> list[dict[str, Any]]:
        """The live calls, as `ivr switch` knows them."""
        return list(self.api("GET", "/v1/calls")["calls"])

    def _http_ready(self, name: str) -> bool:
        if name != "switch":
            return super()._http_ready(name)
        try:
            self.api("GET", "/v1/calls")
        except OSError:
            return False
        return "FreeSWITCH is here" in self.log("switch")


@asynccontextmanager
async def switched_site(
    folder: Path,
    embedded_dir: Path,
    script: Path,
    agents: Agents,
    **environment: str,
) -> AsyncIterator[tuple[SwitchSite, FreeSwitch]]:
    """The site behind a real FreeSWITCH."""
    var = folder / "site" / "var"
    async with freeswitch(folder, settings=Settings(data_dir=var)) as fs:
        switch = {
            "esl_port": str(fs.event_port),
            "conf_dir": str(fs.conf),
            "playback_port": str(free_ports(1)[0]),
        }
        site = SwitchSite(folder / "site", embedded_dir, script, switch, environment)
        try:
            await asyncio.to_thread(site.open, agents)
            yield site, fs
        finally:
            await asyncio.to_thread(site.close)
