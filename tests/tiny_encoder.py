"""Tiny BERT and XLM-RoBERTa checkpoints of random weights, in the layout of published ones.

They understand nothing, but everything around the weights is as in a real one: config.json,
tokenizer.json, modules.json with its pooling, prompts, safetensors. ``reference`` computes what they
should give, in plain numpy and one text at a time: nothing is shared with the graph's code.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = (
    "query passage : when are you open how much is the home plan cost router light red bill pay late"
    " fee मेरा बिल कब भरना है और उसका दाम क्या"
).split()
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]
LAYERS, HEADS, INNER = 2, 4, 64

Weights = dict[str, NDArray[np.float32]]


def make(
    folder: Path,
    *,
    kind: str = "bert",
    hidden: int = 384,
    pooling: str = "mean_tokens",
    cross: bool = False,
    prompts: Mapping[str, str] | None = None,
    longest: int = 32,
    seed: int = 1,
) -> Weights:
    """Write a checkpoint; its weights by their published names."""
    roberta = kind == "xlm-roberta"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(roberta)
    tokenizer.save(str(folder / "tokenizer.json"))
    positions = longest + (2 if roberta else 0)
    config = {
        "model_type": kind,
        "architectures": [_architecture(roberta, cross)],
        "hidden_size": hidden,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5 if roberta else 1e-12,
        "max_position_embeddings": positions,
        "pad_token_id": 1 if roberta else 0,
        "type_vocab_size": 1 if roberta else 2,
        "vocab_size": tokenizer.get_vocab_size(),
    }
    if cross:
        config["id2label"] = {"0": "LABEL_0"}
    _write(folder / "config.json", config)
    _write(folder / "tokenizer_config.json", {"model_max_length": longest})
    if not cross:
        _sentence_files(folder, hidden, pooling, prompts)
    weights = _weights(config, roberta, cross, seed)
    save(folder / "model.safetensors", weights)
    return weights


def _architecture(roberta: bool, cross: bool) -> str:
    return ("XLMRoberta" if roberta else "Bert") + (
        "ForSequenceClassification" if cross else "Model"
    )


def _sentence_files(
    folder: Path, hidden: int, pooling: str, prompts: Mapping[str, str] | None
) -> None:
    names = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{name}"}
        for n, (path, name) in enumerate(names)
    ]
    _write(folder / "modules.json", modules)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{name}": name == pooling
             for name in ("mean_tokens", "cls_token", "max_tokens")}  # fmt: skip
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, **modes})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    if prompts is not None:
        _write(folder / "config_sentence_transformers.json", {"prompts": dict(prompts)})


def _tokenizer(roberta: bool) -> Tokenizer:
    """Whole words, with each family's special tokens around one text or two."""
    special = ROBERTA if roberta else BERT
    vocabulary = {word: n for n, word in enumerate([*special, *dict.fromkeys(WORDS)])}
    unknown = "<unk>" if roberta else "[UNK]"
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    begin, end = ("<s>", "</s>") if roberta else ("[CLS]", "[SEP]")
    pair = f"{begin} $A {end} {end} $B {end}" if roberta else f"{begin} $A {end} $B:1 {end}:1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=pair,
        special_tokens=[(begin, vocabulary[begin]), (end, vocabulary[end])],
    )
    return tokenizer


def _weights(config: dict[str, object], roberta: bool, cross: bool, seed: int) -> Weights:
    chance = np.random.default_rng(seed)
    hidden = int(str(config["hidden_size"]))

    def draw(*shape: int) -> NDArray[np.float32]:
        return (chance.standard_normal(shape) * 0.1).astype(np.float32)

    made: Weights = {
        "embeddings.word_embeddings.weight": draw(int(str(config["vocab_size"])), hidden),
        "embeddings.position_embeddings.weight": draw(
            int(str(config["max_position_embeddings"])), hidden
        ),
        "embeddings.token_type_embeddings.weight": draw(
            int(str(config["type_vocab_size"])), hidden
        ),
    }
    shapes = {
        "attention.self.query": (hidden, hidden), "attention.self.key": (hidden, hidden),
        "attention.self.value": (hidden, hidden), "attention.output.dense": (hidden, hidden),
        "intermediate.dense": (INNER, hidden), "output.dense": (hidden, INNER),
    }  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for name, (rows, columns) in shapes.items():
            made[f"{at}.{name}.weight"] = draw(rows, columns)
            made[f"{at}.{name}.bias"] = draw(rows)
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name in norms:
        made[f"{name}.weight"], made[f"{name}.bias"] = 1 + draw(hidden), draw(hidden)
    if not cross:
        return made
    if not roberta:
        made["pooler.dense.weight"], made["pooler.dense.bias"] = draw(hidden, hidden), draw(hidden)
    whole = {f"{'roberta' if roberta else 'bert'}.{name}": each for name, each in made.items()}
    head = {"classifier.dense": (hidden, hidden), "classifier.out_proj": (1, hidden)}
    for name, (rows, columns) in (head if roberta else {"classifier": (1, hidden)}).items():
        whole[f"{name}.weight"], whole[f"{name}.bias"] = draw(rows, columns) * 3, draw(rows)
    return whole


