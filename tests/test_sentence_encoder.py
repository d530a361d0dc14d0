"""Published encoders, tiny and random: read as their files say, and computed as they should be."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from appliance.checkpoints.forms import Form, form_of
from appliance.errors import UserError
from appliance.models.cross_encoder import CrossEncoder
from appliance.models.encoder_files import Pooling, read_encoder
from appliance.models.encoder_session import graph_file
from appliance.models.sentence_encoder import SentenceEncoder
from appliance.models.weights import read_weights, weight_files
from tests import tiny_encoder
from tests.stt_environment import in_stt_python, needs_stt_python

TEXTS = ["when are you open", "मेरा बिल कब भरना है", "fee", "router " * 60, "unheard words"]


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
def test_vectors_are_those_of_a_plain_forward_pass(tmp_path: Path, kind: str, pooling: str) -> None:
    folder = tmp_path / "tiny"
    weights = tiny_encoder.make(folder, kind=kind, pooling=pooling)
    encoder = read_encoder(folder)
    assert encoder.longest == 24 and encoder.first_position == (2 if kind == "xlm-roberta" else 0)
    assert encoder.pooling is (Pooling.MEAN if pooling == "mean_tokens" else Pooling.FIRST)
    model = SentenceEncoder(encoder, tmp_path / "cache")
    for text, vector in zip(TEXTS, model.embed(TEXTS), strict=True):  # one batch: padding too
        expected = tiny_encoder.reference(folder, weights, text)
        assert float(expected @ vector) > 0.99999
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_scores_are_those_of_a_plain_forward_pass(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "tiny"
    weights = tiny_encoder.make(folder, kind=kind, cross=True)
    model = CrossEncoder(read_encoder(folder, is_cross=True), tmp_path / "cache")
    pairs = [("when are you open", "late fee"), ("bill", "how much is the home plan cost")]
    for pair, score in zip(pairs, model.scores(pairs), strict=True):
        assert abs(tiny_encoder.reference(folder, weights, *pair) - float(score)) < 1e-5


def test_prompts_come_from_the_files_or_from_the_name(tmp_path: Path) -> None:
    cases = [
        ("plain", None, "", ""),
        ("multilingual-e5-small", None, "query: ", "passage: "),
        ("own-e5", {"query": "ask: ", "document": "doc: "}, "ask: ", "doc: "),
        ("empty-e5", {"query": "", "document": ""}, "query: ", "passage: "),
        ("base500", None, "", ""),  # "e5" stands in it, and is not its name
    ]
    for name, prompts, query, passage in cases:
        folder = tmp_path / name
        tiny_encoder.make(folder, prompts=prompts)
        model = SentenceEncoder(read_encoder(folder), tmp_path / "cache")
        assert model.prompted("x", "query") == f"{query}x", name
        assert model.prompted("x", "passage") == f"{passage}x", name


def test_whatever_changes_the_vectors_changes_the_name(tmp_path: Path) -> None:
    def name(prompts: dict[str, str] | None = None, **options: object) -> str:
        tiny_encoder.make(tmp_path / "one", prompts=prompts, **options)  # type: ignore[arg-type]
        return f"{read_encoder(tmp_path / 'one').revision()}"

    names = [name(), name(seed=2), name(pooling="cls_token"), name({"query": "q: "})]
    assert len(set(names)) == len(names)
    assert name({"query": "q: "}) == names[-1]


def test_eight_bits(tmp_path: Path) -> None:
    tiny_encoder.make(tmp_path / "tiny", kind="xlm-roberta")
    encoder = read_encoder(tmp_path / "tiny")
    whole, small = (
        SentenceEncoder(encoder, tmp_path / "cache", compute=compute)  # type: ignore[arg-type]
        for compute in ("float32", "int8")
    )
    assert small.name == f"{whole.name}+int8"
    assert (whole.embed(TEXTS) * small.embed(TEXTS)).sum(1).min() > 0.95


def test_a_published_onnx_file_is_run_as_it_is(tmp_path: Path) -> None:
    """Here with a state for each token, as exporters leave it: pooled and normalised outside."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder = tmp_path / "exported"
    weights = tiny_encoder.make(folder)
    (folder / "model.safetensors").unlink()
    table = weights["embeddings.word_embeddings.weight"]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "l"]) for n in names]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["b", "l", 384])
    graph = helper.make_graph(
        nodes, "g", inputs, [output], [numpy_helper.from_array(table, "table")]
    )
    (folder / "onnx").mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10),
        folder / "onnx" / "model.onnx",
    )
    assert form_of(folder) is Form.HF_ENCODER
    model = SentenceEncoder(read_encoder(folder), tmp_path / "cache")
    vectors = model.embed(["when are you open", "fee"])
    words = {w: n for n, w in enumerate([*tiny_encoder.BERT, *dict.fromkeys(tiny_encoder.WORDS)])}
    mean = table[[words["[CLS]"], words["fee"], words["[SEP]"]]].mean(0)
    assert float(vectors[1] @ mean / np.linalg.norm(mean)) > 0.99999  # without the padding
    with pytest.raises(UserError, match=r"int8 needs"):
        graph_file(read_encoder(folder), tmp_path, "int8")


