"""What stands in the folder of a sentence encoder or a cross-encoder, as it was published.

Sentence-Transformers' layout: ``config.json``, ``tokenizer.json``, the weights, ``modules.json`` with
the pooling it names, ``sentence_bert_config.json`` with the longest text, and
``config_sentence_transformers.json`` with prompts. A cross-encoder is Hugging Face's
``…ForSequenceClassification`` with one label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from appliance.checkpoints.manifest import read_manifest
from appliance.errors import UserError
from appliance.models.weights import weight_files

DIMENSIONS = 384
"""Of every vector in the knowledge store: its column has so many."""
LONGEST_TOKENS = 512
REVISION_DIGITS = 12
EXPORTS = ("onnx/model.onnx", "model.onnx")
_ROBERTA = frozenset({"xlm-roberta", "roberta", "camembert"})
_KNOWN = _ROBERTA | {"bert"}
E5_PROMPTS = {"query": "query: ", "passage": "passage: "}
"""Wang et al., 2022: an E5 model was trained with these, and its files do not say so."""


class Pooling(Enum):
    """How a text's vector comes from those of its tokens."""

    MEAN = "mean"
    FIRST = "cls"


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder as its files describe it."""

    folder: Path
    name: str
    is_roberta: bool
    is_cross: bool
    """A cross-encoder: reads two texts together, and gives one score."""
    layers: int
    heads: int
    hidden: int
    epsilon: float
    pad_id: int
    kinds: int
    """Kinds of tokens (``type_vocab_size``): 2 where first and second text are told apart."""
    longest: int
    """Tokens of a text; the rest is cut off."""
    pooling: Pooling
    prompts: Mapping[str, str]
    """``query`` and ``passage``: what a text of that kind is preceded by."""
    weights: tuple[Path, ...]
    export: Path | None
    """A published ONNX file, used where there are no weights that we can read."""

    @property
    def first_position(self) -> int:
        """RoBERTa's positions begin behind its padding id."""
        return self.pad_id + 1 if self.is_roberta else 0

    @property
    def tells_kinds(self) -> bool:
        """Whether the graph takes ``token_type_ids``: of single texts they are all 0."""
        return self.is_cross and self.kinds > 1

    def revision(self) -> str:
        """Changes with anything that changes the vectors. Reads all weights (1 GB a second)."""
        digest = hashlib.sha256()
        for file in self.weights or ((self.export,) if self.export else ()):
            digest.update(_digest(file, file.stat().st_mtime_ns))
        told = (self.pooling.value, self.longest, sorted(self.prompts.items()))
        digest.update(repr(told).encode())
        return digest.hexdigest()[:REVISION_DIGITS]


@lru_cache(maxsize=64)
def _digest(file: Path, _mtime_ns: int) -> bytes:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").digest()


def read_encoder(folder: Path, *, is_cross: bool = False) -> Encoder:
    """The encoder in ``folder``. Raises UserError: what is wrong with it, and what to do."""
    config = _json(folder / "config.json")
    kind = str(config.get("model_type", ""))
    if kind not in _KNOWN:
        raise UserError(
            f"{folder} holds {kind or 'an unknown kind of model'}, and only BERT and XLM-RoBERTa are"
            " known here. Choose another: ivr models list"
        )
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder} has no tokenizer.json. Fetch the model again, whole.")
    weights = tuple(weight_files(folder))
    export = next((folder / name for name in EXPORTS if (folder / name).is_file()), None)
    if not weights and export is None:
        raise UserError(
            f"{folder} has no weights (model.safetensors, pytorch_model.bin or onnx/model.onnx), or not"
            " all of their parts. Fetch the model again, whole."
        )
    try:
        encoder = _encoder(folder, config, kind, is_cross, weights, export)
    except (KeyError, TypeError, ValueError) as e:
        raise UserError(f"{folder}/config.json is not that of a {kind} ({e}).") from e
    _check(encoder, config)
    return encoder


