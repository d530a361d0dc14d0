"""A real FreeSWITCH with exactly the shipped configuration, on free ports of 127.0.0.1.

    async with freeswitch(tmp_path) as fs:
        await fs.add_trunk("carrier", "127.0.0.2")
        await fs.api("status")

Tests that use it carry ``needs_freeswitch``: they are skipped where the binary is not there.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import random
import re
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
import pytest

from appliance.settings import Settings
from appliance.telephony.site import Configured, Options, configure

BINARY = shutil.which("freeswitch")
needs_freeswitch = pytest.mark.skipif(
    BINARY is None, reason="there is no `freeswitch` on PATH: its tests need a real one"
)
HOST = "127.0.0.1"
PROFILES = ("trunks", "phones")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
API_TIMEOUT_S = 10.0
RTP_PORTS = 400
EVENTS = 2000
"""Events that nobody has asked for yet; the oldest goes when there are more."""


@dataclass(frozen=True)
class Event:
    """One message of the event socket; header values are decoded."""

    headers: dict[str, str]
    body: str = ""

    @property
    def name(self) -> str:
        """``CHANNEL_PARK``, or the subclass of a custom one."""
        return self.get("Event-Subclass") or self.get("Event-Name")

    def get(self, name: str) -> str:
        return self.headers.get(name, "")

    def variable(self, name: str) -> str:
        return self.get(f"variable_{name}")


class EventSocket:
    """A small client of FreeSWITCH's event socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._replies: asyncio.Queue[Event] = asyncio.Queue(maxsize=1)  # one command at a time
        self._turn = asyncio.Lock()
        self._arrived = asyncio.Condition()
        self.events: list[Event] = []
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, password: str) -> EventSocket:
        """Raises ConnectionError when the password is refused."""
        reader, writer = await asyncio.open_connection(HOST, port)
        client = cls(reader, writer)
        reply = await client.command(f"auth {password}")
        if not reply.get("Reply-Text").startswith("+OK"):
            await client.close()
            raise ConnectionRefusedError(reply.get("Reply-Text"))
        return client

    async def command(self, text: str) -> Event:
        """Send one command; its headers are lines of ``text``."""
        async with self._turn, asyncio.timeout(API_TIMEOUT_S):
            self._writer.write(text.encode() + b"\n\n")
            await self._writer.drain()
            reply = await self._replies.get()
        if not reply.headers:
            raise ConnectionResetError("FreeSWITCH closed the event socket")
        return reply

    async def api(self, text: str) -> str:
        return (await self.command(f"api {text}")).body

    async def subscribe(self, *names: str) -> None:
        await self.command(f"event plain {' '.join(names or ['ALL'])}")

    async def expect(self, name: str, timeout_s: float = 15.0, **variables: str) -> Event:
        """The first event of that name whose headers match, also one that came before; taken out.

        ``Unique_ID="…"`` is the header ``Unique-ID``.
        """
        wanted = {key.replace("_", "-"): value for key, value in variables.items()}

        def found() -> Event | None:
            for event in self.events:
                if event.name == name and wanted.items() <= event.headers.items():
                    return event
            return None

        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(found)
            event = found()
        assert event is not None
        self.events.remove(event)
        return event

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._task
            await self._writer.wait_closed()

    async def _read(self) -> None:
        while True:
            try:
                message = await self._message()
            except (asyncio.IncompleteReadError, OSError):
                await self._replies.put(Event({}))
                return
            match message.get("Content-Type"):
                case "command/reply" | "api/response" | "text/rude-rejection":
                    await self._replies.put(message)
                case "text/event-plain":
                    head, _, body = message.body.partition("\n\n")
                    async with self._arrived:
                        self.events.append(Event(_headers(head, decode=True), body))
                        del self.events[:-EVENTS]
                        self._arrived.notify_all()

    async def _message(self) -> Event:
        head = await self._reader.readuntil(b"\n\n")
        headers = _headers(head.decode().strip(), decode=False)
        size = int(headers.get("Content-Length", 0))
        return Event(headers, (await self._reader.readexactly(size)).decode(errors="replace"))


