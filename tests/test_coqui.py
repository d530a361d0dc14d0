"""Coqui's real code on voices of random weights in AI4Bharat's form, through the real server.

Needs ``IVR_TEST_TTS_PYTHON``: a Python with the extra ``tts`` (docs/engines-tts.md).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from tests.serving import Served, client, serving

PYTHON = os.environ.get("IVR_TEST_TTS_PYTHON", "")
pytestmark = [
    pytest.mark.server,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not PYTHON, reason="IVR_TEST_TTS_PYTHON names no Python with Coqui TTS"),
]
CHECKOUT = Path(__file__).parent.parent
SPEECH_DB = -20
PHRASES = [
    "जी हाँ.",
    "नमस्ते, मैं आपकी क्या मदद कर सकती हूँ?",
    "आपका बिल पाँच सौ निन्यानवे रुपये है. क्या मैं और कुछ बताऊँ?",
    "कृपया अपना राउटर बंद करके दो मिनट बाद फिर चालू करें, धन्यवाद.",
] * 3
LONG = "कृपया अपना राउटर बंद करें और दो मिनट बाद फिर चालू करें, तब तक फ़ोन न रखें. " * 20
"""Too long for the cache."""


def program(name: str, *arguments: object) -> Any:
    """Run a module of tests where Coqui is; the JSON object of its last line."""
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-m", name, *map(str, arguments)],
        cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else None


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two languages."""
    folder = tmp_path_factory.mktemp("indic-tts")
    program("tests.tiny_coqui", folder, "hi", "ta")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with coqui(voices, tmp_path_factory.mktemp("tts"), "--capacity", "16") as served:
        yield served


def coqui(model: Path, data_dir: Path, *options: str, status: int = 0) -> Any:
    command = ("tts", "--engine", "coqui", "--model", str(model), *options)
    return serving(data_dir, *command, python=PYTHON, status=status)


async def speech(served: Served, text: str, voice: str = "", **fields: Any) -> tuple[int, bytes]:
    order = {"input": text, "voice": voice, "language": "hi", "sample_rate": 8000, **fields}
    async with (
        client() as session,
        session.post(f"{served.url}/v1/audio/speech", json=order) as response,
    ):
        return response.status, await response.read()


async def health(served: Served) -> dict[str, Any]:
    async with (
        client() as session,
        session.get(f"{served.url}/health") as response,
    ):
        found: dict[str, Any] = await response.json()
        return found


def differ(one: bytes, other: bytes) -> int:
    """Greatest difference of two sounds, in steps of 1/32768."""
    a, b = (np.frombuffer(pcm, "<i2").astype(int) for pcm in (one, other))
    assert len(a) == len(b)
    return int(np.abs(a - b).max())


async def test_batches_and_chunks_are_what_coquis_own_inference_makes(voices: Path) -> None:
    found = program("tests.coqui_checks", voices / "hi")
    assert found["frames"] == found["coquis_frames"]
    assert found["mel_level"] > 0.1
    assert found["sound_level"] > 0.01
    assert found["mel_alone_vs_coqui"] < 1e-4
    assert found["mel_batch_vs_coqui"] < 1e-3
    assert found["sound_batch_vs_coqui"] < 1e-5
    assert found["sound_chunks_vs_coqui"] < 1e-5
    assert found["sound_last_chunks_vs_coqui"] < 1e-5
    assert found["chunks"][2] >= 4
    assert found["sound_too_little_beside"] > 1e-4, "this comparison would see no seam"
    assert found["speakers_differ"] > 0.1
    assert found["unknown_lines"] == 1
    assert found["danda_is_a_stop"]


async def test_whatever_is_wrong_with_a_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    said = program("tests.coqui_errors", tmp_path)
    assert set(said) == {"cut", "text", "other", "config", "vits", "code", "gpu", "half", "memory",
                         "speakers", "vocoder"}  # fmt: skip
    for trouble, sentence in said.items():
        assert sentence, f"{trouble} was not noticed"
        assert "\n" not in sentence, trouble
        assert len(sentence) < 500
    assert "damaged" in said["cut"]
    assert "damaged" in said["config"]
    assert "no FastPitch" in said["vits"]
    assert "not belong to its settings" in said["other"]
    assert "more than weights" in said["code"]
    assert "nvidia-smi" in said["gpu"]
    assert "not enough memory" in said["memory"]
    assert "speakers.pth" in said["speakers"]


async def test_the_server_says_what_it_speaks(server: Served) -> None:
    facts = await health(server)
    assert facts["languages"] == ["hi", "ta"]
    assert facts["voices"] == ["hi-female", "hi-male", "ta-female", "ta-male"]
    assert facts["capacity"] == 16


