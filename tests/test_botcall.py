"""Calls whose agent is an external bot: real websockets and datagrams on both sides of the call."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
from aiohttp import web
from telephone import FakeJournal, FakeSearch, FakeStream, FakeVoice, composer_of

from appliance.audio import FRAME_MS, frame_bytes, read_wav, ulaw_decode, ulaw_encode
from appliance.call import botcall, botlink
from appliance.call.botcall import BotCall
from appliance.errors import UserError
from appliance.events import Agent, CallRecord, Dtmf, Hold, Offer, TransferFailed, Whisper
from appliance.media import protocol, token
from appliance.media.playout import Pacer
from appliance.media.recording import DiskWriter
from appliance.media.server import MediaServer, Stream
from appliance.store.agents import agent_fields, parse_agent
from tests.sipkit import free_port, tone

pytestmark = pytest.mark.server

SECRET = "s3cret"
CALL_ID = "0f5b1b1e-7c1c-4a57-9a5b-0d6a0e8b9d11"
LOUD = 2000
APOLOGY = "Sorry that broke."
WORD_MS = 300
SHORT: dict[str, Any] = {
    "apology": APOLOGY, "goodbye": "Bye now.", "hold_phrase": "", "unknown_answer": "",
    "silence_prompts": (), "resume_phrase": "", "transfer_phrase": "Wait.",
    "transfer_failed_phrase": "",
}  # fmt: skip
"""What is not said here need not be spoken in advance."""


def ulaw_tone(ms: int, hz: float = 700.0) -> bytes:
    return ulaw_encode(tone(ms, 8000, hz))


class Bot:
    """A Twilio-style bot: remembers what it is sent, says what the test wants."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.ws: web.WebSocketResponse | None = None
        self.url = ""
        self.on_start: Callable[[], Awaitable[None]] | None = None
        self.refuse = False
        self.close_code = 0
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application()
        app.router.add_get("/bot", self._talk)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/bot"

    async def close(self) -> None:
        assert self._runner
        await self._runner.cleanup()

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=403)
        self.ws = web.WebSocketResponse()
        await self.ws.prepare(request)
        async for message in self.ws:
            self.messages.append(orjson.loads(message.data))
            if self.messages[-1]["event"] == "start" and self.on_start is not None:
                await self.on_start()
        self.close_code = self.ws.close_code or 0
        return self.ws

    async def send(self, event: str, about: dict[str, Any] | None = None) -> None:
        assert self.ws is not None
        message: dict[str, Any] = {"event": event, "streamSid": self.told("start")[0]["streamSid"]}
        await self.ws.send_str(orjson.dumps(message | ({event: about} if about else {})).decode())

    async def say(self, ulaw: bytes) -> None:
        await self.send("media", {"payload": base64.b64encode(ulaw).decode()})

    async def mark(self, name: str) -> None:
        await self.send("mark", {"name": name})

    def told(self, event: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["event"] == event]

    @property
    def heard(self) -> bytes:
        """The caller as the bot hears them, L16 at 8 kHz."""
        return b"".join(
            ulaw_decode(base64.b64decode(m["media"]["payload"])) for m in self.told("media")
        )


