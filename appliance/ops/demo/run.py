"""``ivr demo``: the whole appliance, one real SIP call, everything it does made visible.

Starts ``ivr up`` on free ports with a data folder of its own, rings it as any telephone would (SIP,
G.711 over RTP), says recorded questions, and draws what came of it: words, answers, waveform, times.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop
from rich.console import Console

from appliance.audio import read_wav
from appliance.errors import UserError
from appliance.events import CallRecord, Turn
from appliance.media import token
from appliance.media.watcher import WATCH_ID
from appliance.ops.demo import script as demoscript
from appliance.ops.demo.ear import Exchange, exchanges, percentile
from appliance.ops.demo.script import Step
from appliance.ops.demo.view import View, stage_table
from appliance.ops.demo.waveform import draw
from appliance.ops.keeping.ports import free_ports
from appliance.settings import ENV_PREFIX, MEDIA_SECRET, Settings, load
from appliance.store.calls import read_call
from appliance.store.database import database_url, open_engine
from appliance.telephony.callercontrol import CallerControl

START_TIMEOUT_S = 120.0
STEP_TIMEOUT_S = 45.0
STOP_TIMEOUT_S = 30.0
ROWS_TIMEOUT_S = 10.0
DID = "1001"
TABLE_COLUMNS = 104
"""A narrower terminal wraps the table rather than losing its columns."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left of the demo's call."""

    call_id: str
    call: CallRecord
    turns: list[Turn]
    heard: list[Exchange]
    recording: Path
    ear: Path
    picture: Path

    @property
    def gaps_ms(self) -> list[int]:
        """The gaps at the caller's ear, turn by turn."""
        return [e.gap_ms for e in self.heard if e.gap_ms is not None]


def run(settings: Settings, *, as_json: bool) -> None:
    """Run the demo; prints its course (unless ``as_json``) and one JSON object as the last line."""
    console = Console(stderr=as_json, highlight=False)
    began = time.monotonic()
    evidence, right = uvloop.run(_demo(settings, console))
    if not as_json:
        Console(width=max(console.width, TABLE_COLUMNS)).print(stage_table(evidence.turns))
    result = _result(evidence, right)
    for name, value in (
        ("recording", f"{evidence.recording}  (left caller, right agent)"),
        ("at the ear", str(evidence.ear)),
        ("picture", str(evidence.picture)),
        ("took", f"{time.monotonic() - began:.0f} s"),
    ):
        console.print(f"{name:<11}{value}", soft_wrap=True)
    _show_path(evidence, console)
    print(orjson.dumps(result).decode(), flush=True)


def _show_path(evidence: Evidence, console: Console) -> None:
    """Say where the time goes that is not the pipeline's."""
    own = [turn.gap_ms for turn in evidence.turns if turn.gap_ms is not None]
    if len(own) == len(evidence.gaps_ms):
        path = percentile([a - b for a, b in zip(evidence.gaps_ms, own, strict=True)], 0.5)
        console.print(
            f"{'the path':<11}SIP, RTP and jitter buffers, there and back: {path} ms",
            soft_wrap=True,
        )


def _result(evidence: Evidence, right: float) -> dict[str, Any]:
    cuts = [e.barge_in_ms for e in evidence.heard if e.barge_in_ms is not None]
    return {
        "turns": len(evidence.turns),
        "words_right": round(right, 3),
        "gap_p50_ms": percentile(evidence.gaps_ms, 0.5),
        "gap_p95_ms": percentile(evidence.gaps_ms, 0.95),
        "barge_in_ms": max(cuts, default=None),
        "recording": str(evidence.recording),
        "call_id": evidence.call_id,
    }


async def _demo(settings: Settings, console: Console) -> tuple[Evidence, float]:
    folder = (settings.data_dir / "demo").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        return await _show(folder, console)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One demo at a time in a folder: another would change its settings in mid-call."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"A demo is running in {folder} already; wait for its end, "
                "or set data_dir to another folder."
            ) from None
        yield


async def _show(folder: Path, console: Console) -> tuple[Evidence, float]:
    demo = _settings_file(folder)
    console.print("[bold]Starting the appliance[/] (embedded defaults; a minute the first time) …")
    steps = await asyncio.to_thread(demoscript.record, folder / "questions")
    async with _appliance(folder / "ivr.toml", folder / "up.log"):
        async with aiohttp.ClientSession() as http:
            ear = folder / "ear.wav"
            call_id = await _ring(demo, http, steps, ear, View(console))
        call, turns = await _rows(demo, call_id)
    (caller, agent), rate_hz = read_wav(ear)
    heard = exchanges(caller, agent, rate_hz)
    picture = folder / "call.png"
    title = (
        f"Call {call_id[:8]}: what the caller said and heard; yellow: the gap before each answer"
    )
    await asyncio.to_thread(draw, picture, caller, agent, rate_hz, heard, title)
    recording = demo.recordings_dir / call.recording
    evidence = Evidence(call_id, call, turns, heard, recording, ear, picture)
    return evidence, demoscript.words_right(steps, turns)


