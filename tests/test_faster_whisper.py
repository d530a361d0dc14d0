"""``ivr stt --engine faster-whisper`` with the real library and a tiny checkpoint of random weights.

Its server runs in the environment that ``IVR_TEST_STT_PYTHON`` names, and so do the tests that call
the library itself; without one both are skipped.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.models.engine import ModelOptions
from appliance.models.mel_stream import MelStream
from appliance.models.whisper import MOST_PROMPT_TOKENS, Window
from tests.serving import Served, client, serving
from tests.stt_environment import STT_PYTHON, in_stt_python, needs_stt_python, run_library_tests

RATE_HZ = 8000
CONTEXT = "sunrise.1.1"
TEXTS = ["Our office is in Pune, next to Nashik Road."]
OPENING = {"type": "open", "call_id": "t", "rate": RATE_HZ, "language": "hi", "context": CONTEXT}
MB_OF_LIBRARIES = 300


def noise(ms: int, seed: int = 1) -> bytes:
    draw = np.random.default_rng(seed).normal(0, 3000, ms * RATE_HZ // 1000)
    return draw.astype("<i2").tobytes()


def window(ms: int, language: str = "hi", prompt: tuple[int, ...] = (), seed: int = 1) -> Window:
    return Window(noise(ms, seed), language, prompt, MelStream(80, RATE_HZ), ms, True)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its transcripts are as long as they may be."""
    return made(tmp_path_factory.mktemp("endless"), "endless")


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("english"), "en")


def made(folder: Path, *kind: str) -> Path:
    if STT_PYTHON:
        in_stt_python("-m", "tests.tiny_whisper", folder, *kind)
        return folder
    pytest.importorskip("faster_whisper", reason="needs pip install '.[stt]'")
    in_python = [sys.executable, "-m", "tests.tiny_whisper", str(folder), *kind]
    subprocess.run(in_python, check=True, timeout=60)
    return folder


def load(folder: Path, **options: Any) -> Any:
    """The model, where its library is installed."""
    pytest.importorskip("faster_whisper", reason="runs in IVR_TEST_STT_PYTHON")
    from appliance.models.faster_whisper import FasterWhisper

    return FasterWhisper(ModelOptions(str(folder), "cpu", **options), folder)


@needs_stt_python
def test_the_librarys_own_tests_pass_in_its_environment() -> None:
    run_library_tests("tests/test_faster_whisper.py")


# What is missing is said at the start, with what mends it.


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "appliance.models.faster_whisper", raising=False)
    yield


def test_without_the_package_it_says_what_to_install(no_package: None, tmp_path: Path) -> None:
    arguments = ["stt", "--engine", "faster-whisper", "--model", str(tmp_path), "--port", "0"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Install it: pip install -e '.[stt]'" in result.output


def test_pocketsphinx_has_no_model_to_choose() -> None:
    result = CliRunner().invoke(main, ["stt", "--model", "base"])
    assert result.exit_code == 2
    assert "--engine faster-whisper" in result.output


def test_a_language_that_pocketsphinx_has_not_stops_the_start() -> None:
    pytest.importorskip("pocketsphinx", reason="needs pip install '.[embedded]'")
    result = CliRunner().invoke(main, ["stt", "--languages", "en,hi"])
    assert result.exit_code == 2
    assert "pocketsphinx knows English only, not hi." in result.output


def ivr(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``ivr stt --engine faster-whisper`` that is expected to end at its start."""
    command = [STT_PYTHON, "-m", "appliance", "stt", "--engine", "faster-whisper", "--port=0"]
    return subprocess.run(
        [*command, *arguments], env={**os.environ, **environment}, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@needs_stt_python
@pytest.mark.server
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "ivr models list"),
        (("--model", "/nowhere/whisper"), "There is no folder /nowhere/whisper."),
        (("--model", "whisper-medium"), "ivr models pull whisper-medium"),
        (("--model", "TINY", "--device", "cpu", "--compute-type", "int3"), "int3"),
        (("--model", "TINY", "--device", "cuda"), "say --device cpu"),
        (("--model", "TINY", "--device", "cpu", "--languages", "hi,or"), "has not learnt 'or'"),
        (("--model", "ENGLISH", "--device", "cpu", "--languages", "hi"), "has not learnt 'hi'"),
    ],
)
def test_a_wrong_start_ends_in_one_sentence(
    tiny: Path, english: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    folders = {"TINY": str(tiny), "ENGLISH": str(english)}
    given = [folders.get(argument, argument) for argument in arguments]
    ended = ivr(*given, CUDA_VISIBLE_DEVICES="", IVR_DATA_DIR=str(tmp_path))
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


LITTLE_MEMORY = """
import os, resource, sys
from pathlib import Path
from appliance.errors import UserError
from appliance.models.engine import ModelOptions
from appliance.models.faster_whisper import FasterWhisper
folder = Path(sys.argv[1])
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), -1))
try:
    FasterWhisper(ModelOptions(str(folder), "cpu"), folder)
