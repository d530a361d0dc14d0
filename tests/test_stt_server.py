"""The recogniser's server over its real websocket, with real speech."""

from __future__ import annotations

import asyncio
import io
import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from appliance.models import ending, stt_server
from appliance.models.batching import Stuck
from appliance.ops.keeping.ports import free_port
from tests.knowledge_servers import AUTHORIZATION
from tests.pace_kit import Late, on_time
from tests.serving import Served, client, healthy, serving
from tests.spoken import RATE_HZ, on_the_line, say, word_errors

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

KNOWLEDGE = (Path(__file__).parent.parent / "appliance/samples/sunrise-broadband.md").read_text()
CONTEXT = "sunrise.1.1"
FRAME = 320
QUESTIONS = (
    "what are your opening hours",
    "how much does the family plan cost",
    "how do i restart my router",
    "can i pay by card",
    "what is the late fee",
    "is there a discount for a year",
    "how do i cancel my connection",
    "which areas do you cover",
    "thank you that is all",
    "no wait",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(tmp_path_factory.mktemp("stt"), "stt") as served:
        async with client() as session:
            await put(session, served)
        yield served


async def put(session: aiohttp.ClientSession, served: Served, **changes: Any) -> dict[str, Any]:
    value = {"language": "en", "texts": [KNOWLEDGE], **changes}
    async with session.put(f"{served.url}/v1/contexts/{CONTEXT}", json=value) as response:
        return {"status": response.status, **await response.json()}


@asynccontextmanager
async def connected(
    served: Served, **changes: Any
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, dict[str, Any]]]:
    """A stream, and the server's answer to ``open``."""
    opening = {"type": "open", "call_id": "test", "rate": RATE_HZ, "language": "en",
               "context": CONTEXT, **changes}  # fmt: skip
    async with client() as session:
        async with session.ws_connect(f"{served.url}/v1/stream") as socket:
            await socket.send_json(opening)
            yield socket, await socket.receive_json(timeout=10)


async def utter(
    socket: aiohttp.ClientWebSocketResponse, pcm: bytes, utterance: int, *, pace_s: float = 0
) -> tuple[list[dict[str, Any]], dict[str, Any], float]:
    """Speak one utterance: its partials, its final, and ms from ``finish`` to the final."""
    await socket.send_json({"type": "start", "utterance": utterance})
    for at in range(0, len(pcm), FRAME):
        await socket.send_bytes(pcm[at : at + FRAME])
        if pace_s:
            await asyncio.sleep(pace_s)
    await asyncio.sleep(pace_s)
    await socket.send_json({"type": "finish", "utterance": utterance})
    began = time.perf_counter()
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] != "final":
        messages.append(await socket.receive_json(timeout=10))
    return messages[:-1], messages[-1], (time.perf_counter() - began) * 1000


async def test_health_says_what_it_is(server: Served) -> None:
    async with client() as session, session.get(f"{server.url}/health") as response:
        assert await response.json() == {
            "status": "ok", "stage": "stt", "engine": "pocketsphinx", "languages": ["en"],
            "in_flight": 0, "capacity": 16,
        }  # fmt: skip


@pytest.mark.parametrize("voice", ["awb", "rms"])
async def test_questions_are_understood(server: Served, voice: str) -> None:
    errors = words = 0
    async with connected(server) as (socket, ready):
        assert ready == {"type": "ready", "engine": "pocketsphinx"}
        for number, question in enumerate(QUESTIONS, 1):
            pcm = say(question, voice)
            partials, final, _ = await utter(socket, pcm, number)
            assert final["utterance"] == number
            assert final["audio_ms"] == len(pcm) * 1000 // (2 * RATE_HZ)
            assert 0 <= final["confidence"] <= 1
            assert partials, question
            texts = [partial["text"] for partial in partials]
            assert all(one != other for one, other in itertools.pairwise(texts))
            errors += word_errors(question, final["text"])
            words += len(question.split())
    print(f"{voice}: {errors} word errors of {words}")
    assert errors / words <= 0.06


async def test_words_come_while_they_are_spoken_and_the_final_at_once(server: Served) -> None:
    pcm, numbers = say("how do i change my wifi password"), itertools.count(1)
    async with connected(server) as (socket, _):

        async def late() -> Late:
            partials, final, late_ms = await utter(socket, pcm, next(numbers), pace_s=0.02)
            assert partials[0]["audio_ms"] < final["audio_ms"] * 0.6
            assert "password" in final["text"]
            return {"final": late_ms}

        await on_time(late, late_ms=50)


