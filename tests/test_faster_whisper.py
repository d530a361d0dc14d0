"""``ivr stt --engine faster-whisper`` with the real library and a tiny checkpoint of random weights.

What needs the library runs where the extra ``gpu`` is installed, and is skipped elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.models.engine import ModelOptions
from tests.serving import Served, serving

RATE_HZ = 8000
CONTEXT = "sunrise.1.1"
TEXTS = ["Our office is in Pune, next to Nashik Road."]
OPENING = {"type": "open", "call_id": "t", "rate": RATE_HZ, "language": "hi", "context": CONTEXT}
PROMPT = "Pune, Nashik, Road"
"""Made of ``TEXTS``."""
MB_OF_LIBRARIES = 300


def noise(ms: int, seed: int = 1) -> bytes:
    draw = np.random.default_rng(seed).normal(0, 3000, ms * RATE_HZ // 1000)
    return draw.astype("<i2").tobytes()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("faster_whisper", reason="needs pip install '.[stt]'")
    from tests.tiny_whisper import make

    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def english(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_whisper import make

    return make(tmp_path_factory.mktemp("english"), multilingual=False)


def load(folder: Path, **options: str) -> Any:
    from appliance.models.faster_whisper import FasterWhisper

    return FasterWhisper(ModelOptions(str(folder), "cpu", **options))


def ivr(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``ivr stt --engine faster-whisper`` that is expected to end at its start."""
    command = [sys.executable, "-m", "appliance", "stt", "--engine", "faster-whisper", "--port=0"]
    return subprocess.run(
        [*command, *arguments], env={**os.environ, **environment}, timeout=30,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


# What is missing is said at the start, with what mends it.


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "appliance.models.faster_whisper", raising=False)
    yield


def test_without_the_package_it_says_what_to_install(no_package: None) -> None:
    result = CliRunner().invoke(main, ["stt", "--engine", "faster-whisper", "--model", "base"])
    assert result.exit_code == 2
    assert "Install it: pip install -e '.[stt]'" in result.output


def test_pocketsphinx_has_no_model_to_choose() -> None:
    result = CliRunner().invoke(main, ["stt", "--model", "base"])
    assert result.exit_code == 2
    assert "--engine faster-whisper" in result.output