except UserError as e:
    print(e, flush=True)
os._exit(0)  # with so little memory Python cannot end in order
"""


@needs_stt_python
def test_a_model_that_does_not_fit_into_memory_says_what_to_do(tmp_path: Path) -> None:
    """100 MB of weights into 40 MB of address space."""
    said = in_stt_python("-c", LITTLE_MEMORY, made(tmp_path, "huge"), timeout_s=60)
    assert "does not fit into this machine's memory" in said
    assert "--compute-type" in said


# A folder that is damaged, or was converted badly.


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize("missing", ["model.bin", "config.json", "tokenizer.json"])
def test_a_folder_that_is_no_model_says_how_to_convert_one(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(UserError, match=rf"{missing} missing.*ivr models convert"):
        load(copy)


@pytest.mark.parametrize("damaged", ["model.bin", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("how", ["cut", "empty", "noise"])
def test_a_damaged_file_is_one_sentence(copy: Path, damaged: str, how: str) -> None:
    file = copy / damaged
    whole = file.read_bytes()
    damage = {"cut": whole[: len(whole) // 2], "empty": b"", "noise": noise(200)}
    file.write_bytes(damage[how])
    with pytest.raises(UserError, match=r"does not run on cpu: .*fetch it again|cannot be read"):
        load(copy)


def test_a_converted_checkpoint_that_lost_its_languages_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper", reason="runs in IVR_TEST_STT_PYTHON")
    from tests.tiny_whisper import make

    folder = make(tmp_path, multilingual=False, extra=51_000)
    with pytest.raises(UserError, match=r'hear every language as English.*put "" at place 50256'):
        load(folder)


@pytest.mark.parametrize("name", ["lang_ids", "alignment_heads"])
def test_a_checkpoint_converted_without_its_generation_config_is_refused(
    copy: Path, name: str
) -> None:
    config = orjson.loads((copy / "config.json").read_bytes())
    (copy / "config.json").write_bytes(orjson.dumps(config | {name: []}))
    with pytest.raises(UserError, match=rf"\({name}\).*ivr models convert"):
        load(copy)


# The model.


def test_it_knows_its_languages(tiny: Path, english: Path) -> None:
    model = load(tiny)
    assert model.multilingual
    assert all(model.speaks(language) for language in ("en", "hi", "ta", "te", "bn", "mr"))
    assert not model.speaks("or")  # Whisper has not learnt Odia
    model = load(english)
    assert not model.multilingual
    assert (model.speaks("en"), model.speaks("hi")) == (True, False)


async def test_it_hears_what_the_library_hears(tiny: Path) -> None:
    """Our batches against faster-whisper's own transcription of the same audio."""
    from appliance.audio import double_rate

    model = load(tiny, compute_type="float32")
    import faster_whisper

    library = faster_whisper.WhisperModel(str(tiny), "cpu", compute_type="float32")
    for language, prompt in (("hi", ""), ("ta", "Pune, Nashik")):
        asked = window(2000, language, model.tokens(prompt) if prompt else ())
        [ours] = await model.decode([asked])
        wide = double_rate(np.frombuffer(asked.pcm, "<i2"))
        audio = np.zeros(480_000, np.float32)
        audio[: len(wide)] = wide / np.float32(32768)
        segments, _ = library.transcribe(
            audio, language=language, beam_size=1, temperature=0, without_timestamps=True,
            condition_on_previous_text=False, hotwords=prompt or None, no_speech_threshold=None,
            log_prob_threshold=None, compression_ratio_threshold=None,
        )  # fmt: skip
        [theirs] = list(segments)
        assert ours.text == theirs.text.strip()
        assert ours.logprob == pytest.approx(theirs.avg_logprob, rel=1e-3)
        assert ours.no_speech == pytest.approx(theirs.no_speech_prob, rel=1e-2)


