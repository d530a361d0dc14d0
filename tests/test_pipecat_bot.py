"""The example bot, run with the real pipecat-ai package, in a real SIP call; judged at the ear."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from appliance.audio import read_wav, sound_spans, write_wav
from appliance.engines.key import headers_of, key_of_ours
from appliance.events import Agent
from appliance.ops.keeping.ports import free_ports
from appliance.store.agents import publish_agent, set_number
from appliance.store.database import open_engine
from tests.appliance_kit import ROOT, LiveCall, Site, real_engine, ringing
from tests.metronome import on_a_steady_machine
from tests.soundmatch import assert_heard
from tests.spoken import RATE_HZ, say

PYTHON = ROOT / ".venv-pipecat" / "bin" / "python"
BOT = ROOT / "examples" / "pipecat_bot" / "bot.py"
DID, LOST_DID = "1005", "1006"
GREETING = "Hello, this is the example bot speaking."
ANSWER = (
    "You said {said}. Let me tell you a long story about that. Once upon a time there was a"
    " telephone that nobody answered. It rang and it rang, and all the people in the town wondered"
    " whose it was. Then one day a little machine came and picked it up, and everybody was happy."
)
READY_TIMEOUT_S = 40.0
LONGEST_STOP_MS = 1500
"""From the caller's first sound to the bot's silence at the ear: detector, two networks, jitter."""

pytestmark = [
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not PYTHON.exists(), reason="no .venv-pipecat (bench/pipecat_env.sh makes it)"
    ),
]


class BotProcess:
    """The example bot in its own environment."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.port = free_ports(1)[0]
        self._log = folder / "bot.log"
        settings = {
            "PORT": str(self.port),
            "STT_URL": site.url("stt.0").replace("http", "ws"),
            "STT_KEY": key_of_ours(site.settings, site.settings.engines.stt),
            "TTS_URL": site.url("tts.0"),
            "TTS_KEY": key_of_ours(site.settings, site.settings.engines.tts),
            "GREETING": GREETING,
            "ANSWER": ANSWER,
        }
        own = {f"BOT_{name}": value for name, value in settings.items()}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(PYTHON), str(BOT)], stdout=log, stderr=log, env=os.environ | own
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                alive = self._process.poll() is None
                assert alive and time.monotonic() < deadline, self.log[-3000:]
                time.sleep(0.1)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def logged(self, what: str, count: int = 1, timeout_s: float = 20.0) -> None:
        """Wait until ``what`` stands in its log so many times."""
        deadline = time.monotonic() + timeout_s
        while self.log.count(what) < count:
            assert time.monotonic() < deadline, (what, self.log[-3000:])
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def bot_of(folder: Path, site: Site) -> Iterator[BotProcess]:
    process = BotProcess(folder, site)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(open_tmp: Path) -> AsyncIterator[Site]:
    """A whole appliance with real engines; its bot is published when there is one."""

    def none(sample: Agent) -> dict[str, Agent]:
        lost = dataclasses.replace(sample, id="lost", bot_url="ws://127.0.0.1:1/ws")
        return {LOST_DID: lost}

    servers = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
    place = Site(open_tmp / "bot", open_tmp / "embedded", servers, real_engine, {})
    try:
        await asyncio.to_thread(place.open, none)
        yield place
    finally:
        await asyncio.to_thread(place.close)


async def voice_of(site: Site, text: str) -> bytes:
    """What `ivr tts` makes of ``text``, 8 kHz."""
    body = {"model": "tts", "input": text, "voice": "slt", "language": "en",
            "response_format": "pcm", "sample_rate": RATE_HZ}  # fmt: skip
    key = headers_of(key_of_ours(site.settings, site.settings.engines.tts))
    async with aiohttp.ClientSession(headers=key) as http:
        async with http.post(site.url("tts.0") + "/v1/audio/speech", json=body) as answer:
            assert answer.status == 200
            return await answer.read()


def recording_of(folder: Path, text: str) -> Path:
    file = folder / f"{text.split()[0]}.wav"
    write_wav(file, [say(text)], RATE_HZ)
    return file