def _settings_file(folder: Path) -> Settings:
    """Settings on free ports, so that the demo runs beside an appliance in use."""
    ports = iter(free_ports(9))
    text = f"""# Written by `ivr demo`.
data_dir = "{folder}"
[database]
embedded_port = {next(ports)}
[worker]
port = {(worker := next(ports))}
[engines]
stt.run = [
    {{ engine = "pocketsphinx", port = {next(ports)} }},
    {{ engine = "pocketsphinx", port = {next(ports)} }},
]
tts.run = [{{ engine = "flite", port = {next(ports)} }}]
turn.run = [{{ engine = "smart-turn", port = {next(ports)} }}]
embed.run = [{{ engine = "minilm", port = {next(ports)} }}]
[sip]
port = {next(ports)}
processes = 1
worker_urls = ["ws://127.0.0.1:{worker}"]
[jobs]
enabled = false
[admin]
enabled = false
"""
    file = folder / "ivr.toml"
    file.write_text(text)
    return load(file, {})


@contextlib.asynccontextmanager
async def _appliance(file: Path, log: Path) -> AsyncIterator[None]:
    """``ivr up`` for the length of the block."""
    command = [sys.executable, "-m", "appliance", "--settings", str(file), "up", "--json"]
    # The file says it all: a variable of somebody's own appliance must not change the demo.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=out, env=environment
        )
    try:
        await _until_ready(process, log)
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        if process.returncode is None:
            process.kill()


async def _until_ready(process: asyncio.subprocess.Process, log: Path) -> None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := await process.stdout.readline():
                if line.startswith(b"{") and orjson.loads(line).get("ready"):
                    return
    except TimeoutError:
        pass
    raise UserError(f"The appliance did not start. The end of its log, {log}:\n  {_tail(log)}")


def _tail(log: Path) -> str:
    return "\n  ".join(log.read_text(errors="replace").splitlines()[-8:])


async def _ring(
    settings: Settings, http: aiohttp.ClientSession, steps: list[Step], ear: Path, view: View
) -> str:
    """Place the call and lead it through ``steps``; returns its id."""
    key = token.make(settings.secret(MEDIA_SECRET), WATCH_ID, time.time())
    url = f"ws://127.0.0.1:{settings.worker.port}/watch"
    async with http.ws_connect(url, headers={"Authorization": f"Bearer {key}"}) as watch:
        to = f"sip:{DID}@{settings.sip.host}:{settings.sip.port}"
        async with await CallerControl.ring(to, record=ear) as caller:
            events = _Events(watch, view)
            follower = asyncio.create_task(events.follow())
            try:
                await caller.wait_for("answered", STEP_TIMEOUT_S)
                for step in steps:
                    await _do(step, caller, events)
                await caller.wait_for("ended", STEP_TIMEOUT_S)
                await events.wait_for("end", STEP_TIMEOUT_S)
            finally:
                follower.cancel()
            return events.call_id


class _Events:
    """The worker's live events: shown as they come, and waited for."""

    def __init__(self, watch: aiohttp.ClientWebSocketResponse, view: View) -> None:
        self._watch = watch
        self._view = view
        self._seen: asyncio.Queue[str] = asyncio.Queue()  # one short call's events
        self.call_id = ""

    async def follow(self) -> None:
        async for message in self._watch:
            event = orjson.loads(message.data)
            self.call_id = self.call_id or event["call_id"]
            self._view.show(event)
            cut_off = event["event"] == "turn_over" and event["turn"]["barged_in"]
            self._seen.put_nowait("cut_off" if cut_off else event["event"])

    async def wait_for(self, name: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while await self._seen.get() != name:
                    pass
        except TimeoutError:
            raise UserError(f"The demo's call stopped: {name!r} never happened.") from None


async def _do(step: Step, caller: CallerControl, events: _Events) -> None:
    await events.wait_for(step.after, STEP_TIMEOUT_S)
    await asyncio.sleep(step.pause_s)
    if step.file is not None:
        await caller.play(step.file)
    else:
        await caller.press(step.keys)


async def _rows(settings: Settings, call_id: str) -> tuple[CallRecord, list[Turn]]:
    """The call's rows in Postgres, once the journal has written the last of them."""
    engine = open_engine(database_url(settings))
    try:
        async with asyncio.timeout(ROWS_TIMEOUT_S):
            while True:
                call, turns = await read_call(engine, call_id)
                if call.ended_at is not None and len(turns) == call.turns:
                    return call, turns
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise UserError("The call's rows did not reach Postgres in time.") from None
    finally:
        await engine.dispose()
