"""The guard over a server that has processes of its own: whatever ends, nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.ops.keeping import guard
from appliance.ops.keeping.ports import free_port
from tests.process_kit import children_of

FAMILY = """
import os, signal, sys, time
out = open(sys.argv[1], "a")
def note(name):
    out.write(f"{name} {os.getpid()}\\n"); out.flush()
if os.fork() == 0:
    os.setsid()  # a worker that has left the group is found all the same
    if os.fork() == 0:
        note("worker"); time.sleep(60)
    note("engine"); time.sleep(60)
def end(number, frame):
    note("told"); os._exit(3)
signal.signal(signal.SIGTERM, end)
note("server"); time.sleep(60)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    """A guard over a server with a child and a grandchild, and the pids of all three."""
    told = tmp_path / "told"
    program = [sys.executable, "-I", "-S", guard.__file__]
    process = subprocess.Popen([*program, sys.executable, "-c", FAMILY, told])
    until(lambda: told.exists() and len(told.read_text().splitlines()) == 3)
    pids = {name: int(pid) for name, pid in map(str.split, told.read_text().splitlines())}
    yield process, pids
    for pid in (process.pid, *pids.values()):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def until(condition: object, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


Family = tuple[subprocess.Popen[bytes], dict[str, int]]


def test_a_server_killed_leaves_nobody(family: Family) -> None:
    process, pids = family
    os.kill(pids["server"], signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL
    assert not [name for name, pid in pids.items() if alive(pid)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_server_whose_status_is_ours(
    family: Family, number: signal.Signals, tmp_path: Path
) -> None:
    process, pids = family
    process.send_signal(number)
    assert process.wait(10) == 3
    assert (tmp_path / "told").read_text().count("told") == 1
    assert not [name for name, pid in pids.items() if alive(pid)]


def test_a_guard_killed_lets_the_server_end_in_order(family: Family, tmp_path: Path) -> None:
    process, pids = family
    process.kill()
    until(lambda: not alive(pids["server"]))
    assert "told" in (tmp_path / "told").read_text()


def test_a_command_that_is_not_there() -> None:
    program = [sys.executable, "-I", "-S", guard.__file__, "/nowhere/vllm"]
    done = subprocess.run(program, capture_output=True, check=False, timeout=10)
    assert done.returncode == 127 and b"No such file" in done.stderr


SERVER = """
import os, socket, sys, threading
names = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "GUARD_HEALTH"} & os.environ.keys()
assert not names, names
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    asked, _ = server.accept()
    with asked:
        asked.recv(1000)
        asked.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def test_it_says_that_the_server_lives_while_it_answers(
    manager: socket.socket, tmp_path: Path
) -> None:
    port = free_port()
    watched = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000",
        "GUARD_HEALTH": f"127.0.0.1:{port}",
    }  # fmt: skip
    program = [sys.executable, "-I", "-S", guard.__file__, sys.executable, "-c", SERVER, str(port)]
    process = subprocess.Popen(program, env={**os.environ, **watched})
    try:
        assert manager.recv(200) == b"READY=1\nSTATUS=the model loads"
        while (said := manager.recv(200)) == b"WATCHDOG=1":
            pass  # it loads
        assert said == b"STATUS=the model is loaded"
        for _ in range(3):
            assert manager.recv(200) == b"WATCHDOG=1"
        (server,) = children_of(process.pid)
        os.kill(server, signal.SIGSTOP)
        manager.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(4):  # what was on its way
                manager.recv(200)
        os.kill(server, signal.SIGCONT)
        manager.settimeout(8)
        assert manager.recv(200) == b"WATCHDOG=1"
        process.terminate()
        while (said := manager.recv(200)) != b"STOPPING=1":
            assert said == b"WATCHDOG=1"
        assert process.wait(5) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