async def test_phrases_of_many_calls_at_once_sound_as_they_do_alone(
    server: Served, voices: Path, tmp_path: Path
) -> None:
    orders = [(f"{text} {'नमः ' * n}", ("hi-male", "hi-female")[n % 2])
              for n, text in enumerate(PHRASES)]  # fmt: skip
    together = await asyncio.gather(*(speech(server, *order) for order in orders))
    async with coqui(voices / "hi", tmp_path) as alone:
        for order, (status, pcm) in zip(orders, together, strict=True):
            assert status == 200
            assert len(pcm) > 8000
            assert differ(pcm, (await speech(alone, *order))[1]) <= 8


async def test_every_voice_has_the_appliances_level(server: Served) -> None:
    heard = {}
    for voice in ("hi-female", "hi-male"):
        _, pcm = await speech(server, PHRASES[2], voice)
        samples = np.frombuffer(pcm, "<i2") / 32768
        heard[voice] = pcm
        assert abs(10 * np.log10((samples**2).mean()) - SPEECH_DB) < 4
    assert heard["hi-female"] != heard["hi-male"]
    assert (await speech(server, PHRASES[2], "nobody"))[1] == heard["hi-female"]


async def test_other_languages(server: Served) -> None:
    assert (await speech(server, "வணக்கம், நன்றி.", language="ta"))[0] == 200
    status, said = await speech(server, PHRASES[0], language="bn")
    assert status == 400
    assert b"it speaks hi, ta" in said


async def test_what_it_cannot_say_is_left_out_and_nothing_at_all_is_refused(server: Served) -> None:
    status, pcm = await speech(server, "नमस्ते 漢字 abc 😀 दुनिया")
    assert (status, pcm) == (200, (await speech(server, "नमस्ते   दुनिया"))[1])
    for text in ("漢字", "...", "abc 123", "‍", "?! ,"):
        status, said = await speech(server, text)
        assert status == 400, text
        assert b"nothing in the input that this voice can speak" in said


async def test_hanging_up_stops_the_synthesis_and_others_go_on(server: Served) -> None:
    order = {"input": LONG, "voice": "hi-male", "language": "hi", "sample_rate": 48_000}
    async with client() as session:
        for _ in range(4):
            url = f"{server.url}/v1/audio/speech"
            async with session.post(url, json=order) as response:
                await response.content.readany()
    assert (await speech(server, "धन्यवाद, फिर मिलेंगे"))[0] == 200
    async with asyncio.timeout(3):
        while (await health(server))["in_flight"]:
            await asyncio.sleep(0.02)
    before = server.cpu_s()
    await asyncio.sleep(0.5)
    assert server.cpu_s() - before < 0.3, "it still works for those who hung up"


async def test_the_loop_answers_while_the_model_works(server: Served) -> None:
    long = [asyncio.create_task(speech(server, LONG)) for _ in range(3)]
    slowest = 0.0
    while not all(task.done() for task in long):
        began = asyncio.get_running_loop().time()
        await health(server)
        slowest = max(slowest, asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0.01)
    assert slowest < 0.5
    assert {(await task)[0] for task in long} == {200}


async def test_one_too_many_is_refused(voices: Path, tmp_path: Path) -> None:
    async with coqui(voices / "hi", tmp_path, "--capacity", "2") as served:
        found = await asyncio.gather(*(speech(served, LONG) for _ in range(3)))
    assert sorted(status for status, _ in found) == [200, 200, 503]


async def test_a_repeated_phrase_is_kept_even_when_the_server_is_killed(
    voices: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "cache" / "voices"
    async with coqui(voices, tmp_path, "--languages", "ta,hi", status=-9) as served:
        assert (await health(served))["languages"] == ["ta", "hi"]
        first = (await speech(served, PHRASES[1]))[1]
        assert not kept.exists()
        assert (await speech(served, PHRASES[1]))[1] == first
        async with asyncio.timeout(3):
            while not (kept.exists() and list(kept.glob("*.l16"))):
                await asyncio.sleep(0.02)
        speaking = asyncio.create_task(speech(served, LONG))
        await asyncio.sleep(0.3)
        served.process.kill()
        with pytest.raises(aiohttp.ClientError):
            await speaking
    (file,) = kept.glob("*.l16")
    async with coqui(voices, tmp_path, "--languages", "ta,hi") as served:
        before = served.cpu_s()
        assert (await speech(served, PHRASES[1]))[1] == first
        assert served.cpu_s() - before < 0.05, "it was spoken again"
        file.write_bytes(file.read_bytes()[:-100])
    async with coqui(voices, tmp_path, "--languages", "ta,hi") as served:
        assert differ((await speech(served, PHRASES[1]))[1], first) <= 8


async def test_a_start_that_fails_says_why_in_one_sentence(voices: Path, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-m", "appliance", "tts", "--engine", "coqui", "--model", str(voices),
        "--languages", "te", cwd=CHECKOUT, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "IVR_DATA_DIR": str(tmp_path), "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    (line,) = said.decode().strip().splitlines()
    assert "does not speak 'te'; it speaks hi, ta" in line
