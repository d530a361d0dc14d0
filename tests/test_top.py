"""`ivr top`: what it draws, what keys do, what events of calls make of it; and in a real terminal."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from appliance.ops.keeping.ports import free_port
from appliance.ops.top.follow import MOST_CALLS, Follower
from appliance.ops.top.keys import pressed
from appliance.ops.top.machine import MachineLook
from appliance.ops.top.state import (
    AlarmLine,
    CallLine,
    Doing,
    Machine,
    PoolLine,
    QueueLine,
    Snapshot,
    Sort,
    StageLine,
    TrunkLine,
    WorkerLine,
    ordered,
)
from appliance.ops.top.view import Asked, draw
from appliance.settings import ENV_PREFIX

WORKER = "ws://127.0.0.1:7000"


def a_call(number: int, **fields: object) -> CallLine:
    call = CallLine(f"{number:08d}-x", "Sunrise Broadband", "in", "en", WORKER, Doing.SPEAKING,
                    60.0 + number, number % 9, (310, 420, 1500))  # fmt: skip
    return dataclasses.replace(call, **fields)  # type: ignore[arg-type]


BUSY = Snapshot(
    at="12:00:00",
    calls=tuple(a_call(number) for number in range(60)),
    workers=(
        WorkerLine(WORKER, "ok", 45, 50, "", 0.3, 0.75, 0.01, 0.005, 12, 300 << 20),
        WorkerLine("ws://192.168.100.100:17001", "away"),
    ),
    stages=tuple(
        StageLine(name, 1, 2, 45, 50, 0.3)
        for name in ("stt", "tts", "turn", "embed", "rerank", "llm")
    ),
    pools=(PoolLine("stt pocketsphinx", 2, 4, ("warm", "lost")),),
    trunks=(TrunkLine("acme-mumbai-primary", False, True, "FAIL_WAIT", 3, 30),),
    queues=(QueueLine("journal", 9000, 10000),),
    alarms=tuple(AlarmLine("critical", f"Trunk {n} is down. {'x' * 100}", "") for n in range(6)),
    machine=Machine(0.95, 17.2, 2, 5 << 30, 24 << 30, 1 << 30, 100 << 30),
    switch="freeswitch",
)


def drawn(seen: Snapshot, asked: Asked, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(draw(seen, asked, width, height))
    return capture.get().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 40), (200, 60)])
@pytest.mark.parametrize("seen", [BUSY, Snapshot()], ids=["busy", "nothing"])
def test_it_fits(seen: Snapshot, width: int, height: int) -> None:
    lines = drawn(seen, Asked(), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert "q quit" in lines[-1]


def test_what_matters_is_seen_in_80_by_24() -> None:
    text = "\n".join(drawn(BUSY, Asked(), 80, 24))
    for part in ("calls 45/50", "Trunk 0 is down", "and 3 more", "stt", "45/50", "away", "750",
                 "acme", "00000059", "1500", "journal", "more"):  # fmt: skip
        assert part in text, text


def test_calls_are_sorted_and_filtered() -> None:
    calls = (a_call(1), a_call(2, gaps_ms=(3000,)), a_call(3, agent="Other", language="hi"))
    assert [c.call_id[7] for c in ordered(calls, Sort.LONGEST)] == ["3", "2", "1"]
    assert ordered(calls, Sort.SLOWEST)[0].call_id[7] == "2"
    assert ordered(calls, Sort.AGENT)[0].agent == "Other"
    assert len(ordered(calls, Sort.WORKER)) == 3
    for wanted in ("other", "hi", "00000003", "OTHER"):
        assert [c.call_id[7] for c in ordered(calls, Sort.LONGEST, wanted)] == ["3"]


def test_keys() -> None:
    asked: Asked | None = Asked()
    for key in "s":
        assert asked is not None
        asked = pressed(key, asked)
    assert asked == Asked(Sort.SLOWEST)
    for key in "fquxz\x7f":
        assert asked is not None
        asked = pressed(key, asked)  # q is a letter while the filter is typed
    assert asked == Asked(Sort.SLOWEST, "qux", typing=True)
    assert asked is not None
    asked = pressed("\n", asked)
    assert asked == Asked(Sort.SLOWEST, "qux")
    assert asked is not None
    assert pressed("\x1b", asked) == Asked(Sort.SLOWEST)
    assert pressed("q", asked) is None
    assert pressed("\x03", Asked(typing=True)) is None


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=60))
def test_any_keys_leave_something_that_can_be_drawn(text: str) -> None:
    asked = Asked()
    for key in text:
        asked = pressed(key, asked) or Asked()
    assert len(asked.wanted) <= 32
    assert len(drawn(Snapshot(calls=(a_call(1),)), asked, 80, 24)) <= 24


# --- events of calls ------------------------------------------------------------------------------

BEGAN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def told(*events: dict[str, object]) -> list[CallLine]:
    follower = Follower(WORKER, "secret")
    begin: dict[str, object] = {
        "call_id": "c1", "event": "call", "agent": "Sunrise", "direction": "in", "language": "en",
        "started_at": BEGAN.isoformat(), "caller": "+919812345678",
    }  # fmt: skip
    for event in (begin, *({"call_id": "c1"} | event for event in events)):
        follower.take(event)
    return follower.calls(BEGAN + timedelta(seconds=90))


def test_a_call_is_followed_through_its_turns() -> None:
    (call,) = told()
    assert (call.doing, call.seconds, call.turns) == (Doing.BEGINNING, 90, 0)
    assert "98123" not in Snapshot(calls=(call,)).json()
    (call,) = told({"event": "turn", "said": "hello"})
    assert call.doing is Doing.THINKING
    (call,) = told({"event": "audible", "gap_ms": 430})
    assert call.doing is Doing.SPEAKING and call.gaps_ms == (430,)
    turn = {"event": "audible", "gap_ms": 400}, {"event": "turn_over", "turn": {}}
    (call,) = told(*turn * 7)
    assert call.doing is Doing.LISTENING and call.turns == 7 and call.gaps_ms == (400,) * 5
    (call,) = told({"event": "hold", "on": True}, {"event": "turn"})
    assert call.doing is Doing.HELD
    assert told({"event": "end"}) == []
    assert told({"event": "calls", "call_ids": []}) == []
    assert len(told({"event": "calls", "call_ids": ["c1", "c2"]})) == 1


def test_strange_events_change_nothing() -> None:
    strange = (
        {"event": "audible", "gap_ms": None},
        {"event": "audible", "gap_ms": "x"},
        {"event": 7},
    )
    (call,) = told(*strange)
    assert call.gaps_ms == ()


def test_calls_without_end_have_a_bound() -> None:
    follower = Follower(WORKER, "secret")
    for number in range(MOST_CALLS + 50):
        follower.take({"call_id": str(number), "event": "call", "started_at": "no time"})
    assert len(follower.calls()) == MOST_CALLS


def test_the_machine_is_looked_at() -> None:
    look = MachineLook()
    look.look(1, 2)
    until_s = time.monotonic() + 0.2
    while time.monotonic() < until_s:
        pass
    found = look.look(1, 2)
    assert 0 < found.cpu <= 1 and found.cores >= 1
    assert 0 < found.memory_used < found.memory


# --- as a command ---------------------------------------------------------------------------------


def _environment(folder: Path) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
    return own | {
        "IVR_DATA_DIR": str(folder / "var"),
        "IVR_DATABASE__URL": f"postgresql://a:b@127.0.0.1:{free_port()}/c",
        "IVR_WORKER__PORT": str(free_port()),
        "TERM": "xterm-256color",
    }


@pytest.mark.server
def test_with_nothing_running_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "appliance", "top", "--once", "--json"]
    said = subprocess.run(
        command, env=_environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr
    found = orjson.loads(said.stdout.splitlines()[-1])
    assert found["calls"] == [] and found["workers"][0]["status"] == "away"
    assert "No worker answers" in found["alarms"][0]["what"]
    assert found["machine"]["memory"] > 0


@pytest.mark.server
def test_in_a_terminal_it_is_drawn_until_q(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(child)
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "top"],
        env=_environment(tmp_path), stdin=child, stdout=child, stderr=child,
    )  # fmt: skip
    try:
        seen = _read_until(parent, b"sort (longest)")
        assert b"No worker answers" in seen
        os.write(parent, b"s")
        _read_until(parent, b"sort (slowest)")
        os.write(parent, b"q")
        _read_until(parent, b"\x1b[?1049l")  # the screen from before is back
        assert process.wait(20) == 0
        assert termios.tcgetattr(child)[3] == before[3]  # and the keys are echoed again
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(parent)
        os.close(child)


def _read_until(parent: int, wanted: bytes, timeout_s: float = 40.0) -> bytes:
    found, until_s = b"", time.monotonic() + timeout_s
    while wanted not in found:
        assert time.monotonic() < until_s, found[-2000:]
        if select.select([parent], [], [], 0.2)[0]:
            found += os.read(parent, 65536)
    return found
