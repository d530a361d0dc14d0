"""Faults by killing, freezing and ending real processes under real SIP calls.

The engines are emulated ones, so that the moments are known; everything else is what runs on site.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from appliance.audio import read_wav, sound_spans
from appliance.engines.emulated_tts import WORD_MS
from appliance.events import Agent
from appliance.media import token
from appliance.rehearsal import script as bench_script
from appliance.seldom import QUIET_S
from appliance.store.calls import read_past
from appliance.store.database import open_engine
from appliance.store.models import ANY_DID
from appliance.store.rows import LOST_CAUSE
from tests.appliance_kit import SIP_PROCESSES, Site, emulated_engine, options_from, ringing
from tests.metronome import on_a_steady_machine

pytestmark = [
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.asyncio(loop_scope="module"),
]

MAX_CALLS = 3
HOLD_AFTER_MS, ANSWER_DEADLINE_MS = 700, 2000
RATE_HZ, FRAME_BYTES = 16000, 640
"""Of the recordings that callers speak with."""
SHORT_ANSWERS = {
    "hours": "On Saturday we are open from nine until two.",
    "router": "Please switch it off, and then on again.",
    "late": "Yes, the late fee is fifty rupees.",
    "address": "Our office is on Station Road, near the post office.",
    "cancel": "You can cancel with thirty days of notice.",
}
"""To the questions of bench/script.py; the others keep their long answers."""


def quick(sample: Agent) -> dict[str, Agent]:
    """The sample, with short phrases and short patience, on every number."""
    agent = dataclasses.replace(
        sample,
        id="quick",
        greeting="Hello.",
        goodbye="Goodbye.",
        hold_phrase="One moment.",
        apology="I am sorry, please ask me again.",
        unknown_answer="I do not know that.",
        silence_prompts=("Hello?",),
        hold_after_ms=HOLD_AFTER_MS,
        answer_deadline_ms=ANSWER_DEADLINE_MS,
    )
    return {ANY_DID: agent}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What callers say, and what the language model answers."""
    path = bench_script.make(tmp_path_factory.mktemp("script"))
    whole = orjson.loads(path.read_bytes())
    for utterance in whole["utterances"]:
        utterance["answer"] = SHORT_ANSWERS.get(utterance["id"], utterance["answer"])
    path.write_bytes(orjson.dumps(whole))
    return path


@pytest.fixture(scope="module")
def files(script: Path) -> dict[str, Path]:
    return {file.stem: file for file in script.parent.glob("*.wav")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(open_tmp: Path, script: Path) -> AsyncIterator[Site]:
    servers = {"stt": 2, "tts": 2, "llm": 1, "turn": 1, "embed": 1}
    environment = {
        "IVR_ENGINES__LLM__MODEL": "emulated",
        "IVR_WORKER__MAX_CALLS": str(MAX_CALLS),
        "IVR_SIP__ALLOW": '["127.0.0.1/32"]',
    }
    engines = emulated_engine(script)
    site = Site(open_tmp / "faults", open_tmp / "embedded", servers, engines, environment)
    try:
        await asyncio.to_thread(site.open, quick)
        yield site
    finally:
        await asyncio.to_thread(site.close)


@pytest_asyncio.fixture(loop_scope="module")
async def site(place: Site) -> AsyncIterator[Site]:
    """The appliance, whole again after each test."""
    yield place
    await asyncio.to_thread(place.heal)


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Poll until ``condition`` holds; what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.01)
    return value


def busy(site: Site, *names: str) -> str:
    """The first of these servers that works on something now, or an empty string."""
    return next((name for name in names if site.health(name)["in_flight"]), "")


# --- engines --------------------------------------------------------------------------------------