class Door:
    """Makes a BotCall of every call, with a worker's services."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent = agent
        self.journal = FakeJournal()
        self.pacer = Pacer()
        self.disk: DiskWriter | None = DiskWriter()
        self.recordings = folder
        self.voice = FakeVoice(first_s=0.01)
        search: Any = FakeSearch()
        self.composer = composer_of(self.voice, None, search)
        self.events: list[dict[str, Any]] = []
        self.calls: list[tuple[BotCall, asyncio.Task[None]]] = []

    def watch_all(self, call_id: str, event: dict[str, object]) -> None:
        self.events.append(event)

    @property
    def watch(self) -> Any:
        return self.watch_all

    def refusal(self, call_id: str, part: int = 1) -> str:
        return ""

    def health(self) -> dict[str, object]:
        return {"status": "ok"}

    def admit(self, offer: Offer, stream: Stream) -> BotCall:
        services: Any = self
        call = BotCall(offer, self.agent, stream, services)
        self.calls.append((call, asyncio.create_task(call.run())))
        return call


class Edge(asyncio.DatagramProtocol):
    """FreeSWITCH's part: the caller's frames in, what they hear out."""

    def __init__(self, rate_hz: int = 8000) -> None:
        self.rate_hz = rate_hz
        self.frames: list[bytes] = []
        self.texts: list[dict[str, Any]] = []
        self.mouth = bytearray()
        self.closed = asyncio.Event()
        self.ws: aiohttp.ClientWebSocketResponse | None = None

    def datagram_received(self, data: bytes, address: object) -> None:
        self.frames.append(data)

    async def send(self, message: bytes) -> None:
        assert self.ws is not None
        await self.ws.send_str(message.decode())

    async def speak(self) -> None:
        """A frame every 20 ms."""
        assert self.ws is not None
        loop = asyncio.get_running_loop()
        size, begin, number = frame_bytes(self.rate_hz), loop.time(), 0
        while not self.ws.closed:
            frame = bytes(self.mouth[:size]).ljust(size, b"\0")
            del self.mouth[:size]
            await self.ws.send_bytes(frame)
            number += 1
            await asyncio.sleep(max(0.0, begin + number * FRAME_MS / 1000 - loop.time()))

    async def listen(self) -> None:
        assert self.ws is not None
        async for message in self.ws:
            self.texts.append(orjson.loads(message.data))
            if self.texts[-1]["type"] == "hangup":  # as an edge does once it has played all
                await self.send(protocol.hangup(self.texts[-1]["cause"]))
                await self.ws.close()
        self.closed.set()

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.texts if m["type"] == kind]

    def loud(self) -> list[bool]:
        """For every frame heard, whether there was sound in it."""
        return [int(np.abs(np.frombuffer(f, "<i2").astype(int)).max()) > LOUD for f in self.frames]

    @property
    def sounding_ms(self) -> int:
        return sum(any(frame) for frame in self.frames) * FRAME_MS

    @property
    def loud_ms(self) -> int:
        return sum(self.loud()) * FRAME_MS


class Scene:
    """One call: the bot, the worker's door, the edge."""

    def __init__(self, bot: Bot, door: Door, edge: Edge) -> None:
        self.bot, self.door, self.edge = bot, door, edge

    async def until(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.005)

    async def over(self, timeout_s: float = 20.0) -> CallRecord:
        """Wait for the call's end; its last row."""
        await asyncio.wait_for(asyncio.shield(self.door.calls[0][1]), timeout_s)
        return self.door.journal.records[-1]