def _encoder(
    folder: Path,
    config: Mapping[str, Any],
    kind: str,
    is_cross: bool,
    weights: tuple[Path, ...],
    export: Path | None,
) -> Encoder:
    is_roberta = kind in _ROBERTA
    pad_id = int(config.get("pad_token_id", 1 if is_roberta else 0))
    positions = int(config["max_position_embeddings"]) - (pad_id + 1 if is_roberta else 0)
    name = _name(folder)
    return Encoder(
        folder,
        name,
        is_roberta,
        is_cross,
        int(config["num_hidden_layers"]),
        int(config["num_attention_heads"]),
        int(config["hidden_size"]),
        float(config.get("layer_norm_eps", 1e-12)),
        pad_id,
        int(config.get("type_vocab_size", 2)),
        min(_longest(folder), positions, LONGEST_TOKENS),
        Pooling.MEAN if is_cross else _pooling(folder),
        {} if is_cross else _prompts(folder, name, config),
        weights,
        export,
    )


def _check(encoder: Encoder, config: Mapping[str, Any]) -> None:
    where = encoder.folder
    if encoder.weights and config.get("hidden_act", "gelu") != "gelu":
        raise UserError(
            f"{where} computes with {config['hidden_act']}, and only gelu is known here."
        )
    if encoder.is_cross:
        labels = config.get("num_labels") or len(config.get("id2label") or (0, 1))
        if labels != 1:
            raise UserError(
                f"{where} gives {labels} labels, and a reranker gives one score. Choose another:"
                " ivr models list"
            )
    elif encoder.hidden != DIMENSIONS:
        raise UserError(
            f"{where} makes vectors of {encoder.hidden} numbers, and the knowledge store keeps"
            f" {DIMENSIONS}. Choose another: ivr models list"
        )


def _name(folder: Path) -> str:
    manifest = read_manifest(folder)
    return manifest.name if manifest else folder.resolve().name.lower()


def _longest(folder: Path) -> int:
    told = _json(folder / "sentence_bert_config.json", {}).get("max_seq_length")
    told = told or _json(folder / "tokenizer_config.json", {}).get("model_max_length")
    return int(told) if isinstance(told, int | float) and told > 0 else LONGEST_TOKENS


def _pooling(folder: Path) -> Pooling:
    """As ``modules.json`` says; the mean where there is none. Raises UserError: a kind not known."""
    place = "1_Pooling"
    for module in _list(folder / "modules.json"):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            place = str(module.get("path", place))
        elif kind not in ("Transformer", "Normalize"):
            raise UserError(
                f"{folder} has a layer {kind} behind its encoder, which is not known here."
            )
    config = _json(folder / place / "config.json", {"pooling_mode_mean_tokens": True})
    modes = {name.removeprefix("pooling_mode_") for name, on in config.items()
             if name.startswith("pooling_mode_") and on}  # fmt: skip
    if modes == {"mean_tokens"}:
        return Pooling.MEAN
    if modes == {"cls_token"}:
        return Pooling.FIRST
    raise UserError(
        f"{folder} pools by {', '.join(sorted(modes))}: mean and first token are known."
    )


def _prompts(folder: Path, name: str, config: Mapping[str, Any]) -> dict[str, str]:
    given = _json(folder / "config_sentence_transformers.json", {}).get("prompts") or {}
    found = {
        "query": given.get("query") or "",
        "passage": given.get("passage") or given.get("document") or "",
    }
    if any(found.values()):
        return {kind: str(prompt) for kind, prompt in found.items()}
    manifest = read_manifest(folder)
    known_as = f"{name} {config.get('_name_or_path', '')} {manifest.source if manifest else ''}"
    words = known_as.lower().replace("/", "-").replace("_", "-").replace(" ", "-").split("-")
    return dict(E5_PROMPTS) if "e5" in words else found


def _json(file: Path, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """A JSON object. Raises UserError: it is none; or is missing, and there is no default."""
    value = _value(file)
    if value is None and default is not None:
        return default
    if not isinstance(value, dict):
        raise UserError(
            f"{file} is {'missing' if value is None else 'no JSON object'}: fetch it again."
        )
    return value


def _list(file: Path) -> list[Mapping[str, Any]]:
    value = _value(file)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _value(file: Path) -> Any:
    try:
        return orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise UserError(f"{file} cannot be read ({e}). Fetch the model again.") from e
