"""GPU memory of a model, against cases reckoned by hand from the published shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.checkpoints.catalogue import load_catalogue
from appliance.checkpoints.gpu import MIB, Gpu, parse
from appliance.checkpoints.memory import CONTEXT_BYTES, Footprint, footprint, kv_bytes_per_token
from appliance.settings import Settings

ENTRIES = load_catalogue(Settings()).entries
LLAMA, QWEN = ENTRIES["llama-3.1-8b-instruct"], ENTRIES["qwen2.5-7b-instruct"]
WHISPER = ENTRIES["indicwhisper-hi"]


def test_the_kv_cache_of_published_models() -> None:
    assert kv_bytes_per_token(LLAMA.shape) == 2 * 32 * 8 * 128 * 2 == 131_072
    assert kv_bytes_per_token(QWEN.shape) == 2 * 28 * 4 * 128 * 2 == 57_344
    assert kv_bytes_per_token({"num_hidden_layers": 2, "num_attention_heads": 4,
                               "head_dim": 64, "hidden_size": 1}) == 2 * 2 * 4 * 64 * 2  # fmt: skip


def test_a_language_model() -> None:
    size = footprint(LLAMA, LLAMA.shape, engine="vllm", tokens=2048)
    assert size.weights == 16_060_000_000
    assert size.each == 2048 * 131_072 + 128_256 * 4
    assert size.process - CONTEXT_BYTES - 10**9 == 8192 * (6 * 4096 + 2 * 14_336) * 2
    assert size.of(20) == size.weights + size.process + 20 * size.each


@pytest.mark.parametrize("entry", [LLAMA, QWEN, ENTRIES["qwen2.5-1.5b-instruct"]])
def test_parameters_are_reckoned_where_nobody_tells_them(entry: object) -> None:
    told = footprint(entry, entry.shape, engine="vllm").weights  # type: ignore[arg-type,attr-defined]
    found = footprint(None, entry.shape, engine="vllm").weights  # type: ignore[attr-defined]
    assert found == pytest.approx(told, rel=0.16)  # tied embeddings are counted twice


def test_whisper_medium() -> None:
    size = footprint(WHISPER, WHISPER.shape, engine="faster-whisper", compute_type="float16")
    assert size.weights == 1_528_000_000
    cross = 2 * 24 * 1500 * 1024 * 2
    own = 2 * 24 * 448 * 1024 * 2
    scores, layer = 16 * 1500 * 1500 * 2, 1500 * (4096 + 6 * 1024) * 2
    assert size.each == cross + own + scores + layer + 3000 * 80 * 4 + 51_865 * 4
    int8 = footprint(WHISPER, WHISPER.shape, engine="faster-whisper", compute_type="int8_float16")
    assert (int8.weights, int8.each) == (size.weights // 2, size.each)
    alone = footprint(None, WHISPER.shape, engine="faster-whisper").weights
    assert alone == pytest.approx(size.weights, rel=0.01)


def test_wav2vec2_and_a_voice() -> None:
    entry = ENTRIES["indicwav2vec-hi"]
    size = footprint(entry, entry.shape, engine="wav2vec2")
    assert size.weights == 634_000_000
    assert size.each == 2 * (3 * 32_000 * 512 + 16 * 500**2 + 500 * (4096 + 6 * 1024))
    voice = footprint(ENTRIES["indic-tts-hi"], {}, engine="coqui")
    assert voice.weights == 52_000_000 * 4
    assert voice.each == 516 * 8192 * 6 * 4


def test_a_shape_that_says_too_little_is_an_error() -> None:
    with pytest.raises(KeyError):
        footprint(None, {"model_type": "whisper"}, engine="faster-whisper")


@given(st.integers(0, 500), st.integers(0, 500))
def test_more_at_once_never_takes_less(few: int, more: int) -> None:
    size = Footprint(100, 7, 30)
    assert size.of(few) <= size.of(few + more)
    assert size.of(few + more) - size.of(few) == 7 * more


def test_what_nvidia_smi_says_is_read() -> None:
    text = "0, NVIDIA H100 80GB HBM3, 81559, 1042\n1, NVIDIA L4, 23034, 0\nNo devices were found\n"
    assert parse(text) == [
        Gpu(0, "NVIDIA H100 80GB HBM3", 81_559 * MIB, 1042 * MIB),
        Gpu(1, "NVIDIA L4", 23_034 * MIB, 0),
    ]
    assert parse("0, GeForce, [N/A], [N/A]") == []
