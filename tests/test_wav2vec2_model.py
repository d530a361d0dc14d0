"""``ivr stt --engine wav2vec2`` with torch and transformers and tiny checkpoints of random weights.

Its server runs in the environment that ``IVR_TEST_STT_PYTHON`` names, and so do the tests that call
the library itself; without one both are skipped.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest

from appliance.errors import UserError
from appliance.models.ctc import greedy
from appliance.models.ctc_chunks import next_chunk
from appliance.models.engine import ModelOptions
from appliance.models.wav2vec2 import Part
from appliance.models.wav2vec2_files import read_layout
from tests.serving import Served, client, serving
from tests.stt_environment import STT_PYTHON, in_stt_python, needs_stt_python, run_library_tests

RATE_HZ = 16_000
CALL_RATE_HZ = 8000
CONTEXT = "sunrise.1.1"
OPENING = {
    "type": "open", "call_id": "t", "rate": CALL_RATE_HZ, "language": "hi", "context": CONTEXT,
}  # fmt: skip


def noise(samples: int, seed: int = 1) -> bytes:
    """Of a loudness that changes, so that random weights hear something in it."""
    draw = np.random.default_rng(seed)
    envelope = np.repeat(draw.uniform(0.2, 1.0, samples // 800 + 1), 800)[:samples]
    return (draw.normal(0, 4000, samples) * envelope).clip(-32768, 32767).astype("<i2").tobytes()


def part(samples: int, seed: int = 1) -> Part:
    """A whole utterance."""
    pcm = noise(samples, seed)
    layout_grid = next_chunk(0, samples, 0, read_grid())
    audio = np.frombuffer(pcm, "<i2") / 32768
    deviation = float(audio.std())
    return Part(pcm, RATE_HZ, float(audio.mean()), deviation, layout_grid, None, 0, True)


def read_grid() -> Any:
    from appliance.models.ctc_chunks import Grid

    return Grid(320, 400)


def made(folder: Path, *kind: str) -> Path:
    if STT_PYTHON:
        in_stt_python("-m", "tests.tiny_wav2vec2", folder, *kind)
        return folder
    pytest.importorskip("transformers", reason="needs pip install '.[wav2vec2]'")
    from tests.tiny_wav2vec2 import headless, make

    if "headless" in kind:
        return headless(folder)
    return make(folder, norm="group" if "group" in kind else "layer", lm="lm" in kind)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture(scope="session")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the base architecture, whose first norm goes over time."""
    return made(tmp_path_factory.mktemp("wav2vec2-group"), "group")


@pytest.fixture(scope="session")
def with_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a KenLM language model."""
    return made(tmp_path_factory.mktemp("wav2vec2-lm"), "lm")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def load(folder: Path, **options: Any) -> Any:
    """The model, where its library is installed."""
    pytest.importorskip("transformers", reason="runs in IVR_TEST_STT_PYTHON")
    from appliance.models.wav2vec2_model import Wav2Vec2

    return Wav2Vec2(ModelOptions(str(folder), "cpu", **options), folder)


@needs_stt_python
def test_the_librarys_own_tests_pass_in_its_environment() -> None:
    run_library_tests("tests/test_wav2vec2_model.py")


# A folder that is no recogniser, or is damaged.


def test_the_small_files_say_how_it_is_fed(tiny: Path, grouped: Path) -> None:
    layout = read_layout(tiny)
    assert layout.grid == read_grid()
    assert layout.letters.labels[layout.letters.delimiter] == "|"
    assert (layout.letters.blank, layout.letters.controls) == (0, frozenset({1, 2, 3}))
    assert layout.letters.script() == "DEVANAGARI"
    assert (layout.masked, read_layout(grouped).masked) == (True, False)


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("config.json", {"model_type": "bert"}, "is of a 'bert'"),
        ("config.json", {"vocab_size": 9}, "has not one token for each of 9 outputs"),
        ("config.json", {"pad_token_id": None}, "no pad_token_id"),
        ("config.json", {"conv_kernel": 5}, "lacks conv_kernel"),
        ("vocab.json", {"hi": {"a": 1}}, "holds no single vocabulary"),
        ("tokenizer_config.json", {"word_delimiter_token": "#"}, "no word delimiter '#'"),
        ("preprocessor_config.json", None, "preprocessor_config.json is missing"),
        ("model.safetensors", None, "model.safetensors is missing"),
    ],
)
def test_a_folder_that_is_no_recogniser_is_refused(
    copy: Path, file: str, change: dict[str, Any] | None, sentence: str
) -> None:
    if change is None:
        (copy / file).unlink()
    else:
        value = orjson.loads((copy / file).read_bytes())
        (copy / file).write_bytes(orjson.dumps(value | change))
    with pytest.raises(UserError, match=sentence):
        read_layout(copy)


@pytest.mark.parametrize("how", ["cut", "empty", "noise"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.json"])
def test_a_damaged_file_is_one_sentence(copy: Path, name: str, how: str) -> None:
    pytest.importorskip("transformers", reason="runs in IVR_TEST_STT_PYTHON")
    file = copy / name
    whole = file.read_bytes()
    damage = {"cut": whole[: len(whole) // 2], "empty": b"", "noise": noise(3000)}
    file.write_bytes(damage[how])
    with pytest.raises(UserError, match=r"(?i)fetch the model again|fetch it again"):
        load(copy)


def test_a_model_that_was_never_fine_tuned_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="runs in IVR_TEST_STT_PYTHON")
    with pytest.raises(UserError, match=r"lacks 2 weights.*not a fine-tuned recogniser"):
        load(made(tmp_path, "headless"))


def test_a_number_format_that_it_has_not_is_refused(tiny: Path) -> None:
    with pytest.raises(UserError, match="does not compute in 'int8'"):
        load(tiny, compute_type="int8")


# The model.


async def test_it_hears_what_the_library_hears(tiny: Path, grouped: Path) -> None:
    """Against transformers' own processor and model, the same audio."""
    for folder in (tiny, grouped):
        model = load(folder)
        import torch
        from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

        processor = Wav2Vec2Processor.from_pretrained(str(folder))
        reference = Wav2Vec2ForCTC.from_pretrained(str(folder)).eval()
        asked = part(24_000)
        audio = np.frombuffer(asked.pcm, "<i2").astype(np.float32) / 32768
        inputs = processor(audio, sampling_rate=RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            logits = reference(inputs.input_values).logits
        [ours] = await model.decode([asked])
        theirs = torch.log_softmax(logits, -1)[0].numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-2)
        assert greedy(ours, model.letters) == processor.batch_decode(logits.argmax(-1))[0]
        assert len(greedy(ours, model.letters)) > 5