@asynccontextmanager
async def calling(
    folder: Path, rate_hz: int = 8000, *, bot: Bot | None = None, url: str = "",
    offer: dict[str, Any] | None = None, **agent: Any,
) -> AsyncIterator[Scene]:  # fmt: skip
    """Ring the bot; at the end of the block the caller hangs up if the call still lives."""
    bot = bot or Bot()
    await bot.open()
    fields = SHORT | agent
    door = Door(Agent("bot", 7, "Bot", bot_url=url or bot.url, **fields), folder)
    await door.composer.warm(door.agent)
    media, edge = MediaServer(door, SECRET), Edge(rate_hz)
    port = await media.start("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(lambda: edge, ("127.0.0.1", 0))
    tasks = [asyncio.create_task(door.pacer.run())]
    headers = {"Authorization": f"Bearer {token.make(SECRET, CALL_ID, time.time())}"}
    playback = udp.get_extra_info("sockname")
    ours = Offer(CALL_ID, "1001", "+9198", rate_hz, playback, **(offer or {}))
    try:
        async with aiohttp.ClientSession() as http:
            async with http.ws_connect(f"ws://127.0.0.1:{port}/call", headers=headers) as edge.ws:
                await edge.send(protocol.offer(ours))
                tasks.append(asyncio.create_task(edge.listen()))
                scene = Scene(bot, door, edge)
                await scene.until(lambda: edge.told("answer"))
                tasks.append(asyncio.create_task(edge.speak()))
                yield scene
                if not door.calls[0][1].done() and not edge.ws.closed:
                    await edge.send(protocol.hangup("NORMAL_CLEARING"))
                await scene.over()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        udp.close()
        media.close()
        await bot.close()
        if door.disk is not None:
            await asyncio.to_thread(door.disk.close)


def first_loud(edge: Edge, since: int = 0) -> int:
    return edge.loud().index(True, since)


async def test_both_hear_each_other_and_the_row_and_recording_tell_it(tmp_path: Path) -> None:
    async with calling(tmp_path) as scene:
        bot, edge = scene.bot, scene.edge
        await scene.until(lambda: len(bot.told("media")) > 10)
        assert [m["event"] for m in bot.messages[:3]] == ["connected", "start", "media"]
        parameters = bot.told("start")[0]["start"]["customParameters"]
        assert (parameters["did"], parameters["caller"]) == ("1001", "+9198")
        await bot.say(ulaw_tone(500))
        edge.mouth += tone(500, hz=400)
        await scene.until(lambda: edge.loud_ms >= 480)
        await asyncio.sleep(0.3)
        assert 480 <= edge.loud_ms <= 520
        heard = np.frombuffer(bot.heard, "<i2")
        assert (
            470 <= np.count_nonzero(np.abs(heard.reshape(-1, 160)).max(axis=1) > LOUD) * 20 <= 540
        )
        numbers = [int(m["sequenceNumber"]) for m in bot.messages[1:]]
        assert numbers == list(range(1, len(numbers) + 1))
    await scene.until(lambda: bot.told("stop"))
    assert bot.messages[-1]["event"] == "stop" and bot.close_code == 1000
    row = scene.door.journal.records[-1]
    assert (row.agent_id, row.agent_version, row.turns) == ("bot", 7, 0)
    assert (row.cause, row.ended_by, row.part) == ("NORMAL_CLEARING", "caller", 1)
    assert row.ended_at is not None and scene.door.journal.records[0].ended_at is None
    (left, right), rate_hz = read_wav(tmp_path / row.recording)
    assert rate_hz == 8000
    for side in (left, right):
        loud = np.abs(np.frombuffer(side, "<i2").astype(int)) > LOUD
        assert 350 <= np.count_nonzero(loud) / 8 <= 560
    assert [e["event"] for e in scene.door.events] == ["call", "end"]


async def test_wideband_calls_reach_a_narrowband_bot_and_back(tmp_path: Path) -> None:
    async with calling(tmp_path, 16000) as scene:
        await scene.bot.say(ulaw_tone(400, 1000))
        scene.edge.mouth += tone(400, 16000, 1000)
        await scene.until(lambda: scene.edge.loud_ms >= 400)
        await asyncio.sleep(0.2)
        assert {len(f) for f in scene.edge.frames} == {640}
        for pcm, rate_hz in ((b"".join(scene.edge.frames), 16000), (scene.bot.heard, 8000)):
            wave = np.frombuffer(pcm, "<i2").astype(float)
            power = np.abs(np.fft.rfft(wave))
            assert abs(power.argmax() * rate_hz / len(wave) - 1000) < 20


async def test_clear_stops_the_bot_within_a_frame_or_two_and_tells_its_marks(
    tmp_path: Path,
) -> None:
    async with calling(tmp_path) as scene:
        bot, edge = scene.bot, scene.edge
        await bot.say(ulaw_tone(20_000))
        await bot.mark("end")
        await scene.until(lambda: edge.loud_ms >= 200)
        assert not bot.told("mark")
        await bot.send("clear")
        sent = len(edge.frames)
        await scene.until(lambda: bot.told("mark"))
        assert bot.told("mark")[0]["mark"] == {"name": "end"}
        await asyncio.sleep(0.3)
        assert sum(edge.loud()[sent:]) <= 3
        await bot.say(ulaw_tone(100))  # and it can speak again
        await scene.until(lambda: sum(edge.loud()[sent + 5 :]) >= 5)
    assert "yield" in [e["event"] for e in scene.door.events]


async def test_marks_come_back_when_what_was_before_them_has_been_heard(tmp_path: Path) -> None:
    async with calling(tmp_path) as scene:
        bot, edge = scene.bot, scene.edge
        await bot.mark("nothing before")
        await scene.until(lambda: len(bot.told("mark")) == 1)
        begin = len(edge.frames)
        await bot.say(ulaw_tone(310))  # no whole number of frames: the rest is heard all the same
        await bot.mark("a")
        await bot.say(ulaw_tone(300))
        await bot.mark("b")
        await scene.until(lambda: len(bot.told("mark")) == 2)
        at_a = sum(edge.loud()[begin:]) * FRAME_MS
        await scene.until(lambda: len(bot.told("mark")) == 3)
        at_b = sum(edge.loud()[begin:]) * FRAME_MS
        assert 300 <= at_a <= 380 and 600 <= at_b <= 640
        assert [m["mark"]["name"] for m in bot.told("mark")] == ["nothing before", "a", "b"]


async def test_pieces_of_any_size_are_one_unbroken_sound(tmp_path: Path) -> None:
    async with calling(tmp_path) as scene:
        sound, sizes = ulaw_tone(1500), (1, 7, 333, 160, 1001)
        at = number = 0
        while at < len(sound):
            size = sizes[number % len(sizes)]
            await scene.bot.say(sound[at : at + size])
            at, number = at + size, number + 1
        await scene.until(lambda: scene.edge.loud_ms >= 1500)
        heard = b"".join(scene.edge.frames)
        begin = first_loud(scene.edge) * frame_bytes(8000)
        assert ulaw_decode(sound) in heard and heard.find(ulaw_decode(sound)) == begin


async def test_keys_reach_the_bot(tmp_path: Path) -> None:
    async with calling(tmp_path, transfer_to="queue:x", keypad={"5": "hours"}) as scene:
        for digit in "05#":
            await scene.edge.send(protocol.dtmf(Dtmf(digit, 100)))
        await scene.until(lambda: len(scene.bot.told("dtmf")) == 3)
        assert [m["dtmf"]["digit"] for m in scene.bot.told("dtmf")] == ["0", "5", "#"]
        assert not scene.edge.told("transfer")
        # the bot may have asked for a PIN: who looks on does not see it
        assert [e["digit"] for e in scene.door.events if e["event"] == "key"] == ["•"] * 3


async def test_a_bot_that_closes_has_hung_up_once_its_words_are_heard(tmp_path: Path) -> None:
    async with calling(tmp_path, transfer_to="queue:x") as scene:
        await scene.bot.say(ulaw_tone(600))
        assert scene.bot.ws is not None
        await scene.bot.ws.close()
        row = await scene.over()
        assert 580 <= scene.edge.loud_ms <= 620
    assert (row.ended_by, row.cause) == ("agent", "NORMAL_CLEARING")
    assert scene.edge.told("hangup") and not scene.edge.told("transfer")


@pytest.mark.parametrize("how", ["nobody there", "refused", "silent"])
async def test_a_bot_that_cannot_be_reached_is_apologised_for(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botlink, "CONNECT_TIMEOUT_S", 0.3)
    bot, url = Bot(), ""
    bot.refuse = how == "refused"
    deaf = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    if how != "refused":
        port = free_port() if how == "nobody there" else deaf.getsockname()[1]
        url = f"ws://127.0.0.1:{port}/"
    async with calling(tmp_path, bot=bot, url=url) as scene:
        row = await scene.over()
        assert scene.edge.loud_ms == pytest.approx(len(APOLOGY.split()) * WORD_MS, abs=80)
    deaf.close()
    assert (row.ended_by, row.cause) == ("system", "NORMAL_TEMPORARY_FAILURE")
    assert scene.edge.told("hangup")[0]["cause"] == "NORMAL_TEMPORARY_FAILURE"


@pytest.mark.parametrize("how", ["dies", "closes with 1011", "closes with 1001"])
async def test_a_bot_that_breaks_is_apologised_for_and_a_person_gets_the_call(
    tmp_path: Path, how: str
) -> None:
    async with calling(tmp_path, transfer_to="queue:support", transfer_phrase="Wait.") as scene:
        bot, edge = scene.bot, scene.edge
        await bot.say(ulaw_tone(20_000))
        await scene.until(lambda: edge.loud_ms >= 100)
        assert bot.ws is not None
        if how == "dies":
            transport = bot.ws._req.transport  # type: ignore[union-attr]
            assert transport is not None
            transport.abort()
        else:
            await bot.ws.close(code=int(how.split()[-1]))
        begin = len(edge.frames)
        await scene.until(lambda: edge.told("transfer"))
        asked = edge.told("transfer")[0]
        assert (asked["to"], asked["mode"]) == ("queue:support", "attended")
        assert asked["reason"] == "failures" and "Bot" in asked["summary"]
        words_ms = (len(APOLOGY.split()) + 1) * WORD_MS
        await scene.until(lambda: sum(edge.loud()[begin:]) * FRAME_MS >= words_ms - 60)
        await asyncio.sleep(0.2)
        assert sum(edge.loud()[begin:]) * FRAME_MS <= words_ms + 120
        await edge.send(protocol.hangup("ATTENDED_TRANSFER"))
        row = await scene.over()
    assert row.transferred_to == "queue:support" and row.summary == asked["summary"]
    assert row.transfer_reason == asked["reason"]
    assert row.cause == "ATTENDED_TRANSFER"


@pytest.mark.parametrize("mode", ["attended", "blind"])
async def test_a_transfer_that_nobody_takes_ends_with_words(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botcall, "EVERY_MS", 300)
    lost = {"transfer_to": "+9180", "transfer_mode": mode, "url": "ws://127.0.0.1:1/"}
    async with calling(tmp_path, **lost) as scene:
        await scene.until(lambda: scene.edge.told("transfer"))
        assert (scene.edge.loud_ms >= 4 * WORD_MS - 60) == (mode == "blind")
        await scene.until(lambda: scene.edge.loud_ms >= 4 * WORD_MS - 60)
        sounds = scene.edge.sounding_ms
        await scene.until(lambda: scene.edge.sounding_ms > sounds + 500)  # the hold tone
        begin = len(scene.edge.frames)
        await scene.edge.send(protocol.transfer_failed(TransferFailed("NO_ANSWER")))
        row = await scene.over()
        assert sum(scene.edge.loud()[begin:]) * FRAME_MS >= 2 * WORD_MS
    assert (row.ended_by, row.cause) == ("system", "NORMAL_TEMPORARY_FAILURE")


async def test_an_edge_that_does_not_answer_a_transfer_leaves_nobody_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botcall, "LONGEST_WAIT_MS", 300)
    async with calling(tmp_path, transfer_to="+9180", url="ws://127.0.0.1:1/") as scene:
        row = await scene.over(9)
    assert row.cause == "NORMAL_TEMPORARY_FAILURE" and scene.edge.told("transfer")