async def test_a_recogniser_that_dies_in_mid_utterance_and_then_all_of_them(
    site: Site, files: dict[str, Path]
) -> None:
    async with ringing(site) as call:
        await call.event("turn_over")
        saying = asyncio.create_task(call.said(files["hours"]))
        await call.event("partial")
        victim = busy(site, "stt.0", "stt.1")
        await asyncio.to_thread(site.kill, victim)
        await saying
        assert (await call.event("turn"))["said"] == "what are your opening hours on saturday"
        await call.event("turn_over")

        other = "stt.1" if victim == "stt.0" else "stt.0"
        await asyncio.to_thread(site.kill, other)
        await call.said(files["address"])
        assert (await call.event("audible"))["source"] == "apology"
        await call.event("turn_over")

        await asyncio.to_thread(site.start, victim)
        await asyncio.to_thread(site.trusted, victim)
        await call.said(files["router"])
        assert "red light" in (await call.event("turn"))["said"]
        await call.event("audible")
    record, turns = await call.rows()
    assert record.ended_by == "caller"
    assert [turn.source for turn in turns] == ["greeting", "llm", "apology", "llm"]
    assert turns[1].heard == SHORT_ANSWERS["hours"]
    assert turns[2].failure and turns[2].heard == "I am sorry, please ask me again."
    assert any(f"{site.url(victim)[7:]} is out" in line for line in site.logged("worker"))


@pytest.mark.alone
@on_a_steady_machine
async def test_a_voice_that_dies_in_mid_phrase_and_then_all_of_them(
    site: Site, files: dict[str, Path]
) -> None:
    await asyncio.to_thread(site.heal)
    async with ringing(site) as call:
        await call.event("turn_over")
        await call.said(files["refund"])
        await call.event("audible")
        victim = await until(lambda: busy(site, "tts.0", "tts.1"))
        await asyncio.to_thread(site.kill, victim)
        answer = (await call.event("turn_over"))["turn"]
        await asyncio.sleep(0.6)  # longer than what joins two spans of sound below

        await asyncio.to_thread(site.kill, "tts.1" if victim == "tts.0" else "tts.0")
        await call.said(files["late"])
        apology = (await call.event("turn_over"))["turn"]

        await asyncio.to_thread(site.start, victim)
        await asyncio.to_thread(site.trusted, victim)
        await call.said(files["hours"])
        await call.event("audible")
    cut = f"tts {site.url(victim)} is out"
    assert any(cut in line and "while speaking" in line for line in site.logged("worker"))
    assert answer["source"] == "llm" and answer["heard"] == answer["reply"]
    assert (apology["source"], apology["failure"] != "") == ("apology", True)
    _, turns = await call.rows()
    assert [turn.source for turn in turns] == ["greeting", "llm", "apology", "llm"]
    # The emulated voice never pauses: what is missing of a reply is a silence, or makes it shorter.
    _, heard, rate_hz = call.sound()
    spans = sound_spans(heard, rate_hz, bridge_ms=500)
    lengths = [end - start for start, end in spans[1:3]]
    assert lengths[0] >= len(answer["reply"].split()) * WORD_MS - 100
    assert lengths[1] >= len("I am sorry, please ask me again.".split()) * WORD_MS - 100


@pytest.mark.alone
@on_a_steady_machine
async def test_a_language_model_that_is_silent_dead_dying_and_unwanted(
    site: Site, files: dict[str, Path]
) -> None:
    await asyncio.to_thread(site.heal)
    async with ringing(site) as call:
        await call.event("turn_over")
        await call.said(files["router"])
        site.send("llm.0", signal.SIGSTOP)  # the request goes out now, and nothing comes back
        await call.event("audible")
        await call.event("phrase")
        site.send("llm.0", signal.SIGCONT)

        await asyncio.to_thread(site.kill, "llm.0")
        await call.said(files["plan"])  # into the extractive answer
        await call.event("audible")

        await asyncio.to_thread(site.start, "llm.0")
        await asyncio.to_thread(site.trusted, "llm.0")
        await call.said(files["refund"])
        await call.event("audible")
        await call.event("phrase")
        site.send("llm.0", signal.SIGSTOP)  # it would go on writing until a busy machine kills it
        await asyncio.to_thread(site.kill, "llm.0")
        await call.event("turn_over")

        await asyncio.to_thread(site.start, "llm.0")
        await asyncio.to_thread(site.trusted, "llm.0")
        await call.said(files["plan"])
        await call.event("audible")
        before = site.health("llm.0")
        assert before["in_flight"] == 1
        saying = asyncio.create_task(call.said(files["late"]))
        await until(lambda: site.health("llm.0")["aborted"] > before["aborted"])
        await saying
        await call.event("audible")
    _, turns = await call.rows()
    silent, dead, dying, unwanted, last = turns[1:]
    assert silent.source == dead.source == "extractive"
    assert "hold phrase" in silent.failure and "late" in silent.failure
    assert silent.gap_ms is not None and HOLD_AFTER_MS < silent.gap_ms < ANSWER_DEADLINE_MS
    assert silent.reply.startswith("A red light means that the router has no signal")
    assert "llm" in dead.failure and "hold" not in dead.failure
    assert dead.reply.startswith("You can change your plan once a month")
    assert (dying.source, dying.barged_in) == ("llm", False)
    assert "broke off" in dying.failure
    assert dying.reply.startswith("Refunds usually") and dying.heard == dying.reply
    assert unwanted.barged_in and unwanted.reply.startswith(unwanted.heard)
    assert last.source == "llm"


