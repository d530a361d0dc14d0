"""One whole appliance for tests, process by process, so that single ones can be killed.

Postgres, engine servers, worker and SIP endpoint are the real processes that ``ivr up`` runs; the
engines are the real ones or the emulated ones. Run as a program, this module is an emulated language
model of a slower pace than that of ``ivr emulate``, so that there is a middle to be killed in:

    python -m tests.appliance_kit PORT SCRIPT
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from sqlalchemy import select

from appliance.audio import read_wav
from appliance.engines.emulated import EmulatedEngines, Latencies
from appliance.engines.emulated_llm import Pace
from appliance.engines.emulated_script import load_script
from appliance.engines.key import headers_of, key_of_ours
from appliance.events import Agent, CallRecord, Turn
from appliance.media import token
from appliance.media.server import WATCH_ID
from appliance.ops.keeping.ports import free_ports
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.ops.seed import seed
from appliance.settings import ENV_PREFIX, Settings, load
from appliance.store.agents import publish_agent, set_number
from appliance.store.calls import read_call
from appliance.store.database import migrate, open_engine
from appliance.store.models import CallRow
from appliance.telephony.callercontrol import CallerControl
from tests.sipkit import free_port, options_message

ROOT = Path(__file__).parent.parent
READY_TIMEOUT_S = 120.0
"""Everything starts at once on two busy cores."""
EXIT_TIMEOUT_S = 60.0
TRUST_TIMEOUT_S = 60.0
"""A server that failed again and again rests for 15 s at most (engines/pool.py)."""
EVENT_TIMEOUT_S = 60.0
ROWS_TIMEOUT_S = 60.0
POLL_S = 0.05
SIP_PROCESSES = 2
RTP_PORTS = (13000, 17800, 200)
"""Below the ports that servers get (ops/keeping/ports.py)."""
TOKENS_S = 8.0
"""Pace of the kit's language model: a word in 125 ms, which still outruns speech."""

Agents = Callable[[Agent], Mapping[str, Agent]]
"""Makes an agent for each number of the sample."""
Command = Callable[[str, int], list[str]]
"""The command line of an engine server, by its name (``tts.1``) and port."""

_numbers = itertools.count(1)


