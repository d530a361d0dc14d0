"""Log lines: one a record, with the call they belong to."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from appliance.telemetry import CallLog, configure


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def flush() -> None:
    """Lines are written by a thread."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def test_a_calls_lines_carry_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker")
    CallLog("x", "0123456789abcdef").info("< call from %s", "+91")
    logging.getLogger("x").warning("! no call")
    flush()
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" worker 01234567 < call from +91") and first[:2] == "20"
    assert second.endswith(" worker - ! no call")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker", json=True)
    try:
        raise ValueError("bad")
    except ValueError:
        CallLog("x", "0123456789abcdef").exception("! it broke")
    logging.getLogger("x").debug("not at this level")
    flush()
    (line,) = capsys.readouterr().err.splitlines()
    row = json.loads(line)
    assert row["call"] == "0123456789abcdef" and row["message"] == "! it broke"
    assert (
        row["level"] == "ERROR" and row["process"] == "worker" and "ValueError" in row["exception"]
    )


UNREAD = """
import logging, os, sys, time
from appliance import telemetry
telemetry.QUEUE_LINES = 50
telemetry.configure("worker")
log = logging.getLogger("x")
longest = 0.0
for number in range(400):
    before = time.monotonic()
    log.info("= line %d %s", number, "y" * 1500)
    longest = max(longest, time.monotonic() - before)
    time.sleep(0.001)
os.write(1, b"%d\\n" % (longest * 1000))
sys.stdin.readline()
log.info("= the last")
"""


def unread() -> subprocess.Popen[bytes]:
    """A process that logs 600 KB to a stderr of which nothing is read; it says its longest wait."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", UNREAD], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + 30
    while not (said := process.stdout.read()):
        assert time.monotonic() < deadline, "the process waits for its log's reader"
        time.sleep(0.05)
    assert int(said) < 5000  # who waits for the reader waits until the test has read all this
    return process


def test_a_log_that_nobody_reads_holds_up_nobody_and_says_what_it_lost() -> None:
    with unread() as process:
        assert process.stderr is not None
        for _ in range(40):
            process.stderr.readline()
        time.sleep(0.3)
        _, rest = process.communicate(b"\n", timeout=30)
    lines = rest.decode().splitlines()
    assert lines[-1].endswith("= the last") and "log lines were lost" in lines[-2]
    assert process.returncode == 0


def test_a_process_whose_log_nobody_reads_comes_to_its_end() -> None:
    with unread() as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(10) == 0
        process.stderr.close()
