"""The voice server over HTTP, with both embedded engines."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from appliance.audio import sound_spans
from appliance.errors import UserError
from appliance.models import flite, model_watch
from appliance.models.engine import ModelOptions
from appliance.models.espeak import EspeakEngine
from appliance.models.flite import FliteEngine
from appliance.models.http import LOAD, SPOKEN
from appliance.models.model_watch import ModelWatch
from appliance.models.tts_server import Server, _engine
from appliance.models.voice_cache import VoiceCache
from appliance.settings import Settings
from tests.pace_kit import Late, on_time
from tests.serving import Served, client, serving
from tests.tinyserver import until

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

PHRASE = "The family plan costs seven hundred and ninety nine rupees a month."
SPEECH_DB = -20
HINDI = "नमस्ते, आपका बिल पाँच सौ रुपये है।"
LONG = "Please restart your router and wait for two minutes. " * 35


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["flite", "espeak"])
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, Served]]:
    folder = tmp_path_factory.mktemp("tts")
    async with serving(folder, "tts", "--engine", request.param) as served:
        yield request.param, served


async def speech(served: Served, **fields: Any) -> tuple[int, bytes, list[float]]:
    """Status, body, and when each piece came (ms after the request)."""
    order = {"model": "x", "input": PHRASE, "voice": "", "response_format": "pcm",
             "language": "en", "sample_rate": 8000, **fields}  # fmt: skip
    began, parts, times = time.perf_counter(), [], []
    async with client() as session:
        async with session.post(f"{served.url}/v1/audio/speech", json=order) as response:
            async for part in response.content.iter_any():
                parts.append(part)
                times.append((time.perf_counter() - began) * 1000)
            if response.status == 200:
                assert response.content_type == "audio/pcm"
            return response.status, b"".join(parts), times


def active_db(pcm: bytes) -> float:
    """Level of the 10 ms windows within 30 dB of the loudest, dBFS."""
    windows = np.frombuffer(pcm, "<i2")[: len(pcm) // 320 * 160].reshape(-1, 160) / 32768
    power = (windows**2).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 1000].mean()))


async def test_a_phrase_is_streamed_at_the_level_and_trimmed(server: tuple[str, Served]) -> None:
    _, served = server
    status, pcm, times = await speech(served)
    assert status == 200
    assert 2.5 < len(pcm) / 16000 < 6
    assert abs(active_db(pcm) - SPEECH_DB) < 3
    spans = sound_spans(pcm, 8000, floor_db=-52)
    assert spans[0][0] <= 60
    assert len(pcm) / 16 - spans[-1][1] <= 200
    print(f"{server[0]}: first audio {times[0]:.0f} ms, all {times[-1]:.0f} ms")


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050])
async def test_any_rate_has_the_same_length(server: tuple[str, Served], rate_hz: int) -> None:
    _, base, _ = await speech(server[1], sample_rate=8000)
    _, pcm, _ = await speech(server[1], sample_rate=rate_hz)
    assert len(pcm) / rate_hz == pytest.approx(len(base) / 8000, abs=0.04)


async def test_audio_comes_before_the_long_text_is_done(server: tuple[str, Served]) -> None:
    _, pcm, times = await speech(server[1], input=LONG)
    assert len(pcm) / 16000 > 60
    assert times[0] < times[-1] / 3


async def test_hanging_up_stops_the_synthesis(server: tuple[str, Served]) -> None:
    engine, served = server
    order = {"input": LONG, "voice": "", "language": "en", "sample_rate": 48000}
    async with client() as session:
        before = served.cpu_s()
        for _ in range(5):
            url = f"{served.url}/v1/audio/speech"
            async with session.post(url, json=order) as response:
                await response.content.readany()
        async with asyncio.timeout(20):  # each is over at once, and the server is idle again
            while (await (await session.get(f"{served.url}/health")).json())["in_flight"]:
                await asyncio.sleep(0.02)
            spent = served.cpu_s() - before
            while children(served.process.pid):  # espeak's programs are killed, then reaped
                await asyncio.sleep(0.02)
    if engine == "flite":
        assert spent < 1.5  # whole, each would take 0.8 s


def children(pid: int) -> list[str]:
    return [
        status.name
        for status in Path("/proc").iterdir()
        if status.name.isdigit() and _parent(status) == pid
    ]


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


async def test_phrases_side_by_side(server: tuple[str, Served]) -> None:
    results = await asyncio.gather(*(speech(server[1]) for _ in range(10)))
    assert {status for status, _, _ in results} == {200}
    assert len({len(pcm) // 1600 for _, pcm, _ in results}) <= 2


async def test_voices_and_unknown_ones(server: tuple[str, Served]) -> None:
    engine, served = server
    async with client() as session:
        voices = (await (await session.get(f"{served.url}/v1/voices")).json())["voices"]
    expected = (
        {"id": "slt", "language": "en"} if engine == "flite" else {"id": "hi", "language": "hi"}
    )
    assert expected in voices
    assert (await speech(served, voice="nobody"))[0] == 200


async def test_languages(server: tuple[str, Served]) -> None:
    engine, served = server
    status, pcm, _ = await speech(served, input=HINDI, language="hi")
    if engine == "flite":
        assert status == 400
        assert b"does not speak" in pcm
        return
    assert status == 200
    assert len(pcm) > 16000
    for language in ("ta", "te", "bn", "mr", "gu", "kn", "ml", "pa", "or", "as", "ur"):
        assert len((await speech(served, input="नमस्ते 5", language=language))[1]) > 3000
    assert (await speech(served, input=HINDI, language="hi", voice="hi+f3"))[0] == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"input": ""}, 400),
        ({"input": "\x00\x1b\n"}, 400),
        ({"input": 5}, 400),
        ({"input": "a" * 2001}, 413),
        ({"input": "a" * 100_000}, 413),
        ({"response_format": "mp3"}, 400),
        ({"sample_rate": 7}, 400),
        ({"sample_rate": [8000]}, 400),
        ({"voice": "", "language": "xx"}, 400),
        ({"input": "--help -f /etc/passwd"}, 200),
        ({"input": "<speak><audio src='x'/>&amp; %s %n \\ `id` $(id)</speak>"}, 200),
        ({"input": "Zürich café ₹500 – “quoted” …"}, 200),
        ({"voice": "../../etc/passwd"}, 200),
        ({"voice": "en+../../x"}, 200),
    ],
)
async def test_odd_orders(server: tuple[str, Served], fields: dict[str, Any], status: int) -> None:
    found, body, _ = await speech(server[1], **fields)
    assert found == status, body
    if status != 200:
        assert b'"message"' in body


async def test_it_answers_others_while_it_speaks(server: tuple[str, Served]) -> None:
    async def late() -> Late:
        async with client() as session:
            long = asyncio.create_task(speech(server[1], input=LONG))
            slowest_s = 0.0
            while not long.done():
                began = time.perf_counter()
                async with session.get(f"{server[1].url}/health") as response:
                    await response.read()
                slowest_s = max(slowest_s, time.perf_counter() - began)
                await asyncio.sleep(0.005)
        return {"slowest": slowest_s * 1000}

    await on_time(late, late_ms=300)


async def test_missing_programs_are_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flite, "LIBRARY", "libflite-that-is-not-there.so.1")
    with pytest.raises(UserError, match="apt-get install flite"):
        flite.FliteEngine()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "tts", "--engine", "espeak",
        env={"PATH": str(tmp_path)}, stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert "apt-get install espeak-ng" in said.decode()


async def test_only_the_languages_and_the_capacity_that_are_asked_for(tmp_path: Path) -> None:
    options = ("--languages", "hi,ta-IN", "--capacity", "3")
    async with serving(tmp_path, "tts", "--engine", "espeak", *options) as served:
        async with client() as session:
            facts = await (await session.get(f"{served.url}/health")).json()
        assert facts["languages"] == ["hi", "ta"]
        assert facts["capacity"] == 3
        assert (await speech(served, input=HINDI, language="hi", voice="hi+f3"))[0] == 200
        assert (await speech(served, language="en"))[0] == 400
        assert (await speech(served, input=HINDI, language="hi", voice="en+f3"))[0] == 200


@pytest.mark.parametrize(
    ("engine", "options", "said"),
    [
        ("flite", ModelOptions(model="slt"), "leave out --model"),
        ("espeak", ModelOptions(device="cuda"), "leave out --model"),
        ("flite", ModelOptions(languages=("hi",)), "flite does not speak 'hi'; it speaks en"),
        ("coqui", ModelOptions(), "Name coqui's voice"),
        ("coqui", ModelOptions(model="indic-tts-hi"), "ivr models pull indic-tts-hi"),
        ("coqui", ModelOptions(model="/nowhere"), "There is no folder /nowhere"),
        ("sapi", ModelOptions(), "there are flite, espeak and coqui"),
    ],
)
async def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, engine: str, options: ModelOptions, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        _engine(Settings(data_dir=tmp_path), engine, options)


async def _served(server: Server) -> TestClient[web.Request, web.Application]:
    client = TestClient(TestServer(server.application()))
    await client.start_server()
    return client


async def test_any_engine_with_an_identity_has_its_phrases_kept(tmp_path: Path) -> None:
    engine = FliteEngine()
    engine.identity = "flite 2.2"
    order = {"input": "Thank you for calling.", "sample_rate": 8000}
    heard = []
    for _ in range(2):  # the second server is the first one started anew
        client = await _served(Server(engine, VoiceCache(tmp_path / "voices")))
        for _ in range(2):
            heard.append(await (await client.post("/v1/audio/speech", json=order)).read())
        await client.close()
    assert len(set(heard)) == 1
    assert len(list((tmp_path / "voices").glob("*.l16"))) == 1


async def test_neither_engine_that_is_quicker_than_a_cache_nor_long_texts_are_kept(
    tmp_path: Path,
) -> None:
    engine = EspeakEngine()
    client = await _served(Server(engine, VoiceCache(tmp_path / "voices")))
    for _ in range(3):
        await (await client.post("/v1/audio/speech", json={"input": "Thank you."})).read()
    await client.close()
    engine.identity = "espeak"
    client = await _served(Server(engine, VoiceCache(tmp_path / "voices")))
    for _ in range(3):
        await (await client.post("/v1/audio/speech", json={"input": "Thank you. " * 20})).read()
    await client.close()
    assert not (tmp_path / "voices").exists()


class LostAtTheEnd(VoiceCache):
    """Keeps nothing: as a phrase ends, and is kept, whoever listens has gone."""

    app: web.Application

    def put(self, name: str, pcm: bytes) -> None:
        for protocol in self.app[SPOKEN]:
            assert isinstance(protocol, web.RequestHandler) and protocol.transport is not None
            protocol.transport.abort()


async def test_who_hangs_up_as_a_phrase_ends_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FliteEngine()
    engine.identity = "flite 2.2"
    cache = LostAtTheEnd(tmp_path / "voices")
    client = await _served(Server(engine, cache))
    assert client.app is not None
    cache.app = client.app
    order = {"input": "Thank you for calling.", "sample_rate": 8000}
    with pytest.raises(ClientError):
        await (await client.post("/v1/audio/speech", json=order)).read()
    load = client.app[LOAD]
    await until(lambda: load.in_flight == 0)
    await client.close()
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_model_that_hangs_makes_health_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_watch, "HANG_S", 0.05)
    monkeypatch.setattr(model_watch, "LOOK_S", 0.01)
    engine = FliteEngine()
    engine.watch = ModelWatch()
    server = Server(engine)
    client = await _served(server)
    assert client.app is not None
    assert (await client.get("/health")).status == 200
    load = client.app[LOAD]
    with engine.watch.step():
        await until(lambda: not load.ready)
        assert (await client.get("/health")).status == 503
    await until(lambda: load.ready)
    assert (await client.get("/health")).status == 200
    await client.close()
