"""A real FreeSWITCH with the shipped configuration, and ``ivr switch``, in front of the worker."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import orjson

from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from appliance.ops.rehearsal.temporarysite import READY_S, Site, ivr, running, tail
from appliance.settings import EVENT_SOCKET_SECRET, Settings, load
from appliance.store.database import database_url, open_sync_engine
from appliance.store.phonebook import Trunk
from appliance.store.trunks import save_trunk
from appliance.telephony.site import Options, configure

HOST = "127.0.0.1"
LEG_PORTS = 4
"""RTP and RTCP of a leg, and as many again for ports that are still closing."""
SPARE_PORTS = 60
"""For the callers that sipp has placed before."""
FIRST_PORT, LAST_PORT = 10_000, 17_900
"""Where the block of ports is looked for: below what everybody else takes."""
API_TIMEOUT_S = 5.0
_FOLDERS = ("log", "db", "run", "temp", "cache", "storage", "recordings", "certs")


@dataclass(frozen=True, slots=True)
class SwitchOffice:
    """What runs in front of the worker, and where to call."""

    target: str
    """SIP URI of the sample agent."""
    switch_pid: int
    freeswitch_pid: int
    playback_ports: range
    event_port: int
    password: str

    def playback_port_of(self) -> dict[int, int]:
        """For each live call of ours the port on which FreeSWITCH takes the worker's audio, by the
        caller's number in the rehearsal."""
        with EventSocket(self.event_port, self.password) as events:
            rows = orjson.loads(events.api("show channels as json")).get("rows", [])
            ports = {}
            for row in rows:
                _, is_ours, number = str(row["cid_num"]).partition("caller")
                port = events.api(f"uuid_getvar {row['uuid']} ivr_playback").strip()
                if is_ours and number.isdecimal() and port.isdecimal():
                    ports[int(number)] = int(port)
            return ports


class EventSocket:
    """FreeSWITCH's event socket, for a question now and then. Raises OSError."""

    def __init__(self, port: int, password: str) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=API_TIMEOUT_S)
        self._file = self._socket.makefile("rb")
        self._read()
        self._send(f"auth {password}")
        if not self._read()[0].get("Reply-Text", "").startswith("+OK"):
            self.close()
            raise ConnectionRefusedError("FreeSWITCH refuses the event socket's password")

    def __enter__(self) -> EventSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def api(self, command: str) -> str:
        """The answer to one API command."""
        self._send(f"api {command}")
        return self._read()[1]

    def close(self) -> None:
        """Drop the connection."""
        self._file.close()
        self._socket.close()

    def _send(self, text: str) -> None:
        self._socket.sendall(f"{text}\n\n".encode())

    def _read(self) -> tuple[dict[str, str], str]:
        headers: dict[str, str] = {}
        while (line := self._file.readline()) not in (b"\n", b""):
            name, _, text = line.decode(errors="replace").strip().partition(": ")
            headers[name] = unquote(text)
        if not headers:
            raise ConnectionResetError("FreeSWITCH closed the event socket")
        body = self._file.read(int(headers.get("Content-Length", 0)))
        return headers, body.decode(errors="replace")


@contextmanager
def switch_office(site_: Site, calls: int) -> Iterator[SwitchOffice]:
    """FreeSWITCH and ``ivr switch`` in front of the site's worker, with room for ``calls``.

    Raises UserError: there is no FreeSWITCH, or one of the two does not come up.
    """
    binary = shutil.which("freeswitch")
    if binary is None:
        raise UserError("There is no `freeswitch` on PATH: --through freeswitch needs a real one.")
    rtp_ports = LEG_PORTS * calls + SPARE_PORTS
    first = _free_block(4 + rtp_ports + calls + SPARE_PORTS)
    playback = range(first + 4 + rtp_ports, first + 4 + rtp_ports + calls + SPARE_PORTS)
    folder = site_.folder / "freeswitch"
    environment = _environment(site_, folder, playback)
    settings = load(environ=environment)
    options = Options(
        address=HOST,
        sip_port=first,
        phones_port=first + 2,
        rtp_ports=(first + 4, playback.start - 2),
    )
    configure(settings, folder / "conf", options)
    _let_callers_in(settings)
    with (
        _freeswitch(binary, folder, settings) as freeswitch_pid,
        _switch(site_, environment) as switch_pid,
    ):
        yield SwitchOffice(
            target=f"sip:1001@{HOST}:{first}",
            switch_pid=switch_pid,
            freeswitch_pid=freeswitch_pid,
            playback_ports=playback,
            event_port=settings.switch.esl_port,
            password=settings.secret(EVENT_SOCKET_SECRET),
        )


def _environment(site_: Site, folder: Path, playback: range) -> dict[str, str]:
    return {
        **site_.environment,
        "IVR_SWITCH__ESL_PORT": str(free_port()),
        "IVR_SWITCH__API_PORT": str(free_port()),
        "IVR_SWITCH__CONF_DIR": str(folder / "conf"),
        "IVR_SWITCH__WORKER_URLS": f'["{site_.worker_url}"]',
        "IVR_SWITCH__PLAYBACK_PORT": str(playback.start),
        "IVR_SWITCH__PLAYBACK_PORTS": str(len(playback)),
    }


def _let_callers_in(settings: Settings) -> None:
    """The callers come from a trunk on this machine; nobody answers its OPTIONS: none are sent."""
    engine = open_sync_engine(database_url(settings))
    try:
        with engine.begin() as connection:
            save_trunk(connection, Trunk("bench", HOST, addresses=(HOST,), ping_s=0))
    finally:
        engine.dispose()


@contextmanager
def _freeswitch(binary: str, folder: Path, settings: Settings) -> Iterator[int]:
    command = [binary, "-nf", "-nonat", "-np", "-conf", str(folder / "conf")]
    command += ["-sounds", str(folder / "conf" / "sounds")]
    for name in _FOLDERS:
        (folder / name).mkdir()
        command += [f"-{name}", str(folder / name)]
    log = folder / "out.txt"
    with (
        log.open("ab") as output,
        running(command, dict(os.environ), stdout=output, stderr=output) as process,
    ):
        _until(lambda: _profiles(settings) == 2, "FreeSWITCH", process, log)
        yield process.pid


@contextmanager
def _switch(site_: Site, environment: dict[str, str]) -> Iterator[int]:
    log = site_.folder / "switch.log"
    with ivr(["switch"], log, environment) as process:
        _until(lambda: "FreeSWITCH is here" in log.read_text(), "ivr switch", process, log)
        _until(lambda: "takes calls" in log.read_text(), "ivr switch", process, log)
        yield process.pid


def _profiles(settings: Settings) -> int:
    """How many SIP profiles run; FreeSWITCH listens on its event socket before they do."""
    try:
        password = settings.secret(EVENT_SOCKET_SECRET)
        with EventSocket(settings.switch.esl_port, password) as events:
            return events.api("sofia status").count("RUNNING")
    except OSError:
        return 0


def _until(
    ready: Callable[[], bool], name: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    deadline_s = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if ready():
            return
        time.sleep(0.1)
    raise UserError(f"{name} is not ready: {tail(log)}")


def _free_block(count: int) -> int:
    """The first, even, of ``count`` ports in a row that nobody has."""
    starts = list(range(FIRST_PORT, LAST_PORT - count, 2))
    random.shuffle(starts)
    for first in starts:
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise UserError(f"There are no {count} free ports in a row from {FIRST_PORT} to {LAST_PORT}.")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True