async def test_a_bot_that_stands_still_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botlink, "PING_IDLE_S", 0.2)
    monkeypatch.setattr(botlink, "PING_REPLY_S", 0.2)
    frozen = asyncio.Event()
    bot = Bot()
    bot.on_start = lambda: _forever(frozen)
    async with calling(tmp_path, bot=bot) as scene:
        row = await scene.over()
        assert scene.edge.loud_ms > 500
        frozen.set()
    assert row.cause == "NORMAL_TEMPORARY_FAILURE"


async def _forever(until: asyncio.Event) -> None:
    await until.wait()


async def test_a_bot_a_minute_ahead_is_cut_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(tmp_path) as scene:
        for _ in range(4):
            await scene.bot.say(ulaw_tone(25_000))
        await scene.until(lambda: "minute ahead" in caplog.text)
        await scene.bot.mark("x")
        await scene.bot.send("clear")
        await scene.until(lambda: scene.bot.told("mark"))
    assert (
        caplog.text.count("minute ahead") == 1 and "of the bot's audio were dropped" in caplog.text
    )


async def test_hostile_messages_cost_one_line_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(tmp_path) as scene:
        bot = scene.bot
        assert bot.ws is not None
        await scene.until(lambda: bot.told("start"))
        for text in ("", "nonsense", "[]", '{"event":"media"}', '{"event":"stop"}', "{}" * 1000):
            await bot.ws.send_str(text)
        await bot.ws.send_bytes(bytes(500))
        await bot.say(ulaw_tone(200))
        await scene.until(lambda: scene.edge.loud_ms >= 200)
    assert caplog.text.count("! bot:") == 1
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_the_recording_notice_comes_first_and_cannot_be_cleared(tmp_path: Path) -> None:
    async with calling(tmp_path, recording_notice="We record this.") as scene:
        bot, edge = scene.bot, scene.edge
        await scene.until(lambda: bot.told("start"))
        await bot.say(ulaw_tone(100, 2000))
        await bot.send("clear")
        await bot.say(ulaw_tone(200, 2000))
        await scene.until(lambda: edge.loud_ms >= 3 * WORD_MS + 200)
        await asyncio.sleep(0.1)
        assert edge.loud_ms == pytest.approx(3 * WORD_MS + 200, abs=60)


