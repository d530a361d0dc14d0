"""The bench's callers measure what an agent of known behaviour does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from appliance.engines.emulated_script import Script
from appliance.rehearsal.conversation import Conversation, Line, State, lines_of, sound_edges
from appliance.rehearsal.lateness import lateness
from bench.report import Figures, Load, figures, plot, table
from bench.ws_caller import Plan, rehearse_ws
from tests.pace_kit import Late, on_time

FRAME_BYTES = 320
SILENCE = bytes(FRAME_BYTES)
SOUND = np.full(160, 4000, "<i2").tobytes()
SECRET = "a secret"


# ---------------------------------------------------------------- conversation, in virtual time


class Agent:
    """Replies ``gap_frames`` after the caller's last frame, for ``reply_frames``."""

    def __init__(self, gap_frames: int, reply_frames: int, stop_frames: int) -> None:
        self.gap_frames, self.reply_frames, self.stop_frames = gap_frames, reply_frames, stop_frames
        self.plays_from, self.plays_to, self.quiet, self.spoken = 10, 30, 0, False

    def frame(self, n: int, caller: bytes) -> bytes:
        if caller != SILENCE:
            if self.plays_from <= n < self.plays_to:
                self.plays_to = min(self.plays_to, n + self.stop_frames)
            self.quiet, self.spoken = 0, True
        elif self.spoken:
            self.quiet += 1
            if self.quiet == self.gap_frames:
                self.plays_from, self.plays_to, self.spoken = n, n + self.reply_frames, False
        return SOUND if self.plays_from <= n < self.plays_to else SILENCE


def converse(lines: list[Line], agent: Agent, seconds: float) -> Conversation:
    conversation = Conversation(lines, FRAME_BYTES, 0)
    conversation.answered(100.0)
    for n in range(int(seconds * 50)):
        now_s = 100.0 + n * 0.02
        conversation.heard(agent.frame(n, conversation.next_frame(now_s)), now_s)
    return conversation


def test_gap_is_from_the_last_sample_to_the_first_sound() -> None:
    lines = [Line("a", (SOUND,) * 50), Line("b", (SOUND,) * 30)]
    conversation = converse(lines, Agent(gap_frames=15, reply_frames=60, stop_frames=99), 30)
    assert len(conversation.exchanges) >= 5
    assert [e.line for e in conversation.exchanges[:3]] == ["a", "b", "a"]
    for exchange in conversation.exchanges:
        assert exchange.gap_ms == pytest.approx(300, abs=0.1)
        assert exchange.barge_in_ms is None
        assert not exchange.talked_over
    assert conversation.holes == 0


def test_barge_in_is_from_first_speech_to_last_sound() -> None:
    lines = [Line("a", (SOUND,) * 50), Line("b", (SOUND,) * 50, barge_in=True)]
    conversation = converse(lines, Agent(gap_frames=15, reply_frames=300, stop_frames=6), 60)
    measured = [e.barge_in_ms for e in conversation.exchanges if e.line == "b"]
    assert len(measured) >= 3
    # 6 more frames from the one that came with the caller's first, whose speech began 20 ms before
    assert measured == pytest.approx([140.0] * len(measured), abs=0.1)
    assert all(e.gap_ms == pytest.approx(300, abs=0.1) for e in conversation.exchanges)


def test_an_agent_that_never_stops_is_an_unanswered_barge_in() -> None:
    lines = [Line("a", (SOUND,) * 50), Line("b", (SOUND,) * 50, barge_in=True)]
    conversation = converse(lines, Agent(gap_frames=15, reply_frames=3000, stop_frames=9999), 30)
    second = conversation.exchanges[1]
    assert second.gap_ms is None
    assert second.barge_in_ms is not None
    assert second.barge_in_ms > 5000


def test_a_silent_agent_is_unanswered_and_an_eager_one_talks_over() -> None:
    lines = [Line("a", (SOUND,) * 20 + (SILENCE,) * 30 + (SOUND,) * 20)]
    silent = converse(lines, Agent(gap_frames=9999, reply_frames=1, stop_frames=1), 25)
    eager = converse(lines, Agent(gap_frames=20, reply_frames=40, stop_frames=1), 25)
    assert [e.gap_ms for e in silent.exchanges] == [None] * len(silent.exchanges)
    assert len(silent.exchanges) >= 2
    assert all(e.talked_over for e in eager.exchanges)


def test_a_silence_inside_a_reply_is_a_hole() -> None:
    conversation = Conversation([Line("a", (SOUND,))], FRAME_BYTES, 0)
    conversation.answered(0.0)
    for n, frame in enumerate([SOUND] * 20 + [SILENCE] * 2 + [SOUND] * 20 + [SILENCE] * 100):
        conversation.heard(frame, n * 0.02)
        conversation.next_frame(n * 0.02)
    assert conversation.holes == 1
    assert conversation.state in (State.THINKING, State.AWAITING)


def test_sound_edges_and_lines() -> None:
    samples = np.zeros(160, "<i2")
    samples[40], samples[90] = 300, -300
    assert sound_edges(samples.tobytes()) == (40, 91)
    assert sound_edges(SILENCE) is None
    assert sound_edges(np.full(160, 8, "<i2").tobytes()) is None
    (line,) = lines_of({"x": SOUND + SOUND[:100]}, FRAME_BYTES)
    assert b"".join(line.frames) == bytes(220) + SOUND + SOUND[:100]