def _headers(text: str, *, decode: bool) -> dict[str, str]:
    pairs = (line.partition(": ")[::2] for line in text.splitlines() if ": " in line)
    return {name: unquote(value) if decode else value for name, value in pairs}


@dataclass
class FreeSwitch:
    """The running switch. Ports and folders are kept over :meth:`restart`."""

    folder: Path
    settings: Settings
    configured: Configured
    process: asyncio.subprocess.Process | None = None
    socket: EventSocket | None = None
    _trunks: dict[str, str] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.configured.folder

    @property
    def sip_port(self) -> int:
        return int(self.configured.variables["sip_port"])

    @property
    def phones_port(self) -> int:
        return int(self.configured.variables["phones_port"])

    @property
    def event_port(self) -> int:
        return self.settings.switch.esl_port

    @property
    def password(self) -> str:
        return self.settings.secret("event-socket")

    @property
    def domain(self) -> str:
        return self.configured.variables["domain"]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self) -> str:
        """freeswitch.log since the folder was made; lines of several runs."""
        path = self.folder / "log" / "freeswitch.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def troubles(self) -> list[str]:
        """Its log's lines of level ERR, CRIT and ALERT."""
        marks = ("[ERR]", "[CRIT]", "[ALERT]")
        return [line for line in self.log().splitlines() if any(m in line for m in marks)]

    async def start(self) -> None:
        """Start it and wait until it answers on its event socket and takes calls."""
        assert BINARY is not None
        out = (self.folder / "out.txt").open("ab")
        try:
            self.process = await asyncio.create_subprocess_exec(
                BINARY, "-nf", "-nonat", "-np", *self._folders(),
                stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        finally:
            out.close()
        until = time.monotonic() + START_TIMEOUT_S
        while not await self._ready():
            if self.process.returncode is not None or time.monotonic() > until:
                await self.kill()
                pytest.fail(f"FreeSWITCH did not start:\n{self._last_words()}")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """As ``systemctl stop`` does: SIGTERM; calls get a BYE."""
        await self._end(kill=False)

    async def kill(self) -> None:
        """As a crash does: nothing is said to anybody."""
        await self._end(kill=True)

    async def restart(self, *, kill: bool = False) -> None:
        """On the same ports and folders."""
        await self._end(kill=kill)
        await self.start()

    async def api(self, text: str) -> str:
        """The answer to one API command."""
        assert self.socket is not None
        return await self.socket.api(text)

    async def connect(self) -> EventSocket:
        """One more connection to the event socket, the caller's to close."""
        return await EventSocket.open(self.event_port, self.password)

    async def channels(self) -> list[dict[str, Any]]:
        """Rows of ``show channels``."""
        rows: list[dict[str, Any]] = orjson.loads(await self.api("show channels as json")).get(
            "rows", []
        )
        return rows

    async def variable(self, uuid: str, name: str) -> str:
        """One variable of a channel; empty where it is not set."""
        value = (await self.api(f"uuid_getvar {uuid} {name}")).strip()
        return "" if value in ("_undef_", "-ERR No such channel!") else value

    async def until(self, check: Callable[[], Any], timeout_s: float = 15.0) -> Any:
        """What the async ``check`` gives as soon as it is truthy."""
        async with asyncio.timeout(timeout_s):
            while not (value := await check()):
                await asyncio.sleep(0.05)
        return value

    async def add_trunk(
        self, name: str, address: str = HOST, port: int = 5060, *, xml: str = ""
    ) -> None:
        """A carrier at ``address`` may call us, and we call it by ``sofia/gateway/NAME/…``.

        ``xml``: more ``<param>`` of its gateway.
        """
        self._trunks[name] = address
        gateway = (
            f'<include>\n<gateway name="{name}">\n<param name="proxy" value="{address}:{port}"/>\n'
            '<param name="register" value="false"/>\n<param name="context" value="trunk"/>\n'
            '<param name="extension" value="auto_to_user"/>\n'
            f'<param name="username" value="not-used"/>\n<param name="password" value=""/>\n{xml}\n'
            "</gateway>\n</include>\n"
        )
        (self.conf / "site" / "gateways" / f"{name}.xml").write_text(gateway)
        await self.allow(*self._trunks.values())
        assert "+OK" in await self.api("sofia profile trunks rescan")

    async def allow(self, *addresses: str) -> None:
        """Exactly these may call."""
        nodes = "".join(f'<node type="allow" cidr="{a}/32"/>\n' for a in sorted(set(addresses)))
        (self.conf / "site" / "acl.xml").write_text(
            f'<include>\n<list name="trunks" default="deny">\n{nodes}</list>\n</include>\n'
        )
        assert "+OK" in await self.api("reloadacl")

    async def add_phone(self, extension: str, password: str) -> None:
        """A telephone of our own may register as ``extension``."""
        secret = f"{extension}:{self.domain}:{password}"
        a1 = hashlib.md5(secret.encode()).hexdigest()
        (self.conf / "site" / "directory" / f"{extension}.xml").write_text(
            f'<include>\n<user id="{extension}">\n<params>\n<param name="a1-hash" value="{a1}"/>\n'
            "</params>\n</user>\n</include>\n"
        )
        assert "+OK" in await self.api("reloadxml")

    def _folders(self) -> list[str]:
        args = ["-conf", str(self.conf), "-sounds", str(self.conf / "sounds")]
        args += ["-certs", str(_certificates())]
        for name in ("log", "db", "run", "temp", "cache", "storage", "recordings"):
            (self.folder / name).mkdir(exist_ok=True)
            args += [f"-{name}", str(self.folder / name)]
        return args

    async def _ready(self) -> bool:
        if self.socket is None:
            try:
                self.socket = await self.connect()
            except OSError:
                return False
        # it listens before its SIP profiles do
        status = await self.api("sofia status")
        return all(re.search(rf"\b{name}\s+profile\s.*RUNNING", status) for name in PROFILES)

    async def _end(self, *, kill: bool) -> None:
        if self.socket is not None:
            await self.socket.close()
            self.socket = None
        if self.process is None or self.process.returncode is not None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def _last_words(self) -> str:
        said = (self.folder / "out.txt").read_text(errors="replace")
        return "\n".join([said[-1000:], *self.troubles(), self.log()[-1000:]])


@asynccontextmanager
async def freeswitch(
    folder: Path, *, settings: Settings | None = None, options: Options | None = None
) -> AsyncIterator[FreeSwitch]:
    """Configure, start and, whatever happens, end a FreeSWITCH below ``folder``.

    ``settings``: its ``switch.esl_port`` and ``switch.conf_dir`` are replaced by free ones; read
    them back from :attr:`FreeSwitch.settings`. ``options``: the ports are replaced too.
    """
    root = folder / "freeswitch"
    root.mkdir(parents=True)
    given = settings or Settings(data_dir=folder / "data")
    switch = given.switch.model_copy(update={"esl_port": free_port(), "conf_dir": root / "conf"})
    used = given.model_copy(update={"switch": switch})
    asked = options or Options()
    first = free_ports(RTP_PORTS)
    site = Options(
        **{**vars(asked), "address": asked.address or HOST, "sip_port": first,
           "phones_port": first + 2, "rtp_ports": (first + 4, first + RTP_PORTS - 2)}
    )  # fmt: skip
    switch_ = FreeSwitch(root, used, configure(used, root / "conf", site))
    try:
        await switch_.start()
        yield switch_
    finally:
        await switch_.kill()  # an orderly end takes it four seconds


@cache
def _certificates() -> Path:
    """FreeSWITCH makes itself keys for DTLS in this folder at its first start: one to two seconds."""
    folder = Path(tempfile.mkdtemp(prefix="freeswitch-certs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def free_port() -> int:
    """A TCP port that nobody has."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        return int(s.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that nobody has, below the range of short-lived ones."""
    while True:
        first = random.randrange(10_000, 32_000 - count) & ~1
        if all(_is_free(port) for port in range(first, first + min(count, 50))):
            return first


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind((HOST, port))
            except OSError:
                return False
    return True