def _break(folder: Path, file: str, **changes: object) -> None:
    path = folder / file
    value = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**value, **changes}))


def test_what_cannot_be_served_is_one_clear_sentence(tmp_path: Path) -> None:
    cases = {
        "vectors of 64 numbers": lambda f: tiny_encoder.make(f, hidden=64),
        "only BERT and XLM-RoBERTa": lambda f: _break(f, "config.json", model_type="t5"),
        "only gelu": lambda f: _break(f, "config.json", hidden_act="relu"),
        "pools by max_tokens": lambda f: tiny_encoder.make(f, pooling="max_tokens"),
        "a layer Dense": lambda f: (f / "modules.json").write_text(
            '[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]'
        ),
        "no tokenizer.json": lambda f: (f / "tokenizer.json").unlink(),
        "has no weights": lambda f: (f / "model.safetensors").unlink(),
        "not a whole safetensors": lambda f: (f / "model.safetensors").write_bytes(b"\1" * 99),
        "are not those of its config": lambda f: _break(f, "config.json", num_hidden_layers=9),
        "is not that of a bert": lambda f: _break(f, "config.json", hidden_size="wide"),
        "cannot be read": lambda f: (f / "config.json").write_text("{"),
    }
    for number, (sentence, spoil) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        tiny_encoder.make(folder)
        spoil(folder)
        with pytest.raises(UserError, match=sentence):
            SentenceEncoder(read_encoder(folder), tmp_path / "cache")
    tiny_encoder.make(tmp_path / "three", cross=True)
    _break(tmp_path / "three", "config.json", id2label={"0": "a", "1": "b", "2": "c"})
    with pytest.raises(UserError, match="gives 3 labels"):
        read_encoder(tmp_path / "three", is_cross=True)


def test_a_half_of_the_weights_is_none(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "one.safetensors").touch()
    assert weight_files(tmp_path) == []
    (tmp_path / "two.safetensors").touch()
    assert [file.name for file in weight_files(tmp_path)] == ["one.safetensors", "two.safetensors"]


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def test_a_pickle_that_would_run_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": _Evil()}))
    with pytest.raises(UserError, match=r"posix\.system|os\.system"):
        read_weights([file])
    assert not (tmp_path / "evil").exists()
    file.write_bytes(b"PK\3\4 no zip")
    with pytest.raises(UserError, match="not a whole state dict"):
        read_weights([file])


_SAVE = """
import sys, torch
from safetensors.torch import load_file
weights = load_file(sys.argv[1] + "/model.safetensors")
weights["half"] = torch.ones(3).half()
torch.save(weights, sys.argv[1] + "/pytorch_model.bin")
"""
_ASK = """
import sys, json, torch
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast
folder, cross, *texts = sys.argv[1:]
tokenizer = PreTrainedTokenizerFast(tokenizer_file=folder + "/tokenizer.json")
kind = AutoModelForSequenceClassification if cross == "cross" else AutoModel
model = kind.from_pretrained(folder).eval()
rows = []
with torch.no_grad():
    if cross == "cross":
        coded = tokenizer(texts[0], texts[1], return_tensors="pt", return_token_type_ids=True)
        if model.config.type_vocab_size == 1:
            coded.pop("token_type_ids")
        rows = torch.sigmoid(model(**coded).logits[0]).tolist()
    else:
        for text in texts:
            coded = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
            mean = model(**coded).last_hidden_state[0].mean(0)
            rows.append((mean / mean.norm()).tolist())
print(json.dumps(rows))
"""


@needs_stt_python
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_transformers_itself_gives_the_same(tmp_path: Path, kind: str) -> None:
    tiny_encoder.make(tmp_path / "one", kind=kind)
    texts = TEXTS[:3]
    theirs = json.loads(in_stt_python("-c", _ASK, tmp_path / "one", "single", *texts))
    in_stt_python("-c", _SAVE, tmp_path / "one")
    (tmp_path / "one" / "model.safetensors").unlink()  # and out of torch's own file
    ours = SentenceEncoder(read_encoder(tmp_path / "one"), tmp_path / "cache").embed(texts)
    assert (np.array(theirs) * ours).sum(1).min() > 0.99999
    tiny_encoder.make(tmp_path / "two", kind=kind, cross=True)
    asked = in_stt_python("-c", _ASK, tmp_path / "two", "cross", *texts[:2])
    model = CrossEncoder(read_encoder(tmp_path / "two", is_cross=True), tmp_path / "cache")
    assert abs(json.loads(asked)[0] - float(model.scores([(texts[0], texts[1])])[0])) < 1e-5