async def test_without_turn_judge_and_embedder_turns_end_and_words_find_the_answer(
    site: Site, files: dict[str, Path]
) -> None:
    alone = "search by words alone"
    if any(alone in line for line in site.logged("worker")):
        await asyncio.sleep(QUIET_S)  # told seldom: a busy machine may have told it just now
    begun = len(site.logged("worker"))
    async with ringing(site) as call:
        await call.event("turn_over")
        await asyncio.to_thread(site.kill, "turn.0", "embed.0")
        await call.said(files["cancel"])  # asked nowhere else: a vector once known is kept
        await call.event("turn_over")
    _, turns = await call.rows()
    assert turns[1].heard == SHORT_ANSWERS["cancel"]
    assert turns[1].passages[0].heading == "How do I cancel my connection?"
    assert turns[1].gap_ms is not None and 400 < turns[1].gap_ms < ANSWER_DEADLINE_MS
    assert any(alone in line for line in site.logged("worker", begun))


# --- Postgres and the worker ----------------------------------------------------------------------


async def test_postgres_is_away_and_then_the_worker_is_killed_too(
    site: Site, files: dict[str, Path]
) -> None:
    await asyncio.to_thread(site.postgres.stop)
    async with ringing(site) as call:
        await call.event("turn_over")
        await call.said(files["late"])
        await call.event("turn_over")
        await call.said(files["refund"])
        await call.event("audible")
        await asyncio.to_thread(site.kill, "worker", "llm.0")
        await call.heard("ended", 5)  # a BYE: the caller is not left hanging

    began = time.monotonic()
    await asyncio.to_thread(site.start, "worker")  # without Postgres, without a language model
    assert time.monotonic() - began < 30
    async with ringing(site) as after:
        await after.event("turn_over")
        await after.said(files["router"])
        await after.event("turn_over")

    await asyncio.to_thread(site.postgres.start)
    record, turns = await call.rows()
    assert (record.ended_by, record.cause) == ("system", LOST_CAUSE)
    assert [turn.source for turn in turns] == ["greeting", "llm"]
    assert turns[1].heard == SHORT_ANSWERS["late"]
    assert turns[1].passages[0].heading == "What is the late fee?"
    record, turns = await after.rows()
    assert (record.ended_by, record.agent_id) == ("caller", "quick")
    assert turns[1].source == "extractive", "its knowledge is what it keeps on disk"
    assert turns[1].passages[0].heading == "Why is the red light on my router?"
    assert turns[1].heard == turns[1].reply


async def test_a_killed_workers_call_goes_on_at_the_next_with_its_history(
    site: Site, files: dict[str, Path]
) -> None:
    """As `ivr switch` does it: the same call, offered again as its next part."""
    async with aiohttp.ClientSession() as http, part_of_call(site, http, 1) as first:
        await first.turns(1)
        await first.say(files["late"])
        await first.turns(2)
        await asyncio.to_thread(site.kill, "worker")
    await asyncio.to_thread(site.start, "worker")
    await until(lambda: site.health("worker")["status"] == "ok")
    async with (
        aiohttp.ClientSession() as http,
        part_of_call(site, http, 2, first.call_id, resumed="worker") as second,
    ):
        await second.turns(3)
        await second.say(files["router"])
        await second.turns(4)
        await second.ws.send_str('{"type":"hangup","cause":"NORMAL_CLEARING"}')
    record, turns = await site.rows(first.number)
    assert [turn.source for turn in turns] == ["greeting", "llm", "resume", "llm"]
    assert [turn.index for turn in turns] == [1, 2, 3, 4]
    assert (record.part, record.turns, record.ended_by) == (2, 4, "caller")
    assert record.started_at <= turns[0].at
    assert "2 turns read back" in site.log("worker")


