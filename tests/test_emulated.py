"""The emulated engines keep their declared latencies, on the real wires."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path

import numpy as np
import orjson
import pytest
from aiohttp import ClientSession, ClientTimeout, WSMsgType

from appliance.audio import bytes_of, silence, sound_spans, ulaw_decode, ulaw_encode
from appliance.engines.emulated import EmulatedEngines
from appliance.engines.emulated_llm import to_tokens
from appliance.engines.emulated_script import Locator, Script, Utterance, load_script, to_track
from appliance.engines.emulated_small import embedding
from appliance.engines.emulated_stt import Hearing
from appliance.engines.emulated_tts import one_second
from appliance.errors import UserError
from tests.metrics_kit import parsed
from tests.pace_kit import Late, on_time
from tests.tinyserver import until

pytestmark = pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")

RATE_HZ = 8000
EARLY_MS = 5
SLACK_MS = 60
"""What wires and a machine that does nothing else may add to a declared latency; for one that does,
see pace_kit.py."""


@pytest.fixture
async def engines(script: Script) -> AsyncIterator[EmulatedEngines]:
    servers = EmulatedEngines(script)
    await servers.start()
    yield servers
    await servers.stop()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=20)) as session:
        yield session


def plain(utterance: Utterance) -> str:
    return " ".join(word.text.strip(".,?").lower() for word in utterance.words)


def test_recordings_end_with_their_speech(script: Script) -> None:
    for utterance in script.utterances:
        pcm = utterance.pcm(RATE_HZ)
        ends_ms = [word.end_ms for word in utterance.words]
        assert ends_ms == sorted(ends_ms)
        assert abs(ends_ms[-1] - len(pcm) // 16) <= 1
        spans = sound_spans(pcm, RATE_HZ, bridge_ms=2000)
        assert len(spans) == 1
        assert spans[0][0] <= 10
        assert spans[0][1] >= len(pcm) // 16 - 20
        assert 10 <= len(utterance.answer.split()) <= 25


def test_a_missing_script_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rehearsal\.script"):
        load_script(tmp_path / "none.json")


def test_locator_finds_a_piece_after_g711(script: Script) -> None:
    locator = Locator(script)
    for utterance in script.utterances:
        pcm = ulaw_decode(ulaw_encode(utterance.pcm(RATE_HZ)))
        for start_ms in range(0, len(pcm) // 16 - 320, 310):
            piece = pcm[bytes_of(start_ms, RATE_HZ) : bytes_of(start_ms + 320, RATE_HZ)]
            place = locator.find(to_track(piece, RATE_HZ))
            assert place is not None
            assert place.utterance is utterance
            assert abs(place.end_ms - start_ms - 320) <= 20  # two pitch periods at most
    assert locator.find(to_track(silence(300, RATE_HZ), RATE_HZ)) is None


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_hearing_places_every_word(script: Script, rate_hz: int) -> None:
    locator = Locator(script)
    for utterance in script.utterances:
        hearing = Hearing(locator, rate_hz)
        pcm = silence(200, rate_hz) + utterance.pcm(rate_hz) + silence(300, rate_hz)
        step = bytes_of(20, rate_hz)
        for at in range(0, len(pcm), step):
            hearing.feed(pcm[at : at + step])
        assert hearing.final_text() == plain(utterance)
        assert abs(hearing.speech_end_ms - 200 - utterance.words[-1].end_ms) <= 20
        assert hearing.text(0) == ""


@pytest.mark.parametrize("pause_ms", [0, 100, 300])
def test_hearing_takes_an_utterance_in_one_piece(script: Script, pause_ms: int) -> None:
    """As it comes when another server died: with the pause that was there by then, the last words,
    and the silence behind them, in frames."""
    for utterance in script.utterances:
        for word in utterance.words[2:-1]:
            cut = bytes_of(word.end_ms, RATE_HZ)
            pcm = silence(200, RATE_HZ) + utterance.pcm(RATE_HZ)[:cut] + silence(pause_ms, RATE_HZ)
            hearing = Hearing(Locator(script), RATE_HZ)
            hearing.feed(pcm)
            assert hearing.final_text().startswith(" ".join(plain(utterance).split()[:2]))


def test_hearing_of_what_came_with_holes_is_never_of_other_words(script: Script) -> None:
    """As it comes from a machine that stood still: frames are gone, or silent in their place."""
    locator, chance = Locator(script), random.Random(3)
    for utterance in script.utterances * 40:
        hearing = Hearing(locator, RATE_HZ)
        pcm, step = silence(200, RATE_HZ) + utterance.pcm(RATE_HZ), bytes_of(20, RATE_HZ)
        gone = 0
        for at in range(0, len(pcm), step):
            gone = gone - 1 if gone else chance.choice([1, 2, 4, 8]) * (chance.random() < 0.05)
            if not gone:
                hearing.feed(pcm[at : at + step])
            elif chance.random() < 0.5:
                hearing.feed(silence(20, RATE_HZ))
        heard = hearing.final_text()
        assert set(heard.split()) <= set(plain(utterance).split()), utterance.id
        assert heard, utterance.id


@pytest.mark.parametrize("held_up_ms", [60, 300])
def test_hearing_of_what_was_held_up_has_no_word_twice(script: Script, held_up_ms: int) -> None:
    locator = Locator(script)
    for utterance in script.utterances:
        pcm = utterance.pcm(RATE_HZ)
        for at_ms in range(0, len(pcm) // 16, 100):
            hearing = Hearing(locator, RATE_HZ)
            at = bytes_of(at_ms, RATE_HZ)
            hearing.feed(pcm[:at] + silence(held_up_ms, RATE_HZ) + pcm[at:])
            assert hearing.final_text() == plain(utterance), at_ms


def test_hearing_knows_a_piece_and_two_in_one_and_no_noise(script: Script) -> None:
    locator = Locator(script)
    first, second = script.utterances[0], script.utterances[3]
    both = Hearing(locator, RATE_HZ)
    tail = Hearing(locator, RATE_HZ)
    noise = Hearing(locator, RATE_HZ)
    pcm = first.pcm(RATE_HZ) + silence(300, RATE_HZ) + second.pcm(RATE_HZ) + silence(60, RATE_HZ)
    cut_ms = first.words[2].end_ms
    rustle = np.random.default_rng(1).normal(0, 3000, 8000).astype("<i2").tobytes()
    for at in range(0, len(pcm), 320):
        both.feed(pcm[at : at + 320])
    for at in range(bytes_of(cut_ms, RATE_HZ), len(first.pcm(RATE_HZ)), 320):
        tail.feed(pcm[at : at + 320])
    for at in range(0, len(rustle), 320):
        noise.feed(rustle[at : at + 320])
    assert both.final_text() == f"{plain(first)} {plain(second)}"
    assert tail.final_text() == " ".join(plain(first).split()[3:])
    assert noise.final_text() == ""


async def heard(http: ClientSession, url: str, pcm: bytes) -> list[tuple[float, dict[str, object]]]:
    """What comes back of ``pcm`` said in real time, to its final, each with its ms from the first
    sample on."""
    got: list[tuple[float, dict[str, object]]] = []
    async with http.ws_connect(url + "/v1/stream") as socket:
        await socket.send_json(
            {"type": "open", "call_id": "c", "rate": RATE_HZ, "language": "en", "context": "a.1.0"}
        )
        assert (await socket.receive_json())["type"] == "ready"
        await socket.send_json({"type": "start", "utterance": 1})
        begun_s = time.monotonic()

        async def speak() -> None:
            for index, at in enumerate(range(0, len(pcm), 320)):
                await asyncio.sleep(max(0.0, begun_s + (index + 1) * 0.02 - time.monotonic()))
                await socket.send_bytes(pcm[at : at + 320])
            await socket.send_json({"type": "finish", "utterance": 1})

        talking = asyncio.create_task(speak())
        async for message in socket:
            got.append(((time.monotonic() - begun_s) * 1000, orjson.loads(message.data)))
            if got[-1][1]["type"] == "final":
                break
        await talking
    return got


@pytest.mark.server
async def test_stt_keeps_its_latencies(
    engines: EmulatedEngines, http: ClientSession, script: Script
) -> None:
    utterance = script.utterances[6]
    pcm = silence(100, RATE_HZ) + utterance.pcm(RATE_HZ)

    async def late() -> Late:
        got = await heard(http, engines.urls["stt"], pcm)
        *partials, (final_at_ms, final) = got
        assert final["text"] == plain(utterance)
        assert final["utterance"] == 1
        shown = {len(str(m["text"]).split()): (at, str(m["text"])) for at, m in partials}
        assert all(plain(utterance).startswith(text) for _, text in shown.values())
        ends_ms = [100 + word.end_ms for word in utterance.words]
        assert final_at_ms - ends_ms[-1] >= 50 - EARLY_MS
        # The first word is placed late, and shown no earlier than it is known; the last comes with
        # the final. One that is shown in no try is late for ever.
        assert 1 in shown
        told_ms = {n: shown.get(n, (inf, ""))[0] for n in range(2, len(ends_ms))}
        late_ms = {f"word {n}": at_ms - ends_ms[n - 1] - 50 for n, at_ms in told_ms.items()}
        return {**late_ms, "final": final_at_ms - ends_ms[-1] - 50}

    await on_time(late, early_ms=25, late_ms=SLACK_MS)


@pytest.mark.server
async def test_stt_refuses_a_stream_that_does_not_open(
    engines: EmulatedEngines, http: ClientSession
) -> None:
    async with http.ws_connect(engines.urls["stt"] + "/v1/stream") as socket:
        await socket.send_json({"type": "open", "call_id": "c", "rate": 44100})
        error = await socket.receive_json()
        assert (error["type"], error["code"]) == ("error", "bad_request")
        assert (await socket.receive()).type is WSMsgType.CLOSE


@pytest.mark.server
async def test_llm_streams_at_its_pace_and_counts_aborts(
    engines: EmulatedEngines, http: ClientSession, script: Script
) -> None:
    url = engines.urls["llm"] + "/v1/chat/completions"
    question = script.utterances[0]
    body = {"stream": True, "messages": [{"role": "user", "content": question.text}]}
    last_due_ms = 200 + (len(to_tokens(question.answer)) - 1) / 60 * 1000

    async def late() -> Late:
        begun_s, times_ms, text = time.monotonic(), [], ""
        async with http.post(url, json=body) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    delta = orjson.loads(line[6:])["choices"][0]["delta"]
                    if "content" in delta:
                        times_ms.append((time.monotonic() - begun_s) * 1000)
                        text += delta["content"]
        assert text == question.answer
        return {"first": times_ms[0] - 200, "last": times_ms[-1] - last_due_ms}

    await on_time(late, early_ms=EARLY_MS, late_ms=SLACK_MS)

    short = await http.post(url, json={**body, "stream": False, "max_tokens": 3})
    choice = (await short.json())["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == "".join(to_tokens(question.answer)[:3])

    async with http.post(url, json=body) as response:
        await response.content.readany()
    await until(lambda: (engines.loads["llm"].aborted, engines.loads["llm"].in_flight) == (1, 0))
    bad = await http.post(url, json={"messages": "no"})
    assert (bad.status, "error" in await bad.json()) == (400, True)


@pytest.mark.server
async def test_tts_keeps_its_pace_and_never_falls_silent(
    engines: EmulatedEngines, http: ClientSession
) -> None:
    body = {"model": "m", "input": "one two three four", "voice": "slt", "sample_rate": RATE_HZ}

    async def late() -> Late:
        begun_s, pcm, first_ms = time.monotonic(), b"", 0.0
        async with http.post(engines.urls["tts"] + "/v1/audio/speech", json=body) as response:
            async for chunk in response.content.iter_any():
                first_ms = first_ms or (time.monotonic() - begun_s) * 1000
                pcm += chunk
        whole_ms = (time.monotonic() - begun_s) * 1000
        assert len(pcm) == bytes_of(4 * 300, RATE_HZ)
        assert sound_spans(pcm, RATE_HZ, bridge_ms=1) == [(0, 1200)]
        # ten times real time, in pieces of 100 ms: the last goes out when 1100 ms are over
        return {"first": first_ms - 100, "whole": whole_ms - (100 + 1100 / 10)}

    await on_time(late, early_ms=EARLY_MS, late_ms=SLACK_MS)
    empty = await http.post(engines.urls["tts"] + "/v1/audio/speech", json={"input": " "})
    assert empty.status == 400


def test_one_second_repeats_without_silence() -> None:
    pcm = one_second(RATE_HZ) * 2
    assert len(sound_spans(pcm, RATE_HZ, bridge_ms=11)) == 1
    assert np.all(np.frombuffer(pcm, "<i2") != 0)


@pytest.mark.server
async def test_turn_judge_knows_the_end_of_a_recording(
    engines: EmulatedEngines, http: ClientSession, script: Script
) -> None:
    pcm = script.utterances[1].pcm(RATE_HZ)
    url = engines.urls["turn"] + "/v1/turn?rate=8000"
    whole = await (await http.post(url, data=pcm + silence(200, RATE_HZ))).json()
    half = await (await http.post(url, data=pcm[: bytes_of(1200, RATE_HZ)])).json()
    quiet = await (await http.post(url, data=silence(500, RATE_HZ))).json()
    assert (whole["complete"], half["complete"], quiet["complete"]) == (0.95, 0.05, 0.95)

    async def late() -> Late:
        said = await (await http.post(url, data=pcm + silence(200, RATE_HZ))).json()
        return {"verdict": said["ms"] - 30}

    await on_time(late, early_ms=1, late_ms=SLACK_MS)
    assert (await http.post(url, data=b"odd")).status == 400


@pytest.mark.server
async def test_embedder_serves_unit_vectors(engines: EmulatedEngines, http: ClientSession) -> None:
    url = engines.urls["embed"] + "/v1/embeddings"
    body = {"model": "m", "input": ["refund days", "days refund", "office"]}
    data = (await (await http.post(url, json=body)).json())["data"]
    first, second, third = (np.array(item["embedding"]) for item in data)
    assert np.linalg.norm(first) == pytest.approx(1)
    assert first @ second == pytest.approx(1)
    assert abs(first @ third) < 0.3
    assert embedding("refund days") == pytest.approx(first)


@pytest.mark.server
async def test_every_stage_has_its_health_page(
    engines: EmulatedEngines, http: ClientSession
) -> None:
    for stage, url in engines.urls.items():
        page = await (await http.get(url.replace("ws:", "http:") + "/health")).json()
        assert (page["status"], page["stage"], page["in_flight"]) == ("ok", stage, 0)
        told = parsed(await (await http.get(url.replace("ws:", "http:") + "/metrics")).text())
        assert told.total("ivr_server_ready", stage=stage, engine="emulated") == 1
        assert told.total("ivr_server_in_flight") == 0
        assert told.total("ivr_build_info", process=stage) == 1


@pytest.mark.server
async def test_a_server_with_slots_lets_the_others_wait(
    http: ClientSession, script: Script
) -> None:
    servers = EmulatedEngines(script, slots={"tts": 2, "stt": 1})
    await servers.start(("tts", "stt"))
    body = {"input": "one two three four", "sample_rate": RATE_HZ, "response_format": "pcm"}

    begun_s = time.monotonic()

    async def speak() -> tuple[float, float]:
        async with http.post(servers.urls["tts"] + "/v1/audio/speech", json=body) as answer:
            await answer.content.readany()
            first_ms = (time.monotonic() - begun_s) * 1000
            await answer.read()
        return first_ms, (time.monotonic() - begun_s) * 1000

    spoken = sorted(await asyncio.gather(*(speak() for _ in range(4))))
    firsts, first_over = [first_ms for first_ms, _ in spoken], min(over_ms for _, over_ms in spoken)
    assert firsts[1] < first_over, "two were not spoken at once"
    assert firsts[2] > max(250, first_over), "the third did not wait for a slot"

    opening = {"type": "open", "call_id": "c", "rate": RATE_HZ, "language": "en", "context": "a"}
    stream = servers.urls["stt"] + "/v1/stream"
    async with http.ws_connect(stream) as one:
        await one.send_json(opening)
        assert (await one.receive_json())["type"] == "ready"
        async with http.ws_connect(stream) as two:
            await two.send_json(opening)
            assert (await two.receive_json())["code"] == "full"
    await servers.stop()