# ------------------------------------------------------------------------------------- lateness


def test_lateness_counts_stalls_and_missed_frames_apart() -> None:
    arrivals_s = [5 + n * 0.02 for n in range(500)]
    steady = lateness(arrivals_s)
    assert (steady.late_frames, steady.missed) == (0, 0)
    assert steady.late_ms == pytest.approx(np.zeros(500), abs=1e-6)
    stall = arrivals_s.copy()
    for n in (200, 201, 202):
        stall[n] = stall[203]  # 60, 40 and 20 ms late, then in time again
    assert (lateness(stall).late_frames, lateness(stall).missed) == (2, 0)
    skipped = arrivals_s[:100] + arrivals_s[101:300] + arrivals_s[302:]
    judged = lateness(skipped)
    assert (judged.late_frames, judged.missed) == (0, 3)
    assert lateness([1.0]).late_frames == 0


# ------------------------------------------------------------- the websocket caller, real sockets

REPLY_MS = 300
STOP_MS = 100


class ScriptedAgent(WSListener):  # type: ignore[misc]
    """A worker of known behaviour: right token only, greets, replies 300 ms after speech."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Task[None]] = []
        self.offer: dict[str, object] = {}
        self.hung_up = False
        self.frames = 0
        self._spoke_s = 0.0
        self._silent_s = 0.0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.BINARY:
            self._frame(frame.get_payload_as_bytes())
        elif not self.offer:
            self.offer = orjson.loads(frame.get_payload_as_bytes())
            transport.send(WSMsgType.TEXT, b'{"type":"answer"}')
            self.calls.append(asyncio.get_running_loop().create_task(self._play()))
        else:
            message = orjson.loads(frame.get_payload_as_bytes())
            self.hung_up = message == {"type": "hangup", "cause": "NORMAL_CLEARING"}

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for call in self.calls:
            call.cancel()

    def _frame(self, pcm: bytes) -> None:
        assert len(pcm) == FRAME_BYTES
        self.frames += 1
        if sound_edges(pcm):
            now_s = time.monotonic()
            if now_s - self._spoke_s > 0.25:
                self._silent_s = now_s + STOP_MS / 1000
            self._spoke_s = now_s

    async def _play(self) -> None:
        host, port = str(self.offer["playback"]).split(":")
        begin_s = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for n in range(100_000):
                now_s = begin_s + n * 0.02
                await asyncio.sleep(max(0.0, now_s - time.monotonic()))
                greeting = n < 20
                since_ms = (time.monotonic() - self._spoke_s) * 1000
                reply = REPLY_MS - 10 <= since_ms < REPLY_MS + 2000
                dying = since_ms < REPLY_MS and now_s < self._silent_s and n > 100
                out.sendto(SOUND if greeting or reply or dying else SILENCE, (host, int(port)))


@pytest.fixture
async def worker() -> AsyncIterator[tuple[str, list[ScriptedAgent]]]:
    agents: list[ScriptedAgent] = []

    def accept(request: WSUpgradeRequest) -> WSListener | None:
        bearer = request.headers["Authorization"].removeprefix("Bearer ")
        body, _, mac = bearer.rpartition(".")
        wanted = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
        if mac != wanted or request.path != b"/call":
            return None
        agents.append(ScriptedAgent())
        return agents[-1]

    server = await ws_create_server(accept, "127.0.0.1", 0)
    yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", agents
    server.close()
    await server.wait_closed()


@pytest.mark.server
async def test_ws_callers_measure_a_known_agent(
    worker: tuple[str, list[ScriptedAgent]], script: Script, tmp_path: Path
) -> None:
    url, agents = worker

    async def measured() -> Figures:
        agents.clear()
        plan = Plan(url, SECRET, script, calls=3, seconds=9, barge_ins=False)
        result = figures(await rehearse_ws(plan), Load(cores=0.03, rss_mb=60), idle_rss_mb=30)
        assert result.first_error == ""
        assert result.turns >= 3
        assert result.unanswered == 0
        return result

    results: list[Figures] = []

    async def late() -> Late:
        results.append(await measured())
        gap_ms, frame_ms = results[-1].gap_p50_ms, results[-1].frame_late_p95_ms
        assert gap_ms is not None and frame_ms is not None
        return {"gap": gap_ms - REPLY_MS, "frames": frame_ms + 15}

    await on_time(late, early_ms=30, late_ms=30)
    result = results[-1]
    assert result.frames >= 3 * 8 * 50
    assert (result.cores_per_call, result.mb_per_call) == (0.01, 10.0)
    assert all(agent.hung_up and agent.frames >= 8 * 50 for agent in agents)
    assert {agent.offer["did"] for agent in agents} == {"1001"}
    assert "gap p50" in table([result])
    plot([result], [], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


@pytest.mark.server
async def test_a_refused_call_is_an_error_of_that_call(
    worker: tuple[str, list[ScriptedAgent]], script: Script
) -> None:
    url, agents = worker
    rehearsal = await rehearse_ws(Plan(url, "wrong", script, calls=2, seconds=0.2))
    result = figures(rehearsal)
    assert (result.errors, result.turns, agents) == (2, 0, [])
    assert "404" in result.first_error