async def test_a_cough_a_hum_and_silence_are_no_words(server: Served) -> None:
    draw = np.random.default_rng(7)
    time_s = np.arange(RATE_HZ * 3 // 2) / RATE_HZ
    cough = draw.normal(0, 9000, RATE_HZ // 4) * np.exp(-np.arange(RATE_HZ // 4) / RATE_HZ * 12)
    hum = sum(np.sin(2 * np.pi * 50 * k * time_s) * 3000 / k for k in (1, 2, 3, 4))
    async with connected(server) as (socket, _):
        for number, samples in enumerate((cough, hum, np.zeros(RATE_HZ)), 1):
            _, final, _ = await utter(socket, on_the_line(np.asarray(samples)), number)
            assert final["text"] == ""
            assert final["confidence"] == 0


async def test_other_words_have_less_confidence(server: Served) -> None:
    async with connected(server) as (socket, _):
        _, known, _ = await utter(socket, say("how do i restart my router"), 1)
        _, strange, _ = await utter(socket, say("elephants enjoy purple umbrellas"), 2)
    assert known["confidence"] > 0.5 > strange["confidence"]


async def test_an_utterance_ends_by_itself_after_30_s(server: Served) -> None:
    async with connected(server) as (socket, _):
        await socket.send_json({"type": "start", "utterance": 5})
        await socket.send_bytes(say("what is the late fee") + bytes(30 * RATE_HZ * 2))
        final = {"type": ""}
        while final["type"] != "final":
            final = await socket.receive_json(timeout=20)
        await socket.send_json({"type": "finish", "utterance": 5})  # no second final for this one
        _, after, _ = await utter(socket, say("can i pay by card"), 6)
        assert after["utterance"] == 6


async def test_a_new_start_abandons_the_utterance_before(server: Served) -> None:
    async with connected(server) as (socket, _):
        await socket.send_json({"type": "start", "utterance": 1})
        await socket.send_bytes(say("how much does the family plan cost")[: RATE_HZ * 2])
        _, final, _ = await utter(socket, say("what is the late fee"), 2)
        assert final["text"] == "what is the late fee"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"context": "nobody.1.1"}, "unknown_context"),
        ({"language": "hi"}, "language"),
        ({"rate": 44100}, "bad_request"),
        ({"type": "start"}, "bad_request"),
    ],
)
async def test_an_open_that_cannot_be_served(
    server: Served, changes: dict[str, Any], code: str
) -> None:
    async with connected(server, **changes) as (socket, answer):
        assert (answer["type"], answer["code"]) == ("error", code)
        assert answer["message"]
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE


async def test_messages_out_of_the_protocol_are_dropped(server: Served) -> None:
    async with connected(server) as (socket, _):
        for text in ("{", "[]", '{"type":"start"}', '{"type":"sing","utterance":1}'):
            await socket.send_str(text)
        await socket.send_bytes(b"\0\0")
        await socket.send_json({"type": "start", "utterance": 1})
        await socket.send_bytes(b"\0")
        _, final, _ = await utter(socket, say("what is the late fee"), 2)
        assert final["text"] == "what is the late fee"


async def test_more_calls_than_it_carries_are_refused(server: Served) -> None:
    async with client() as session:
        sockets = [await session.ws_connect(f"{server.url}/v1/stream") for _ in range(17)]
        opening = {"type": "open", "call_id": "t", "rate": 8000, "language": "en"}
        answers = []
        for socket in sockets:
            await socket.send_json(opening | {"context": CONTEXT})
            answers.append(await socket.receive_json(timeout=10))
        for socket in sockets:
            await socket.close()
    assert [answer["type"] for answer in answers] == ["ready"] * 16 + ["error"]
    assert answers[-1]["code"] == "full"


async def test_contexts(server: Served) -> None:
    async with client() as session:
        again = await put(session, server)
        assert again["status"] == 200
        assert again["words"] > 300
        assert (await put(session, server, language="hi"))["status"] == 400
        refused = await put(session, server, texts=[1])
        assert refused["error"]["type"] == "invalid_request_error"
        url = f"{server.url}/v1/contexts/{CONTEXT}"
        kind = {"Content-Type": "application/json"}
        async with session.put(url, data=io.BytesIO(b" " * (9 << 20)), headers=kind) as response:
            assert response.status == 413
        async with session.put(f"{server.url}/v1/contexts/a%2Fb", json={}) as response:
            assert response.status in (400, 404)


async def test_building_a_vocabulary_does_not_stall_other_calls(server: Served) -> None:
    numbers = itertools.count(1)

    async def late() -> Late:
        return {"final": await waits_beside_a_build(server, f"other.1.{next(numbers)}")}

    await on_time(late, late_ms=100)


async def waits_beside_a_build(server: Served, context: str) -> float:
    """Median ms from ``finish`` to the final, for who talks while a vocabulary is made."""
    texts = [KNOWLEDGE.replace("router", f"box {n}") for n in range(4)]
    async with connected(server) as (socket, _), client() as session:
        url = f"{server.url}/v1/contexts/{context}"
        build = asyncio.create_task(session.put(url, json={"language": "en", "texts": texts}))
        pcm, waits = say("how do i get a new connection"), []
        while not build.done():
            _, final, late_ms = await utter(socket, pcm, 1, pace_s=0.005)
            waits.append(late_ms)
            assert final["text"] == "how do i get a new connection"
        assert (await build).status == 200
    return float(np.median(waits))