async def test_a_padded_batch_hears_what_each_alone_hears(tiny: Path) -> None:
    model = load(tiny)
    assert not model.equal_lengths
    parts = [part(8000), part(24_000, 2), part(16_123, 3), part(100, 4)]
    together = await model.decode(parts)
    for asked, heard in zip(parts, together, strict=True):
        [alone] = await model.decode([asked])
        assert len(heard) == len(alone) == asked.chunk.frames
        np.testing.assert_allclose(heard, alone, atol=1e-3)


async def test_a_model_whose_norm_goes_over_time_is_not_padded(grouped: Path) -> None:
    """It would hear something else, depending on who shares the batch."""
    model = load(grouped)
    assert model.equal_lengths
    one, other = part(16_000), part(16_000, 2)
    for asked, heard in zip((one, other), await model.decode([one, other]), strict=True):
        [alone] = await model.decode([asked])
        np.testing.assert_allclose(heard, alone, atol=1e-3)
    [padded, _] = await model.decode([one, part(48_000, 3)])
    [alone] = await model.decode([one])
    assert np.abs(padded - alone).max() > 0.05


async def test_the_language_model_and_the_names_weigh_in(with_words: Path, tiny: Path) -> None:
    pytest.importorskip("transformers", reason="runs in IVR_TEST_STT_PYTHON")
    if not importlib.util.find_spec("kenlm"):
        pytest.skip("kenlm is not installed")
    model, bare = load(with_words), load(tiny)
    letters = model.letters
    spelt = spelling(letters, "मेरा बिल", doubt=letters.labels.index("प"))
    assert greedy(spelt, letters) == "पेरा बिल"  # what was heard, by a hair
    assert await model.search(spelt, ()) == "मेरा बिल"
    assert await bare.search(spelt, ()) is None  # nothing to weigh by
    assert await bare.search(spelt, ("मेरा",)) == "मेरा बिल"


def spelling(letters: Any, text: str, doubt: int) -> Any:
    """Frames that say ``text``, but ``doubt`` is a little more probable than its first letter."""
    rows = []
    for place, letter in enumerate(text):
        row = np.full(len(letters.labels), -12.0, np.float32)
        row[letters.delimiter if letter == " " else letters.labels.index(letter)] = -0.8
        if not place:
            row[doubt] = -0.7
        gap = np.full(len(letters.labels), -12.0, np.float32)
        gap[letters.blank] = -0.01
        rows += [row, gap]
    return np.stack(rows)


def test_without_kenlm_one_line_is_logged(
    with_words: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("transformers", reason="runs in IVR_TEST_STT_PYTHON")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "kenlm" else find(name, *a)
    )
    with caplog.at_level(logging.WARNING, "appliance"):
        load(with_words)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "! kenlm is not installed"
    ]