class Part:
    """One part of a call whose edge this is: what the caller says, and a place for what they hear."""

    def __init__(
        self, site: Site, ws: aiohttp.ClientWebSocketResponse, call_id: str, number: str
    ) -> None:
        self.ws = ws
        self.call_id = call_id
        self.number = number
        self._site = site
        self._mouth = bytearray()

    async def live(self) -> None:
        """A frame every 20 ms."""
        with contextlib.suppress(ConnectionError):  # the worker was killed
            while True:
                frame = bytes(self._mouth[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
                del self._mouth[:FRAME_BYTES]
                await self.ws.send_bytes(frame)
                await asyncio.sleep(0.02)

    async def say(self, file: Path) -> None:
        (said,), rate_hz = read_wav(file)
        assert rate_hz == RATE_HZ
        self._mouth += said
        await until(lambda: not self._mouth)

    async def turns(self, count: int) -> None:
        """Wait until so many rows of the call are in Postgres."""
        engine = open_engine(self._site.postgres.url)
        try:
            async with asyncio.timeout(20):
                while True:
                    past = await read_past(engine, self.call_id)
                    if past is not None and len(past[1]) >= count:
                        return
                    await asyncio.sleep(0.05)
        finally:
            await engine.dispose()


@contextlib.asynccontextmanager
async def part_of_call(
    site: Site, http: aiohttp.ClientSession, part: int, call_id: str = "", **more: object
) -> AsyncIterator[Part]:
    call_id = call_id or str(uuid.uuid4())
    number = f"+9199{call_id[:4]}"
    headers = {"Authorization": f"Bearer {Edge(site, http).key(call_id)}"}
    with socket.socket(type=socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ws = await http.ws_connect(site.worker_url + "/call", headers=headers)
        whole = {"caller": number, "rate": RATE_HZ, "part": part, **more}
        await ws.send_str(offer(call_id, ear.getsockname()[1], **whole))
        assert orjson.loads((await ws.receive(timeout=5)).data) == {"type": "answer"}
        one = Part(site, ws, call_id, number)
        living = asyncio.create_task(one.live())
        try:
            yield one
        finally:
            living.cancel()
            await asyncio.wait({living})
            await ws.close()


async def test_sigterm_lets_the_live_call_finish_and_refuses_new_ones(
    site: Site, files: dict[str, Path]
) -> None:
    async with ringing(site) as call:
        await call.event("turn_over")
        site.send("worker", signal.SIGTERM)
        async with ringing(site) as late:
            assert (await late.heard("ended"))["cause"].startswith("503")
        await call.said(files["late"])
        await call.event("turn_over")
    assert await asyncio.to_thread(site.ended, "worker") == 0
    record, turns = await call.rows()
    assert record.ended_by == "caller"
    assert turns[1].heard == SHORT_ANSWERS["late"]


async def test_more_calls_than_the_limit_are_busy_and_the_live_ones_untouched(
    site: Site, files: dict[str, Path]
) -> None:
    assert MAX_CALLS < 4 * SIP_PROCESSES
    async with contextlib.AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(ringing(site)) for _ in range(MAX_CALLS)]
        for call in calls:
            await call.event("turn_over")
        async with ringing(site) as refused:
            assert (await refused.heard("ended"))["cause"].startswith("503")
        for call in calls:
            await call.caller.play(files["late"])
        for call in calls:
            turn = (await call.event("turn_over"))["turn"]
            assert turn["heard"] == SHORT_ANSWERS["late"]
    told = f"its limit of {MAX_CALLS} calls"
    assert any(told in line for line in site.logged("worker"))


# --- bad input ------------------------------------------------------------------------------------


async def test_a_forbidden_network_gets_no_answer_and_one_log_line(site: Site) -> None:
    begun = len(site.logged("sip"))
    assert options_from("127.0.0.1", site.sip_port, 5.0).startswith(b"SIP/2.0 200")
    for _ in range(3):
        assert options_from("127.0.0.2", site.sip_port, 0.2) == b""
    lines = [line for line in site.logged("sip", begun) if "127.0.0.2" in line]
    assert len(lines) == 1, lines


class Edge:
    """A broken or hostile edge at the worker's port."""

    def __init__(self, site: Site, http: aiohttp.ClientSession) -> None:
        self._site = site
        self._http = http
        self._secret = site.settings.secret("media")

    async def refused(self, credential: str | None, path: str = "/call") -> int:
        """The status with which an upgrade is refused."""
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await self._http.ws_connect(self._site.worker_url + path, headers=headers)
        return refusal.value.status

    def key(self, call_id: str, age_s: float = 0) -> str:
        return token.make(self._secret, call_id, time.time() - age_s)

    async def dismissed(self, *messages: str | bytes) -> str:
        """Send ``messages`` on a stream let in, which the worker then closes; its call id."""
        call_id, ws = await self.open()
        for message in messages:
            await self.send(ws, message)
        closing = await ws.receive(timeout=5)
        assert closing.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), closing
        await ws.close()
        return call_id

    async def open(self) -> tuple[str, aiohttp.ClientWebSocketResponse]:
        call_id = str(uuid.uuid4())
        headers = {"Authorization": f"Bearer {self.key(call_id)}"}
        return call_id, await self._http.ws_connect(
            self._site.worker_url + "/call", headers=headers
        )

    @staticmethod
    async def send(ws: aiohttp.ClientWebSocketResponse, message: str | bytes) -> None:
        await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))


