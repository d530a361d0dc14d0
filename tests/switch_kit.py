"""A whole site behind FreeSWITCH: Postgres, emulated engines, two workers, `ivr switch`.

All are real processes.
The switch in front is the real FreeSWITCH (tests/freeswitch_kit.py) or the stand-in; callers are SIP
peers (tests/sippeer.py) on the addresses of a trunk in the database.
"""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine

from appliance.ops.ports import free_ports
from appliance.store.database import open_sync_engine
from appliance.store.legs import Leg, legs_of
from appliance.store.phonebook import Extension, Queue, Trunk
from appliance.store.trunks import save_extension, save_queue, save_trunk
from tests.appliance_kit import Agents, Site, emulated_engine
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
        from appliance.store.database import migrate

        migrate(self.postgres.url)
        for name in self.engines:
            self._wait_until_ready(name)
        asyncio.run(self._publish(agents))
        self.start("worker", "worker.1", "switch")

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
    os.environ.pop("IVR_DATA_DIR", None)
    from appliance.settings import Settings

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