def test_a_damaged_language_model_is_one_sentence(with_words: Path, tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="runs in IVR_TEST_STT_PYTHON")
    for file in with_words.rglob("*"):
        if file.is_file():
            target = tmp_path / file.relative_to(with_words)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    (tmp_path / "language_model" / "lm.arpa").write_bytes(b"\\data\\\nngram 1=9\n")
    with pytest.raises(UserError, match=r"cannot be loaded.*remove that folder"):
        load(tmp_path)


# The server.


@needs_stt_python
@pytest.mark.server
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "TINY", "--device", "cpu"), "--languages hi"),
        (("--model", "TINY", "--device", "cpu", "--languages", "ta"), "writes Devanagari"),
        (("--model", "TINY", "--device", "cuda", "--languages", "hi"), "say --device cpu"),
        (("--model", "indicwav2vec-hi", "--languages", "hi"), "ivr models pull indicwav2vec-hi"),
    ],
)
def test_a_wrong_start_ends_in_one_sentence(
    tiny: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    given = [str(tiny) if argument == "TINY" else argument for argument in arguments]
    command = [STT_PYTHON, "-m", "appliance", "stt", "--engine", "wav2vec2", "--port=0", *given]
    ended = subprocess.run(
        command, timeout=60, capture_output=True, text=True, check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "IVR_DATA_DIR": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@asynccontextmanager
async def served(
    folder: Path, data: Path, *, status: int = 0
) -> AsyncIterator[tuple[Served, aiohttp.ClientSession]]:
    command = ("stt", "--engine", "wav2vec2", "--model", str(folder), "--device", "cpu",
               "--languages", "hi,mr", "--capacity", "8")  # fmt: skip
    async with (
        serving(data, *command, python=STT_PYTHON, status=status) as server,
        client() as http,
    ):
        url, value = f"{server.url}/v1/contexts/{CONTEXT}", {"language": "hi", "texts": []}
        async with http.put(url, json=value) as response:
            assert response.status == 200
        yield server, http


async def call(
    http: aiohttp.ClientSession, server: Served, seed: int, utterances: int = 1
) -> list[tuple[list[str], str]]:
    """Speak in real time: of each utterance, what was shown and the final."""
    pcm = noise(CALL_RATE_HZ * 3 // 2, seed) + bytes(CALL_RATE_HZ // 4 * 2)
    heard = []
    async with http.ws_connect(f"{server.url}/v1/stream") as socket:
        await socket.send_json(OPENING)
        assert (await socket.receive_json(timeout=5))["type"] == "ready"
        for number in range(1, utterances + 1):
            messages = await utter(socket, pcm, number)
            heard.append(([m["text"] for m in messages[:-1]], str(messages[-1]["text"])))
    return heard


async def utter(
    socket: aiohttp.ClientWebSocketResponse, pcm: bytes, number: int
) -> Sequence[dict[str, Any]]:
    await socket.send_json({"type": "start", "utterance": number})
    for at in range(0, len(pcm), 320):
        await socket.send_bytes(pcm[at : at + 320])
        await asyncio.sleep(0.02)
    await socket.send_json({"type": "finish", "utterance": number})
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] != "final":
        messages.append(await socket.receive_json(timeout=20))
    return messages


@needs_stt_python
@pytest.mark.server
@pytest.mark.parametrize("kind", ["tiny", "grouped", "with_words"])
async def test_calls_at_once_hear_their_own_words(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with served(request.getfixturevalue(kind), tmp_path) as (server, http):
        async with http.get(f"{server.url}/health") as response:
            health = await response.json()
        assert (health["engine"], health["languages"]) == ("wav2vec2", ["hi", "mr"])
        seeds = range(1, 7)
        async with asyncio.timeout(60):
            together = await asyncio.gather(*(call(http, server, seed) for seed in seeds))
    finals = [final for [(_, final)] in together]
    assert len(set(finals)) == len(finals)  # random weights hear other words in other noise
    for [(shown, final)] in together:
        assert shown and final
        if kind != "with_words":  # there the language model weighs in at the end
            assert shown[-1] == final
        grown = shown[:-1]  # the last corrects: the sound had ended
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(grown))


@needs_stt_python
@pytest.mark.server
async def test_a_server_killed_in_mid_utterance_is_heard_of_at_once(
    tiny: Path, tmp_path: Path
) -> None:
    async with served(tiny, tmp_path, status=-signal.SIGKILL) as (server, http):
        async with http.ws_connect(f"{server.url}/v1/stream") as socket:
            await socket.send_json(OPENING)
            assert (await socket.receive_json(timeout=5))["type"] == "ready"
            await socket.send_json({"type": "start", "utterance": 1})
            await socket.send_bytes(noise(CALL_RATE_HZ))
            server.process.kill()
            message = await socket.receive(timeout=2)
            while message.type is aiohttp.WSMsgType.TEXT:
                message = await socket.receive(timeout=2)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            await asyncio.wait_for(server.process.wait(), 5)
