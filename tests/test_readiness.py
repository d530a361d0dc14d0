"""readiness.py against real datagram sockets, named by path and by abstract name."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliance import readiness
from appliance.ops.keeping.ports import free_ports

WAIT_S = 20.0
IVR = (sys.executable, "-m", "appliance")


@contextmanager
def _manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.settimeout(WAIT_S)
        yield server


@pytest.fixture(params=["path", "abstract"])
def listening(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, socket.socket]]:
    """What $NOTIFY_SOCKET says, and the socket behind it."""
    name = f"ivr-test-{os.getpid()}-{time.monotonic_ns()}"
    path = str(tmp_path / "notify")
    shown, bound = (path, path) if request.param == "path" else (f"@{name}", f"\0{name}")
    with _manager(bound) as server:
        yield shown, server


def _started(code: str, shown: str, usec: int = 0) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "NOTIFY_SOCKET": shown}
    if usec:
        environ["WATCHDOG_USEC"] = str(usec)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environ,
        cwd=Path(__file__).parent.parent,
        stderr=subprocess.PIPE,
    )


SPOKEN = """
from appliance import readiness
readiness.ready("serving\\n  3 lines")
readiness.status("busy")
readiness.stopping()
"""


def test_a_process_says_what_it_does(listening: tuple[str, socket.socket]) -> None:
    shown, server = listening
    with _started(SPOKEN, shown) as process:
        said = [server.recv(4096) for _ in range(3)]
        assert process.wait(WAIT_S) == 0
    assert said == [b"READY=1\nSTATUS=serving 3 lines", b"STATUS=busy", b"STOPPING=1"]


CHILDREN = """
import os, subprocess, sys
from appliance import readiness
readiness.take()
subprocess.run([sys.executable, "-c", "from appliance import readiness as r; r.ready('child')"])
if os.fork() == 0:
    readiness.ready("fork")
    os._exit(0)
os.wait()
readiness.ready("parent")
"""


def test_children_have_no_say(listening: tuple[str, socket.socket]) -> None:
    shown, server = listening
    with _started(CHILDREN, shown) as process:
        assert server.recv(4096) == b"READY=1\nSTATUS=parent"
        assert process.wait(WAIT_S) == 0


BEATING = """
import asyncio, signal, time
from appliance import readiness

async def main():
    stuck = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stuck.set)
    readiness.ready()
    beating = asyncio.create_task(readiness.watchdog())
    await stuck.wait()
    readiness.status("stuck")
    time.sleep(60)

asyncio.run(main())
"""


def test_a_loop_that_stands_still_beats_no_more(listening: tuple[str, socket.socket]) -> None:
    """And the watchdog's SIGABRT has it say where it stood."""
    shown, server = listening
    began, beats = time.monotonic(), 3
    with _started(BEATING, shown, usec=100_000) as process:
        assert server.recv(4096) == b"READY=1"
        assert [server.recv(4096) for _ in range(beats)] == [b"WATCHDOG=1"] * beats
        process.send_signal(signal.SIGUSR1)
        while (last := server.recv(4096)) == b"WATCHDOG=1":
            beats += 1  # it has not seen the signal yet
        took_s = time.monotonic() - began
        assert last == b"STATUS=stuck"
        server.settimeout(1.0)
        with pytest.raises(TimeoutError):
            server.recv(4096)
        process.send_signal(signal.SIGABRT)
        _, said = process.communicate(timeout=WAIT_S)
    assert beats <= took_s / 0.05 + 1  # every 50 ms
    assert b"in main" in said


def test_without_a_manager_nothing_happens() -> None:
    """As in a terminal: no task stays, nothing is sent."""
    code = f"import asyncio\n{SPOKEN}\nreadiness.beat()\nasyncio.run(readiness.watchdog())"
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("NOTIFY_", "WATCHDOG_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, timeout=WAIT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("environ", "beats"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_who_is_watched(environ: dict[str, str], beats: float | None) -> None:
    given = {"NOTIFY_SOCKET": "/run/x", **environ, "HOME": "/"}
    manager = readiness.read(given)
    assert manager is not None
    assert manager.beat_every_s == beats
    assert given == {"HOME": "/"}


def test_other_kinds_of_address_are_left_alone() -> None:
    assert readiness.read({"NOTIFY_SOCKET": "vsock:2:9999"}) is None


def test_a_manager_that_does_not_read_costs_no_time(tmp_path: Path) -> None:
    """Its queue is full: the beat is lost, the loop goes on."""
    path = str(tmp_path / "notify")
    with _manager(path):
        manager = readiness.Manager(path, os.getpid(), 1.0)
        began = time.monotonic()
        sent = [manager.tell("WATCHDOG=1", wait=False) for _ in range(2000)]
        assert time.monotonic() - began < 10  # one that waited would wait for ever
        assert sent[0] is True
        assert sent[-1] is False
    assert manager.tell("READY=1", wait=True) is False  # it has gone


async def test_watchdog_is_quiet_when_nobody_watches() -> None:
    assert readiness.beat_every_s() is None
    await asyncio.wait_for(readiness.watchdog(), 10.0)


def test_switch_needs_no_asyncio() -> None:
    """``ivr switch`` runs on gevent."""
    code = "import sys; import appliance.readiness; print('asyncio' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=WAIT_S, check=True
    )
    assert done.stdout == b"False\n"


PROCESSES = ("postgres", "redis", "turn --port 0", "sip", "switch", "jobs", "admin")


@pytest.mark.server
def test_every_process_says_when_it_works_and_that_it_lives(tmp_path: Path, open_tmp: Path) -> None:
    """All at once, on ports of their own, and with no FreeSWITCH; SIGTERM ends each in order. A worker
    waits for engines: tests/test_units.py has it."""
    file = _settings(tmp_path, open_tmp / "alone")
    with ExitStack() as stack:
        running = [stack.enter_context(_Watched(file, tmp_path, words)) for words in PROCESSES]
        for each in running:
            each.hears("READY=1")
            each.hears("WATCHDOG=1")
        for each in reversed(running):
            each.process.send_signal(signal.SIGTERM)
            each.hears("STOPPING=1")
            assert each.process.wait(WAIT_S) in (0, -signal.SIGTERM), each.said()  # uvicorn's way


class _Watched:
    """One process of ours, and the socket that it reports to."""

    def __init__(self, file: Path, folder: Path, words: str) -> None:
        self._words = words
        name = words.split()[0]
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._server.bind(str(folder / f"{name}.notify"))
        self._server.settimeout(2 * WAIT_S)
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [*IVR, "--settings", str(file), *words.split()],
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": str(folder / f"{name}.notify"),
                    "WATCHDOG_USEC": "1000000",
                },
                stdout=out,
                stderr=out,
            )

    def hears(self, what: str) -> None:
        try:
            while what not in self._server.recv(4096).decode().split("\n"):
                pass
        except TimeoutError:
            pytest.fail(f"ivr {self._words} never said {what}:\n{self.said()}")

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._server.close()


def _settings(folder: Path, shared: Path) -> Path:
    """An appliance of its own. As root its Postgres runs as somebody else, in ``shared``."""
    ports = iter(free_ports(7))
    file = folder / "ivr.toml"
    file.write_text(
        f"""
data_dir = "{folder}/data"
[database]
embedded_port = {next(ports)}
embedded_dir = "{shared}"
[redis]
embedded_port = {next(ports)}
[sip]
port = {next(ports)}
rtp_port = {next(ports)}
processes = 1
[switch]
api_port = {next(ports)}
esl_port = {next(ports)}
[admin]
port = {next(ports)}
"""
    )
    return file
