"""An encoder on onnxruntime: tokens in, numbers out, one run for each batch."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from appliance.errors import UserError, reason_of
from appliance.files import write_whole
from appliance.models.encoder_files import Encoder
from appliance.models.engine import ModelOptions
from appliance.models.weights import Weights, read_weights

GRAPH_VERSION = 2
"""Counts changes of :mod:`appliance.models.encoder_graph`, lest an old cached file be used."""

Compute = Literal["float32", "int8"]
Text = str | tuple[str, str]
"""One text, or the two that a cross-encoder reads together."""


def compute_of(options: ModelOptions) -> Compute:
    """The number format that is asked for. Raises UserError: another one, or a GPU."""
    if options.device == "cuda":
        raise UserError(
            "The engine onnx computes on the CPU. On a GPU: vllm serve MODEL, and its address in urls."
        )
    match options.compute_type:
        case "" | "float32":
            return "float32"
        case "int8":
            return "int8"
    raise UserError(f"--compute-type {options.compute_type} should be float32 or int8.")


def graph_file(encoder: Encoder, cache_dir: Path, compute: Compute = "float32") -> Path:
    """The ONNX graph of these weights in ``cache_dir``, written there when it is not yet.

    Its name tells the weights. The file appears whole or not at all. Raises UserError: it must be
    written and the package ``onnx`` is missing, or the weights are not those of the encoder.
    """
    if not encoder.weights:
        assert encoder.export is not None  # read_encoder saw one or the other
        if compute == "int8":
            raise UserError(
                f"{encoder.folder} has only an ONNX file: int8 needs model.safetensors."
            )
        return encoder.export
    told = f"{GRAPH_VERSION} {encoder.revision()} {encoder.is_cross}"
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    target = cache_dir / f"encoder-{digest}-{compute}.onnx"
    if target.exists():
        return target
    cache_dir.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("onnx") is None:
        raise UserError(
            "The package onnx is needed once to write the graph of a model. Run: pip install onnx"
        )
    write_whole(target, _bytes(encoder, read_weights(encoder.weights), compute))
    return target


def _bytes(encoder: Encoder, weights: Weights, compute: Compute) -> bytes:
    from appliance.models import encoder_graph

    try:
        model = encoder_graph.build(encoder, weights)
    except (KeyError, StopIteration) as e:
        raise UserError(
            f"{encoder.folder}: its weights are not those of its config.json ({e} is missing)."
        ) from e
    if compute == "int8":
        from appliance.models.encoder_int8 import quantised

        model = quantised(model)
    return bytes(model.SerializeToString())


class EncoderSession:
    """The loaded model. Runs may overlap: each computes in the thread that calls it."""

    def __init__(
        self, encoder: Encoder, cache_dir: Path, *, threads: int = 1, compute: Compute = "float32"
    ) -> None:
        """Load it (0.3 s; the very first time 1-2 s more). Raises UserError."""
        self.encoder = encoder
        self._tokenizer = _tokenizer(encoder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        file = graph_file(encoder, cache_dir, compute)
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # onnxruntime's own errors have no common parent
            raise UserError(f"{file} is no model that onnxruntime loads: {reason_of(e)}.") from e
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._output = self._session.get_outputs()[0].name

    def tokens(self, texts: Sequence[Text]) -> list[Encoding]:
        """Each text's tokens, cut to the longest that the model reads."""
        return list(self._tokenizer.encode_batch_fast(list(texts)))

    def run(self, encodings: Sequence[Encoding]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The graph's output for a batch padded to its longest text, and the batch's mask."""
        rows, width = len(encodings), max(1, max(len(each) for each in encodings))
        ids = np.full((rows, width), self.encoder.pad_id, np.int64)
        mask, kinds = np.zeros((rows, width), np.int64), np.zeros((rows, width), np.int64)
        for row, encoding in enumerate(encodings):
            length = len(encoding)
            ids[row, :length] = encoding.ids
            mask[row, :length] = 1
            kinds[row, :length] = encoding.type_ids
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds}
        used = {name: value for name, value in feed.items() if name in self._inputs}
        (output,) = self._session.run([self._output], used)
        return np.asarray(output, np.float32), mask


def _tokenizer(encoder: Encoder) -> Tokenizer:
    file = encoder.folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as e:  # tokenizers raises Exception itself
        raise UserError(f"{file} cannot be read ({e}). Fetch the model again.") from e
    strategy = "only_second" if encoder.is_cross else "longest_first"
    tokenizer.enable_truncation(encoder.longest, strategy=strategy)
    tokenizer.no_padding()  # a batch is padded here, to its own longest
    return tokenizer