@pytest.mark.server
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Name Whisper's model: --model large-v3-turbo"),
        (("--model", "/nowhere/whisper"), "There is no folder /nowhere/whisper."),
        (("--model", "nonsense"), "The model nonsense cannot be fetched: Invalid model size"),
        (("--model", "base"), "say --model FOLDER"),
        (("--model", "TINY", "--device", "cpu", "--compute-type", "int3"), "int3"),
        (("--model", "TINY", "--device", "cuda"), "say --device cpu"),
    ],
)
def test_a_wrong_start_ends_in_one_sentence(
    tiny: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    given = [str(tiny) if a == "TINY" else a for a in arguments]
    ended = ivr(
        *given, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path), CUDA_VISIBLE_DEVICES="",
        IVR_DATA_DIR=str(tmp_path),
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("missing", ["model.bin", "config.json", "tokenizer.json"])
def test_a_folder_that_is_no_model_says_how_to_convert_one(
    tiny: Path, tmp_path: Path, missing: str
) -> None:
    from appliance.errors import UserError

    for file in tiny.iterdir():
        if file.name != missing:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(UserError, match=rf"{missing} missing.*ct2-transformers-converter"):
        load(tmp_path)


# The model.


def test_it_knows_its_languages(tiny: Path, english: Path) -> None:
    model = load(tiny)
    assert model.multilingual
    assert all(model.speaks(language) for language in ("en", "hi", "ta", "te", "bn", "mr"))
    assert not model.speaks("or")  # Whisper has not learnt Odia
    model = load(english)
    assert not model.multilingual
    assert (model.speaks("en"), model.speaks("hi")) == (True, False)


async def test_a_decode_is_greedy_bounded_and_hears_the_audio(tiny: Path) -> None:
    from appliance.models.faster_whisper import LEAST_NEW_TOKENS, TOKENS_PER_S

    model = load(tiny, compute_type="float32")
    first = await model.decode(noise(2000), RATE_HZ, "hi", "")
    assert first.text
    assert first.logprob < 0
    assert 0 <= first.no_speech < 0.6
    # its words are one token each, and it never ends by itself
    most = LEAST_NEW_TOKENS + 2 * TOKENS_PER_S
    assert most - 2 <= len(first.text.split()) <= most + 4
    assert await model.decode(noise(2000), RATE_HZ, "hi", "") == first
    others = [
        await model.decode(noise(2000, seed=9), RATE_HZ, "hi", ""),
        await model.decode(noise(2000), RATE_HZ, "ta", ""),
        await model.decode(noise(2000), RATE_HZ, "hi", "Pune, Nashik"),
    ]
    assert all(other.logprob != first.logprob for other in others)


async def test_what_is_longer_than_a_window_is_cut_and_fits_beside_a_prompt(tiny: Path) -> None:
    from appliance.models.whisper import MOST_PROMPT_TOKENS

    model = load(tiny)
    prompt = "x" * (MOST_PROMPT_TOKENS - 1)
    assert model.tokens(prompt) == MOST_PROMPT_TOKENS
    words = (await model.decode(noise(30_500), RATE_HZ, "hi", prompt)).text.split()
    assert 200 < len(words) <= 224


async def test_wide_band_audio_and_no_audio(tiny: Path) -> None:
    model = load(tiny)
    assert (await model.decode(noise(2000), 16_000, "en", "")).text
    assert (await model.decode(b"", RATE_HZ, "en", "")).text == ""


# The server.


@asynccontextmanager
async def served(folder: Path, data: Path) -> AsyncIterator[tuple[Served, aiohttp.ClientSession]]:
    options = ("--engine", "faster-whisper", "--model", str(folder), "--device", "cpu")
    async with serving(data, "stt", *options) as server, aiohttp.ClientSession() as http:
        yield server, http


async def put(http: aiohttp.ClientSession, server: Served, language: str) -> dict[str, Any]:
    url, value = f"{server.url}/v1/contexts/{CONTEXT}", {"language": language, "texts": TEXTS}
    async with http.put(url, json=value) as response:
        return {"status": response.status, **await response.json()}


@pytest.mark.server
async def test_a_call_over_the_wire(tiny: Path, tmp_path: Path) -> None:
    async with served(tiny, tmp_path) as (server, http):
        assert (await put(http, server, "hi"))["words"] == 3
        async with http.get(f"{server.url}/health") as response:
            health = await response.json()
        assert (health["engine"], health["languages"]) == ("faster-whisper", ["*"])
        async with http.ws_connect(f"{server.url}/v1/stream") as socket:
            await socket.send_json(OPENING)
            assert await socket.receive_json(timeout=5) == {
                "type": "ready", "engine": "faster-whisper",
            }  # fmt: skip
            for utterance in (1, 2):
                partials, final, late_ms = await utter(socket, noise(3600), utterance)
                assert final["utterance"] == utterance
                assert final["audio_ms"] == 3600
                assert final["text"] and 0 < final["confidence"] < 1
                assert all(1500 <= partial["audio_ms"] < 3600 for partial in partials)
                assert len(partials) in (1, 2)  # the second is told only if its words differ
                print(f"final {late_ms:.0f} ms, RSS {server.rss_mb():.0f} MB")
        assert server.rss_mb() < MB_OF_LIBRARIES


async def utter(
    socket: aiohttp.ClientWebSocketResponse, pcm: bytes, utterance: int
) -> tuple[list[dict[str, Any]], dict[str, Any], float]:
    """Speak twice as fast as a caller; the partials, the final, and ms that it took to come."""
    await socket.send_json({"type": "start", "utterance": utterance})
    for at in range(0, len(pcm), 320):
        await socket.send_bytes(pcm[at : at + 320])
        await asyncio.sleep(0.01)
    began = time.perf_counter()
    await socket.send_json({"type": "finish", "utterance": utterance})
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] != "final":
        messages.append(await socket.receive_json(timeout=10))
    return messages[:-1], messages[-1], (time.perf_counter() - began) * 1000


@pytest.mark.server
async def test_calls_at_once_get_the_words_of_their_own_audio(tiny: Path, tmp_path: Path) -> None:
    from appliance.models.whisper import words_of

    model, lengths_ms = load(tiny), (400, 1000, 2000)
    alone = [await model.decode(noise(ms), RATE_HZ, "hi", PROMPT) for ms in lengths_ms]
    expected = [words_of(decoded) for decoded in alone]
    assert len(set(expected)) == len(lengths_ms)
    async with served(tiny, tmp_path) as (server, http):
        await put(http, server, "hi")

        async def call(ms: int) -> list[tuple[str, float]]:
            async with http.ws_connect(f"{server.url}/v1/stream") as socket:
                await socket.send_json(OPENING)
                reply = await socket.receive_json(timeout=5)
                assert reply["type"] == "ready"
                finals = [(await utter(socket, noise(ms), n))[1] for n in (1, 2)]
                return [(final["text"], final["confidence"]) for final in finals]

        async with asyncio.timeout(20):
            heard = await asyncio.gather(*map(call, lengths_ms[:2]))
            heard.append(await call(lengths_ms[2]))
    assert heard == [[(words.text, words.confidence)] * 2 for words in expected]


@pytest.mark.server
async def test_languages_it_has_not_are_refused(tiny: Path, english: Path, tmp_path: Path) -> None:
    for folder, language in itertools.product((tiny, english), ("or", "hi")):
        async with served(folder, tmp_path) as (server, http):
            refused = language == "or" or folder == english
            answer = await put(http, server, language)
            assert answer["status"] == (400 if refused else 200)
            await put(http, server, "en")
            async with http.ws_connect(f"{server.url}/v1/stream") as socket:
                await socket.send_json(OPENING | {"language": language})
                reply = await socket.receive_json(timeout=5)
                assert reply.get("code") == ("language" if refused else None)