def offer(call_id: str, port: int, **changes: object) -> str:
    whole = {"call_id": call_id, "did": "1001", "caller": "", "rate": 8000,
             "playback": f"127.0.0.1:{port}", **changes}  # fmt: skip
    return orjson.dumps(whole).decode()


async def test_broken_edges_are_refused_in_one_line_each_and_a_live_call_is_untouched(
    site: Site, files: dict[str, Path]
) -> None:
    async with ringing(site) as call, aiohttp.ClientSession() as http:
        await call.event("turn_over")
        begun = len(site.logged("worker"))
        asking = asyncio.create_task(call.said(files["address"]))
        edge = Edge(site, http)
        good = edge.key("some-call-id")
        forged = f"{good[:-1]}{'0' if good[-1] != '0' else '1'}"
        bad_keys = (None, "", "nonsense", forged, edge.key("some-call-id", age_s=3600))
        assert [await edge.refused(key) for key in bad_keys] == [401] * 5
        assert await edge.refused(good, "/nowhere") == 404
        refusals = [
            await edge.dismissed("not json"),
            await edge.dismissed("[1]"),
            await edge.dismissed(bytes(320)),
            await edge.dismissed('{"type":"dtmf","digit":"1"}'),
            await edge.dismissed(offer("another-call", 9)),
            await edge.dismissed(offer("x", 9, rate=44100)),
            await edge.dismissed(),  # says nothing for 2 s
        ]
        await edge.dismissed("x" * 100_000)
        with socket.create_connection(("127.0.0.1", site.settings.worker.port)) as raw:
            raw.sendall(b"\x00\xff" * 1000 + b"\r\n\r\n")
        refusals.append(await babble(edge))
        await asking
        answer = (await call.event("turn_over"))["turn"]
    assert answer["source"] == "llm" and answer["heard"] == answer["reply"]
    lines = site.logged("worker", begun)
    for call_id in refusals:
        told = [line for line in lines if call_id[:8] in line and "! refused" in line]
        assert len(told) == 1, (call_id, told)
    told = sum("refused a stream: its token" in line for line in lines)
    assert 1 <= told <= len(bad_keys)  # what anybody can provoke is logged seldom
    assert not any("Traceback" in line for line in lines), lines
    record, _ = await call.rows()
    assert record.ended_by == "caller"


async def babble(edge: Edge) -> str:
    """A call that is let in and then sends frames of every wrong size and words of no meaning."""
    with socket.socket(type=socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(2)
        call_id, ws = await edge.open()
        await edge.send(ws, offer(call_id, ear.getsockname()[1]))
        assert orjson.loads((await ws.receive(timeout=5)).data) == {"type": "answer"}
        for size in (0, 1, 2, 160, 319, 321, 640, 4000):
            await edge.send(ws, bytes(size))
        for text in (
            "",
            "{",
            "null",
            '{"type":"sing"}',
            '{"type":"dtmf","digit":"12"}',
            offer(call_id, 9),
        ):
            await edge.send(ws, text)
        assert len(await asyncio.to_thread(ear.recv, 1000)) == 320, "it is not played to any more"
        await edge.send(ws, '{"type":"hangup","cause":"NORMAL_CLEARING"}')
        await ws.close()
    return call_id