@pytest.mark.parametrize("why", ["the edge records", "the agent does not"])
async def test_who_does_not_record(tmp_path: Path, why: str) -> None:
    offer = {"recording": "2026/01/01/x.wav"} if why == "the edge records" else {}
    async with calling(tmp_path, offer=offer, record=why != "the agent does not") as scene:
        await asyncio.sleep(0.1)
    row = scene.door.journal.records[-1]
    assert row.recording == offer.get("recording", "") and not list(tmp_path.rglob("*.wav"))


async def test_on_hold_the_bots_words_wait_and_it_hears_nothing(tmp_path: Path) -> None:
    async with calling(tmp_path) as scene:
        bot, edge = scene.bot, scene.edge
        await scene.until(lambda: len(bot.told("media")) > 3)
        await edge.send(protocol.hold(Hold(True)))
        await asyncio.sleep(0.1)
        before = len(bot.told("media"))
        await bot.say(ulaw_tone(300))
        await asyncio.sleep(0.3)
        assert edge.loud_ms == 0 and len(bot.told("media")) <= before + 1
        await edge.send(protocol.whisper(Whisper("offer a discount")))
        await edge.send(protocol.hold(Hold(False)))
        await scene.until(lambda: edge.loud_ms >= 300)


async def test_the_longest_call_ends_with_a_goodbye(tmp_path: Path) -> None:
    async with calling(tmp_path, longest_call_s=1) as scene:
        await scene.bot.say(ulaw_tone(20_000))
        row = await scene.over()
        assert scene.bot.told("stop")
        assert scene.edge.loud_ms == pytest.approx(1000 + 2 * WORD_MS, abs=250)
    assert (row.ended_by, row.cause) == ("agent", "NORMAL_CLEARING")


