"""The guard over a server that has processes of its own: whatever ends, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.ops.keeping import guard

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