def save(file: Path, weights: Weights) -> None:
    """Write a safetensors file, with one tensor of another kind, as old checkpoints have."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    pieces: list[bytes] = []
    begin = 0
    ids = np.arange(4, dtype=np.int64)[None]
    for name, tensor in {**weights, "embeddings.position_ids": ids}.items():
        piece = np.ascontiguousarray(tensor).tobytes()
        dtype = "I64" if tensor.dtype == np.int64 else "F32"
        header[name] = {
            "dtype": dtype,
            "shape": tensor.shape,
            "data_offsets": [begin, begin + len(piece)],
        }
        pieces.append(piece)
        begin += len(piece)
    raw = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + b"".join(pieces))


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value), "utf-8")


def reference(
    folder: Path, weights: Weights, text: str, second: str = ""
) -> NDArray[np.float64] | float:
    """The unit vector of ``text``; of a cross-encoder, the score of the two."""
    config = json.loads((folder / "config.json").read_text())
    roberta, cross = config["model_type"] == "xlm-roberta", bool(config.get("id2label"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = tokenizer.encode(text, second) if second else tokenizer.encode(text)
    w = {
        name.removeprefix("bert.").removeprefix("roberta."): each for name, each in weights.items()
    }
    epsilon = config["layer_norm_eps"]
    ids = encoded.ids if cross else encoded.ids[:23] + encoded.ids[-1:] * (len(encoded.ids) > 23)
    first = 2 if roberta else 0
    x = w["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + w["embeddings.position_embeddings.weight"][first : first + len(ids)]
    kinds = encoded.type_ids[: len(ids)] if cross and not roberta else [0] * len(ids)
    x = _norm(
        x + w["embeddings.token_type_embeddings.weight"][kinds], w, "embeddings.LayerNorm", epsilon
    )
    for layer in range(LAYERS):
        x = _layer(x, w, f"encoder.layer.{layer}", epsilon)
    if cross:
        inner = np.tanh(_dense(x[0], w, "classifier.dense" if roberta else "pooler.dense"))
        (logit,) = _dense(inner, w, "classifier.out_proj" if roberta else "classifier")
        return float(1 / (1 + math.exp(-logit)))
    pooled = json.loads((folder / "1_Pooling" / "config.json").read_text())
    vector = x[0] if pooled["pooling_mode_cls_token"] else x.mean(0)
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def _norm(x, w, name, epsilon):  # type: ignore[no-untyped-def]
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * w[f"{name}.weight"] + w[f"{name}.bias"]


def _dense(x, w, name):  # type: ignore[no-untyped-def]
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _layer(x, w, name, epsilon):  # type: ignore[no-untyped-def]
    query, key, value = (
        _dense(x, w, f"{name}.attention.self.{n}") for n in ("query", "key", "value")
    )
    size = x.shape[1] // HEADS
    heads = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / math.sqrt(size)
        odds = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(odds / odds.sum(-1, keepdims=True) @ value[:, part])
    attended = _dense(np.concatenate(heads, -1), w, f"{name}.attention.output.dense")
    x = _norm(attended + x, w, f"{name}.attention.output.LayerNorm", epsilon)
    inner = _dense(x, w, f"{name}.intermediate.dense")
    inner = 0.5 * inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    return _norm(
        _dense(inner, w, f"{name}.output.dense") + x, w, f"{name}.output.LayerNorm", epsilon
    )