async def test_a_worker_that_stops_ends_the_call(tmp_path: Path) -> None:
    async with calling(tmp_path) as scene:
        await scene.until(lambda: scene.bot.told("start"))
        scene.door.calls[0][0].stop("NORMAL_TEMPORARY_FAILURE")
        row = await scene.over()
        await scene.until(lambda: scene.bot.told("stop"))
    assert row.ended_by == "system" and scene.edge.told("hangup")


async def test_a_bug_costs_its_own_call_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(tmp_path) as scene:
        await scene.until(lambda: scene.bot.told("start"))
        call: Any = scene.door.calls[0][0]
        monkeypatch.setattr(call._voice, "say", lambda ulaw: 1 / 0)
        await scene.bot.say(ulaw_tone(100))
        row = await scene.over()
    assert (row.ended_by, row.cause) == ("system", "INTERWORKING")
    assert "the call broke" in caplog.text


async def test_who_hangs_up_while_the_bot_is_rung_is_never_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botlink, "CONNECT_TIMEOUT_S", 60.0)  # it does not wait for that
    deaf = socket.create_server(("127.0.0.1", 0))
    agent = Agent("bot", 1, "Bot", bot_url=f"ws://127.0.0.1:{deaf.getsockname()[1]}/")
    door = Door(agent, tmp_path)
    stream: Any = FakeStream()
    offer = Offer(CALL_ID, "1", "2", 8000, ("127.0.0.1", 9))
    call = door.admit(offer, stream)
    await asyncio.sleep(0.1)
    call.on_hangup("ORIGINATOR_CANCEL")
    await asyncio.wait_for(door.calls[0][1], 10)
    deaf.close()
    assert not stream.answered and stream.is_closed
    assert door.journal.records[-1].cause == "ORIGINATOR_CANCEL"
    if door.disk is not None:
        await asyncio.to_thread(door.disk.close)


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:7860/ws",
        "wss://bots.example.in/a/b?key=x%20y",
        "ws://[::1]:80",
        "",
        "ws://b_1",
    ],
)
def test_a_bot_may_live_at_any_websocket(url: str) -> None:
    agent = Agent("bot", 1, "Bot", bot_url=url)
    assert parse_agent(agent_fields(agent)) == agent


@pytest.mark.parametrize(
    "url",
    ["http://b/", "file:///etc/passwd", "ws://", "ws:///x", "ws://a b", "ws://h/\n", "unix:/x",
     "ws://user:secret@h/", "ws://h?@x", "WS://h", "wss://h\r\nX: y", "ws://h/" + "x" * 1001],
)  # fmt: skip
def test_nothing_but_a_websocket_is_published_as_a_bot(url: str) -> None:
    with pytest.raises(UserError, match="bot_url") as caught:
        parse_agent(agent_fields(Agent("bot", 1, "Bot", bot_url=url)))
    assert "secret" not in str(caught.value)