async def test_a_batch_hears_what_each_alone_hears(tiny: Path) -> None:
    model = load(tiny, compute_type="float32")
    windows = [window(400), window(2000, "ta"), window(1000, "en"), window(3000, seed=9)]
    together = await model.decode(windows)
    alone = [(await model.decode([one]))[0] for one in windows]
    assert [decoded.text for decoded in together] == [decoded.text for decoded in alone]
    assert [d.logprob for d in together] == pytest.approx([d.logprob for d in alone], rel=1e-3)
    assert len({decoded.text for decoded in together}) >= 3


async def test_an_endless_transcript_is_bounded_by_its_own_audio(endless: Path) -> None:
    model = load(endless)
    from appliance.models.faster_whisper import most_new_tokens

    windows = [window(500), window(2000), window(30_000)]
    lengths = [len(decoded.text.split()) for decoded in await model.decode(windows)]
    assert lengths == [most_new_tokens(w.audio_ms) for w in windows]  # a word is a token
    prompt = model.tokens("x" * (MOST_PROMPT_TOKENS - 1))
    assert len(prompt) == MOST_PROMPT_TOKENS
    [long] = await model.decode([window(30_000, prompt=prompt)])
    assert 200 < len(long.text.split()) <= 224


async def test_wide_band_audio_and_no_audio(tiny: Path) -> None:
    model = load(tiny)
    wide = Window(noise(2000), "en", (), MelStream(80, 16_000), 1000, True)
    assert (await model.decode([wide]))[0].text
    [nothing] = await model.decode([Window(b"", "en", (), MelStream(80, RATE_HZ), 0, True)])
    assert nothing.logprob <= 0


# The server.


@asynccontextmanager
async def served(
    folder: Path, data: Path, *options: str, status: int = 0
) -> AsyncIterator[tuple[Served, aiohttp.ClientSession]]:
    command = ("stt", "--engine", "faster-whisper", "--model", str(folder), "--device", "cpu")
    async with (
        serving(data, *command, *options, python=STT_PYTHON, status=status) as server,
        client() as http,
    ):
        yield server, http


async def put(
    http: aiohttp.ClientSession, server: Served, language: str, texts: Sequence[str] = TEXTS
) -> dict[str, Any]:
    url, value = f"{server.url}/v1/contexts/{CONTEXT}", {"language": language, "texts": texts}
    async with http.put(url, json=value) as response:
        return {"status": response.status, **await response.json()}


@asynccontextmanager
async def opened(
    http: aiohttp.ClientSession, server: Served, **changes: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with http.ws_connect(f"{server.url}/v1/stream") as socket:
        await socket.send_json(OPENING | changes)
        assert (await socket.receive_json(timeout=5))["type"] == "ready"
        yield socket


async def utter(
    socket: aiohttp.ClientWebSocketResponse, pcm: bytes, utterance: int, pace_s: float = 0.01
) -> tuple[list[dict[str, Any]], dict[str, Any], float]:
    """Speak; the partials, the final, and ms that it took to come."""
    await socket.send_json({"type": "start", "utterance": utterance})
    for at in range(0, len(pcm), 320):
        await socket.send_bytes(pcm[at : at + 320])
        await asyncio.sleep(pace_s)
    began = time.perf_counter()
    await socket.send_json({"type": "finish", "utterance": utterance})
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] != "final":
        messages.append(await socket.receive_json(timeout=20))
    return messages[:-1], messages[-1], (time.perf_counter() - began) * 1000