async def converse(call: LiveCall, bot: BotProcess, folder: Path) -> None:
    await call.heard("answered")
    await bot.logged("> bot: " + GREETING)
    await asyncio.sleep(4)  # it is heard to its end
    await call.said(recording_of(folder, "are you open on sundays"))
    await bot.logged("> bot: You said")
    await asyncio.sleep(3)  # in mid-story
    await call.said(recording_of(folder, "stop please wait a moment"))
    await call.event("yield")
    await bot.logged("< caller:", 2)
    await bot.logged("> bot: You said", 2)
    await asyncio.sleep(2)


@on_a_steady_machine
async def test_a_pipecat_bot_answers_is_heard_hears_and_can_be_interrupted(
    site: Site, tmp_path: Path
) -> None:
    with bot_of(tmp_path, site) as bot:
        await publish_bot(site, f"ws://127.0.0.1:{bot.port}/ws")
        async with ringing(site, DID) as call:
            await converse(call, bot, tmp_path)
        await bot.logged("the call is over")
    said, heard, rate_hz = call.sound()
    assert_heard(await voice_of(site, GREETING), heard, rate_hz)
    words = [line.partition("< caller: ")[2] for line in bot.log.splitlines() if "< caller" in line]
    assert "sundays" in words[0] and "stop" in words[1], words
    assert "a twilio call from" in bot.log
    stopped_ms = stop_after(said, heard, rate_hz)
    print(f"the bot's voice was gone {stopped_ms} ms after the caller began to speak over it")
    assert 0 < stopped_ms < LONGEST_STOP_MS
    record, turns = await call.rows()
    assert (record.agent_id, record.turns, turns) == ("pipecat", 0, [])
    assert (record.ended_by, record.cause) == ("caller", "NORMAL_CLEARING")
    (left, right), _ = read_wav(site.settings.recordings_dir / record.recording)
    assert sound_spans(left, rate_hz) and sound_spans(right, rate_hz)


def stop_after(said: bytes, heard: bytes, rate_hz: int) -> int:
    """How long after the start of the caller's second utterance the bot's voice is gone, in ms."""
    spans = sound_spans(said, rate_hz, bridge_ms=900)
    assert len(spans) == 2, spans
    begin_ms = spans[1][0]
    over = [span for span in sound_spans(heard, rate_hz, bridge_ms=600) if span[0] < begin_ms]
    assert over[-1][1] > begin_ms, "the bot was not speaking when it was interrupted"
    return over[-1][1] - begin_ms


@on_a_steady_machine
async def test_a_bot_that_is_killed_in_mid_word_is_apologised_for(
    site: Site, tmp_path: Path
) -> None:
    with bot_of(tmp_path, site) as bot:
        await publish_bot(site, f"ws://127.0.0.1:{bot.port}/ws")
        async with ringing(site, DID) as call:
            await call.heard("answered")
            await bot.logged("> bot: " + GREETING)
            await asyncio.sleep(1)
            bot.stop()
            await call.heard("ended")
    _, heard, rate_hz = call.sound()
    record, _ = await call.rows()
    assert (record.ended_by, record.cause) == ("system", "NORMAL_TEMPORARY_FAILURE")
    assert_heard(await voice_of(site, Agent("", 0, "").apology), heard, rate_hz)


@on_a_steady_machine
async def test_without_its_bot_the_caller_hears_the_apology(site: Site) -> None:
    async with ringing(site, LOST_DID) as call:
        await call.heard("ended")
    _, heard, rate_hz = call.sound()
    record, _ = await call.rows()
    assert (record.ended_by, record.cause) == ("system", "NORMAL_TEMPORARY_FAILURE")
    assert_heard(await voice_of(site, Agent("", 0, "").apology), heard, rate_hz)


async def publish_bot(site: Site, url: str) -> None:
    """Give the number its bot, as an operator does: no restart."""
    engine = open_engine(site.postgres.url)
    try:
        await publish_agent(engine, Agent("pipecat", 0, "Pipecat", bot_url=url))
        await set_number(engine, DID, "pipecat")
    finally:
        await engine.dispose()