async def test_sigterm_lets_the_utterance_finish(tmp_path: Path) -> None:
    async with serving(tmp_path, "stt") as served:
        async with client() as session:
            await put(session, served)
        async with connected(served) as (busy, _), connected(served) as (idle, _):
            pcm = say("what is the late fee")
            await busy.send_json({"type": "start", "utterance": 1})
            await busy.send_bytes(pcm[: len(pcm) // 2])
            await asyncio.sleep(0.1)
            served.process.send_signal(signal.SIGTERM)
            assert (await idle.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
            await busy.send_bytes(pcm[len(pcm) // 2 :])
            await busy.send_json({"type": "finish", "utterance": 1})
            final = {"type": ""}
            while final["type"] != "final":
                final = await busy.receive_json(timeout=10)
            assert final["text"] == "what is the late fee"


async def test_the_options_say_how_many_calls_and_which_languages(tmp_path: Path) -> None:
    async with serving(tmp_path, "stt", "--capacity", "3", "--languages", "en-IN") as served:
        async with client() as http, http.get(f"{served.url}/health") as response:
            health = await response.json()
    assert (health["capacity"], health["languages"]) == (3, ["en"])


class _BrokenSession:
    def start(self) -> None:
        pass

    async def accept(self, pcm: bytes) -> str | None:
        raise RuntimeError("the decoder is broken")

    def close(self) -> None:
        pass


class _BrokenEngine:
    name, languages, capacity = "broken", ("*",), 1

    def open(self, context: str, language: str, rate_hz: int) -> _BrokenSession:
        return _BrokenSession()


class _TroubledSession(_BrokenSession):
    def __init__(self, trouble: Exception) -> None:
        self._trouble = trouble

    async def accept(self, pcm: bytes) -> str | None:
        raise self._trouble


class _TroubledEngine(_BrokenEngine):
    capacity = 4

    def __init__(self, trouble: Exception) -> None:
        self._trouble = trouble

    def open(self, context: str, language: str, rate_hz: int) -> _TroubledSession:
        return _TroubledSession(self._trouble)


async def speak_into(http: Any) -> int | None:
    """A call that says something: what the server closes it with."""
    async with http.ws_connect("/v1/stream") as socket:
        opening = {"type": "open", "call_id": "t", "rate": 8000, "language": "xx"}
        await socket.send_json(opening | {"context": "any"})
        assert (await socket.receive_json(timeout=10))["type"] == "ready"
        await socket.send_json({"type": "start", "utterance": 1})
        await socket.send_bytes(bytes(320))
        closing = await socket.receive(timeout=10)
        return closing.data if closing.type is aiohttp.WSMsgType.CLOSE else None


async def test_a_stuck_engine_is_unhealthy_until_it_comes_back() -> None:
    stuck = Stuck("a run takes longer than 5 s")
    server = stt_server.Server(_TroubledEngine(stuck))
    async with TestClient(TestServer(server.application())) as client:
        assert (await client.get("/health")).status == 200
        assert await speak_into(client) == 1011  # the worker goes to another server
        assert (await client.get("/health")).status == 503
        assert await speak_into(client) == 1011
        stuck.over.set()
        await asyncio.sleep(0.01)
        assert (await client.get("/health")).status == 200


LOST = """
import sys
from appliance.models.stt_server import Server
from appliance.models import http, stt_server
from appliance.models.batching import DeviceLost, Stuck
from appliance.telemetry import configure
from tests.knowledge_servers import KEY
from tests.test_stt_server import _TroubledEngine
stt_server.HUNG_S = 0.2
trouble = {"lost": DeviceLost("CUDA failed with error unspecified launch failure"),
           "stuck": Stuck("a run takes longer than 5 s")}[sys.argv[1]]
async def build():
    return Server(_TroubledEngine(trouble)).application()
configure("stt")
http.run(build, "127.0.0.1", int(sys.argv[2]), lambda: http.Access(KEY, lambda: ""))
"""


@pytest.mark.parametrize(
    ("trouble", "said"),
    [("lost", "the GPU is gone"), ("stuck", "the engine is")],
)
async def test_a_process_that_can_decode_no_more_ends_for_its_keeper(
    trouble: str, said: str
) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOST, trouble, str(port), stderr=asyncio.subprocess.PIPE
    )
    try:
        await healthy(Served(f"http://127.0.0.1:{port}", process))
        address = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession(address, headers=AUTHORIZATION) as client:
            await speak_into(client)
            _, log = await asyncio.wait_for(process.communicate(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == ending.LOST_STATUS
    assert said in log.decode()


async def test_an_engine_that_fails_closes_the_call_as_an_error_and_frees_its_slot() -> None:
    async with TestClient(TestServer(stt_server.Server(_BrokenEngine()).application())) as client:
        for _ in range(2):
            async with client.ws_connect("/v1/stream") as socket:
                opening = {"type": "open", "call_id": "t", "rate": 8000, "language": "xx"}
                await socket.send_json(opening | {"context": "any"})
                assert (await socket.receive_json(timeout=10))["type"] == "ready"
                await socket.send_json({"type": "start", "utterance": 1})
                await socket.send_bytes(bytes(320))
                closing = await socket.receive(timeout=10)
                assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1011)