@needs_stt_python
@pytest.mark.server
async def test_a_call_over_the_wire(tiny: Path, tmp_path: Path) -> None:
    async with served(tiny, tmp_path) as (server, http):
        assert (await put(http, server, "hi"))["words"] == 3
        async with http.get(f"{server.url}/health") as response:
            health = await response.json()
        assert (health["engine"], health["languages"]) == ("faster-whisper", ["*"])
        async with opened(http, server) as socket:
            for utterance in (1, 2):
                pcm = noise(3600) + bytes(400 * 16)
                partials, final, late_ms = await utter(socket, pcm, utterance, 0.02)
                assert (final["utterance"], final["audio_ms"]) == (utterance, 4000)
                assert final["text"] and 0 < final["confidence"] < 1
                assert partials[-1]["text"] == final["text"]  # shown when the sound had ended
                assert partials[-1]["audio_ms"] < 4000
                texts = [partial["text"] for partial in partials]
                assert all(
                    later.startswith(earlier) for earlier, later in itertools.pairwise(texts)
                )
                print(f"final {late_ms:.0f} ms, RSS {server.rss_mb():.0f} MB")
        assert server.rss_mb() < MB_OF_LIBRARIES


@needs_stt_python
@pytest.mark.server
async def test_calls_at_once_get_the_words_of_their_own_audio(tiny: Path, tmp_path: Path) -> None:
    """Finals are decoded when the sound ends, so that neither the batch nor the pace matters."""
    languages = ("hi", "ta", "en", "bn", "te", "mr")
    async with served(tiny, tmp_path, "--capacity", "6") as (server, http):
        await put(http, server, "hi", [])  # a prompt outweighs the language in random weights

        async def call(language: str) -> list[str]:
            async with opened(http, server, language=language) as socket:
                pcm = noise(900) + bytes(200 * 16)
                return [(await utter(socket, pcm, n))[1]["text"] for n in (1, 2)]

        async with asyncio.timeout(60):
            alone = [await call(language) for language in languages]
            together = await asyncio.gather(*map(call, languages))
    assert together == alone
    assert all(one == other for one, other in alone)
    assert len({texts[0] for texts in alone}) >= 2


@needs_stt_python
@pytest.mark.server
async def test_a_server_killed_in_mid_utterance_ends_its_calls_at_once(
    tiny: Path, tmp_path: Path
) -> None:
    """The worker hears of it by the closed connection, and goes to another server."""
    async with served(tiny, tmp_path, status=-signal.SIGKILL) as (server, http):
        await put(http, server, "hi")
        async with opened(http, server) as socket:
            await socket.send_json({"type": "start", "utterance": 1})
            await socket.send_bytes(noise(2000))
            await asyncio.sleep(0.05)
            server.process.kill()
            message = await socket.receive(timeout=2)
            while message.type is aiohttp.WSMsgType.TEXT:
                message = await socket.receive(timeout=2)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            await asyncio.wait_for(server.process.wait(), 5)


@needs_stt_python
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


@needs_stt_python
@pytest.mark.server
async def test_only_the_languages_of_the_settings_are_offered(tiny: Path, tmp_path: Path) -> None:
    async with served(tiny, tmp_path, "--languages", "hi,mr") as (server, http):
        async with http.get(f"{server.url}/health") as response:
            assert (await response.json())["languages"] == ["hi", "mr"]
        assert (await put(http, server, "ta"))["status"] == 400
        assert (await put(http, server, "hi"))["status"] == 200
