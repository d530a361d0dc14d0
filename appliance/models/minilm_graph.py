"""Writes all-MiniLM-L6-v2 as one ONNX graph: token ids in, unit-length sentence vectors out.

BERT (Devlin et al., 2018; post-norm, exact GELU), mean pooling over the mask and L2 norm, all
inside the graph, so that a run needs no arithmetic around it. Only this module needs ``onnx``.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LAYERS = 6
HEADS = 12
HIDDEN = 384
LAYER_NORM_EPSILON = 1e-12
MASKED = -1e9
"""Added to the attention score of a padding token, so that its softmax weight is 0."""

OPSET = 17
"""The first with LayerNormalization."""
IR_VERSION = 10

Weights = Mapping[str, NDArray[np.float32]]


def read_safetensors(file: Path) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a safetensors file, by name.

    Layout: 8 bytes header length (little-endian), JSON header, raw tensors.
    """
    raw = file.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + header_bytes])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(raw[begin:end], np.float32).reshape(entry["shape"])
    return tensors


class _Graph:
    """Collects nodes and weights; each call returns the name of what it made."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: object, dtype: type[np.generic] = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(self._weights[name])

    def dense(self, x: str, name: str) -> str:
        kernel = self.constant(np.ascontiguousarray(self._weights[f"{name}.weight"].T))
        return self.add("Add", self.add("MatMul", x, kernel), self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str) -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)


def _embeddings(g: _Graph) -> str:
    words = g.add("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    length = g.add("Shape", "input_ids", start=1, end=2)
    begin, axis = g.constant([0], np.int64), g.constant([0], np.int64)
    table = g.weight("embeddings.position_embeddings.weight")
    positions = g.add("Slice", table, begin, length, axis)
    kind = g.add(
        "Gather",
        g.weight("embeddings.token_type_embeddings.weight"),
        g.constant([0], np.int64),
    )
    total = g.add("Add", g.add("Add", words, positions), kind)
    return g.norm(total, "embeddings.LayerNorm")


def _heads(g: _Graph, x: str, name: str, order: list[int]) -> str:
    shape = g.constant([0, 0, HEADS, HIDDEN // HEADS], np.int64)  # 0: as it was
    return g.add("Transpose", g.add("Reshape", g.dense(x, name), shape), perm=order)


def _attention(g: _Graph, x: str, bias: str, name: str) -> str:
    query = _heads(g, x, f"{name}.self.query", [0, 2, 1, 3])
    key = _heads(g, x, f"{name}.self.key", [0, 2, 3, 1])
    value = _heads(g, x, f"{name}.self.value", [0, 2, 1, 3])
    scale = g.constant(1 / math.sqrt(HIDDEN // HEADS))
    scores = g.add("Add", g.add("Mul", g.add("MatMul", query, key), scale), bias)
    mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), value)
    merged = g.add("Transpose", mixed, perm=[0, 2, 1, 3])
    flat = g.add("Reshape", merged, g.constant([0, 0, HIDDEN], np.int64))
    out = g.dense(flat, f"{name}.output.dense")
    return g.norm(g.add("Add", out, x), f"{name}.output.LayerNorm")


def _gelu(g: _Graph, x: str) -> str:
    """0.5 x (1 + erf(x / sqrt 2)), the exact form that BERT was trained with."""
    erf = g.add("Erf", g.add("Mul", x, g.constant(1 / math.sqrt(2))))
    half = g.add("Mul", x, g.constant(0.5))
    return g.add("Mul", half, g.add("Add", erf, g.constant(1.0)))


def _layer(g: _Graph, x: str, bias: str, name: str) -> str:
    attended = _attention(g, x, bias, f"{name}.attention")
    inner = _gelu(g, g.dense(attended, f"{name}.intermediate.dense"))
    out = g.dense(inner, f"{name}.output.dense")
    return g.norm(g.add("Add", out, attended), f"{name}.output.LayerNorm")


def _pooled(g: _Graph, x: str, mask: str) -> str:
    tokens = g.add("Unsqueeze", mask, g.constant([2], np.int64))
    axis = g.constant([1], np.int64)
    total = g.add("ReduceSum", g.add("Mul", x, tokens), axis, keepdims=0)
    count = g.add("ReduceSum", mask, axis, keepdims=1)
    mean = g.add("Div", total, count)
    return g.add("LpNormalization", mean, axis=-1, p=2)


def build(weights: Weights) -> onnx.ModelProto:
    """The graph: ``input_ids`` and ``attention_mask``, int64 [batch, length] → ``vectors``,
    float32 [batch, 384], unit length. Batch and length (≤ 512 tokens) are free."""
    g = _Graph(weights)
    mask = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    wide = g.add("Unsqueeze", mask, g.constant([1, 2], np.int64))
    hidden = g.add("Sub", g.constant(1.0), wide)
    bias = g.add("Mul", hidden, g.constant(MASKED))
    x = _embeddings(g)
    for layer in range(LAYERS):
        x = _layer(g, x, bias, f"encoder.layer.{layer}")
    g.nodes.append(helper.make_node("Identity", [_pooled(g, x, mask)], ["vectors"]))

    def tokens(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])

    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", HIDDEN])
    inputs = [tokens("input_ids"), tokens("attention_mask")]
    graph = helper.make_graph(g.nodes, "minilm", inputs, [vectors], g.constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