class Site:
    """The processes of one appliance on free ports, everything they write below ``folder``."""

    def __init__(
        self,
        folder: Path,
        embedded_dir: Path,
        servers: Mapping[str, int],
        command: Command,
        environment: Mapping[str, str],
    ) -> None:
        """``servers``: how many there are of each stage; ``environment``: settings on top of the
        kit's own."""
        self.folder = folder
        (folder / "log").mkdir(parents=True)
        self._ports: dict[str, int] = {}
        self._commands: dict[str, list[str]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        stages: dict[str, str] = {}
        for stage, count in servers.items():
            names = [f"{stage}.{index}" for index in range(count)]
            self._ports |= {name: free_ports(1)[0] for name in names}
            self._commands |= {name: command(name, self._ports[name]) for name in names}
            scheme = "ws" if stage == "stt" else "http"
            urls = [f"{scheme}://127.0.0.1:{self._ports[name]}" for name in names]
            stages[f"{ENV_PREFIX}ENGINES__{stage.upper()}__URLS"] = orjson.dumps(urls).decode()
        self.engines = tuple(self._commands)
        self._ports["worker"], self._ports["sip"] = free_ports(1)[0], free_port()
        self._commands |= {name: [*_ivr(), name] for name in ("worker", "sip")}
        own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
        self._environment = own | stages | self._places(folder, embedded_dir) | dict(environment)
        self.settings: Settings = load(environ=self._environment)
        self.postgres = EmbeddedPostgres(self.settings)

    def _places(self, folder: Path, embedded_dir: Path) -> dict[str, str]:
        return {
            "OMP_NUM_THREADS": "1",
            "IVR_DATA_DIR": str(folder / "var"),
            "IVR_DATABASE__EMBEDDED_PORT": str(free_ports(1)[0]),
            "IVR_DATABASE__EMBEDDED_DIR": str(embedded_dir),
            "IVR_WORKER__PORT": str(self._ports["worker"]),
            "IVR_WORKER__ADMISSION": "false",  # on a busy machine it would refuse callers
            "IVR_SIP__PORT": str(self._ports["sip"]),
            "IVR_SIP__PROCESSES": str(SIP_PROCESSES),
            "IVR_SIP__RTP_PORT": str(random.randrange(*RTP_PORTS)),
            "IVR_SIP__WORKER_URLS": f'["ws://127.0.0.1:{self._ports["worker"]}"]',
        }

    # --- life (these block: call them in a thread) ------------------------------------------------

    def open(self, agents: Agents, start: tuple[str, ...] = ("worker", "sip")) -> None:
        """Start everything, with the sample agent on every number and on top of it ``agents``;
        ``start``: what begins after it."""
        for name in self.engines:
            self._spawn(name)
        self.postgres.start()
        migrate(self.postgres.url)
        for name in self.engines:
            self._wait_until_ready(name)
        asyncio.run(self._publish(agents))
        self.start(*start)

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(EXIT_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.postgres.stop()

    def start(self, *names: str) -> None:
        """Start processes (``stt.0``, ``worker``, …) and wait until each is ready."""
        for name in names:
            self._spawn(name)
        for name in names:
            self._wait_until_ready(name)

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit status."""
        self._processes[name].terminate()
        return self.ended(name)

    def ended(self, name: str, timeout_s: float = EXIT_TIMEOUT_S) -> int:
        """Wait for a process's end; its exit status."""
        return self._processes[name].wait(timeout_s)

    def kill(self, *names: str) -> None:
        """``kill -9``, and wait until they are gone."""
        for name in names:
            self._processes[name].kill()
        for name in names:
            self._processes[name].wait()

    def heal(self) -> None:
        """Start what is dead, wake what is frozen, and wait until the worker trusts all of it."""
        dead = [name for name, p in self._processes.items() if p.poll() is not None]
        for name in set(self._processes) - set(dead):
            self.send(name, signal.SIGCONT)
        if not self.postgres.ready():
            self.postgres.stop()
            self.postgres.start()
        self.start(*sorted(dead, key=["worker", "sip"].__contains__))
        self.trusted(*self.engines)

    def trusted(self, *names: str) -> None:
        """Wait until the worker has taken engine servers in again that it had taken out."""
        deadline = time.monotonic() + TRUST_TIMEOUT_S
        while not all(self._is_trusted(name) for name in names):
            assert time.monotonic() < deadline, self.log("worker")[-3000:]
            time.sleep(POLL_S)

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are started with."""
        return dict(self._environment)

    # --- quick ------------------------------------------------------------------------------------

    def send(self, name: str, sign: signal.Signals) -> None:
        """Send a signal: SIGSTOP makes a server silent, SIGCONT ends that."""
        self._processes[name].send_signal(sign)

    def url(self, name: str) -> str:
        """Where a process answers HTTP."""
        return f"http://127.0.0.1:{self._ports[name]}"

    @property
    def sip_port(self) -> int:
        return self._ports["sip"]

    @property
    def worker_url(self) -> str:
        """Of the media stream."""
        return f"ws://127.0.0.1:{self._ports['worker']}"

    def health(self, name: str) -> dict[str, Any]:
        """What a server says of itself."""
        stage = self.settings.engines.stages().get(name.partition(".")[0])
        headers = headers_of(key_of_ours(self.settings, stage)) if stage else {}
        request = urllib.request.Request(self.url(name) + "/health", headers=dict(headers))
        with urllib.request.urlopen(request, timeout=2) as answer:
            said: dict[str, Any] = orjson.loads(answer.read())
            return said

    def log(self, name: str) -> str:
        """Everything that a process has logged, over all its lives."""
        return (self.folder / "log" / name).read_text(errors="replace")

    async def rows(self, number: str) -> tuple[CallRecord, list[Turn]]:
        """The rows of the call that ``number`` made, once the journal has written the last."""
        return await rows_of(self.postgres.url, number)

    def logged(self, name: str, since: int = 0) -> list[str]:
        """Log lines of a process, without the first ``since``."""
        return self.log(name).splitlines()[since:]

    # --- inside -----------------------------------------------------------------------------------

    def _spawn(self, name: str) -> None:
        with (self.folder / "log" / name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
            )

    def _wait_until_ready(self, name: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (self._sip_ready() if name == "sip" else self._http_ready(name)):
            dead = self._processes[name].poll() is not None
            if dead or time.monotonic() > deadline:
                raise AssertionError(f"{name} is not ready:\n{self.log(name)[-2000:]}")
            time.sleep(POLL_S)

    def _is_trusted(self, name: str) -> bool:
        place = self.url(name).removeprefix("http")
        last = ""
        for line in self.logged("worker"):
            if "worker listens" in line:
                last = ""
            elif f"{place} is " in line:
                last = line
        return "is out" not in last

    def _http_ready(self, name: str) -> bool:
        try:
            return bool(self.health(name))
        except (urllib.error.URLError, OSError):
            return False

    def _sip_ready(self) -> bool:
        """It answers before its children are up; a call needs them."""
        children = self.log("sip").count(" ready (pid")
        return children == SIP_PROCESSES and bool(options_from("127.0.0.1", self.sip_port))

    async def _publish(self, agents: Agents) -> None:
        sample = await seed(self.settings)
        assert sample is not None
        engine = open_engine(self.postgres.url)
        try:
            for did, agent in agents(sample).items():
                await publish_agent(engine, agent)
                await set_number(engine, did, agent.id)
        finally:
            await engine.dispose()


def real_engine(name: str, port: int) -> list[str]:
    """The command of a real engine server; the second voice speaks Indian languages."""
    options = ("--engine", "espeak") if name == "tts.1" else ()
    return [*_ivr(), name.partition(".")[0], *options, "--port", str(port)]


def emulated_engine(script: Path) -> Command:
    """The commands of emulated engine servers, the language model a slow one."""

    def command(name: str, port: int) -> list[str]:
        stage = name.partition(".")[0]
        if stage == "llm":
            return [sys.executable, "-m", "tests.appliance_kit", str(port), str(script)]
        return [*_ivr(), "emulate", "--stage", stage, "--port", str(port), "--script", str(script)]

    return command


def _ivr() -> list[str]:
    return [sys.executable, "-m", "appliance"]


async def rows_of(url: str, number: str) -> tuple[CallRecord, list[Turn]]:
    """The rows of the call that ``number`` made, in the database at ``url``, once all are there."""
    engine = open_engine(url)
    try:
        async with asyncio.timeout(ROWS_TIMEOUT_S):
            while True:
                async with engine.connect() as connection:
                    mine = select(CallRow.call_id).where(CallRow.caller.contains(number))
                    call_id = await connection.scalar(mine)
                if call_id is not None:
                    call, turns = await read_call(engine, call_id)
                    if call.ended_at is not None and len(turns) == call.turns:
                        return call, turns
                await asyncio.sleep(POLL_S)
    finally:
        await engine.dispose()


def options_from(host: str, port: int, timeout_s: float = 0.5) -> bytes:
    """Ask SIP OPTIONS from the local address ``host``; the answer, or b"" for none."""
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0))
        peer.settimeout(timeout_s)
        peer.sendto(options_message(peer.getsockname()[1], port), ("127.0.0.1", port))
        with suppress(OSError):
            return peer.recv(4096)
    return b""


class LiveCall:
    """A real SIP call: the caller's process, and what the worker tells of the call meanwhile."""

    def __init__(self, site: Site, number: str, ear: Path, caller: CallerControl) -> None:
        self.site = site
        self.number = number
        self.ear = ear
        """The recording at the caller's ear; there once the call has been left."""
        self.caller = caller
        self.call_id = ""
        self.told: list[dict[str, Any]] = []
        """The worker's events of this call."""
        self._next = 0
        self._changed = asyncio.Condition()

    async def event(self, name: str, timeout_s: float = EVENT_TIMEOUT_S) -> dict[str, Any]:
        """The worker's next event ``name`` after the one returned last."""
        return await self._until(lambda: self._take(name), name, timeout_s)

    async def heard(self, name: str, timeout_s: float = EVENT_TIMEOUT_S) -> dict[str, Any]:
        """The caller's first event ``name``: ``answered``, ``ended``, …"""

        def look() -> dict[str, Any] | None:
            return next((e for e in self.caller.seen if e["event"] == name), None)

        return await self._until(look, name, timeout_s)

    async def said(self, file: Path, timeout_s: float = EVENT_TIMEOUT_S) -> None:
        """Say a recording and wait until its last sample has been said."""
        before = self._said(file)
        await self.caller.play(file)
        await self._until(lambda: self._said(file) > before, f"end of {file.name}", timeout_s)

    async def rows(self) -> tuple[CallRecord, list[Turn]]:
        return await self.site.rows(self.number)

    def sound(self) -> tuple[bytes, bytes, int]:
        """What was said and heard at the caller's ear (L16), and the rate."""
        (said, heard), rate_hz = read_wav(self.ear)
        return said, heard, rate_hz

    def _said(self, file: Path) -> int:
        return sum(e["event"] == "played" and e["file"] == str(file) for e in self.caller.seen)

    def _take(self, name: str) -> dict[str, Any] | None:
        for index in range(self._next, len(self.told)):
            if self.told[index]["event"] == name:
                self._next = index + 1
                return self.told[index]
        return None

    async def _until(self, look: Callable[[], Any], what: str, timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while not (found := look()):
                    await self._changed.wait()
                return found
        except TimeoutError:
            told = [(e["ms"], e["event"], e.get("text", "")) for e in self.told]
            raise AssertionError(
                f"{what!r} did not come in {timeout_s} s\ncaller: {self.caller.seen}\n"
                f"worker: {told}\n{self.site.log('worker')[-3000:]}"
            ) from None

    async def follow_caller(self) -> None:
        """Take in the caller's events until its process ends."""
        async for _ in self.caller.events():
            await self._tell()

    async def follow_worker(self, watch: aiohttp.ClientWebSocketResponse) -> None:
        """Take in the worker's events of this call until it has gone."""
        async for message in watch:
            event = orjson.loads(message.data)
            if event["event"] == "call" and self.number in event["caller"]:
                self.call_id = event["call_id"]
            if event["call_id"] == self.call_id:
                self.told.append(event)
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def ringing(
    site: Site, did: str = "1001", *, codec: str = "PCMU", transport: str = "udp", number: str = ""
) -> AsyncIterator[LiveCall]:
    """Ring ``did`` and follow the call to the end of the block, which hangs up if need be.

    ``number``: of a caller who rang before; empty: a new one's.
    """
    call_number = next(_numbers)
    number = number or f"+9198000{call_number:05d}"
    ear = site.folder / f"ear{number}.{call_number}.wav"
    key = token.make(site.settings.secret("media"), WATCH_ID, time.time())
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(site.worker_url + "/watch", headers=headers) as watch:
            to = f"sip:{did}@127.0.0.1:{site.sip_port}"
            caller = await CallerControl.ring(
                to, record=ear, number=number, codec=codec, transport=transport
            )
            call = LiveCall(site, number, ear, caller)
            tasks = [
                asyncio.create_task(call.follow_caller()),
                asyncio.create_task(call.follow_worker(watch)),
            ]
            try:
                yield call
            finally:
                await _end(tasks[:1])  # its reader; close() reads what is left
                await caller.close()
                await _end(tasks[1:])


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _emulate_llm(port: int, script: Path) -> None:
    """The slow language model, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engines = EmulatedEngines(load_script(script), Latencies(llm=Pace(tokens_s=TOKENS_S)))
    await engines.start(["llm"], port)
    await stop.wait()
    await engines.stop()


if __name__ == "__main__":
    asyncio.run(_emulate_llm(int(sys.argv[1]), Path(sys.argv[2])))
