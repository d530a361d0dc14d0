"""Writes a BERT or an XLM-RoBERTa as one ONNX graph: token ids in, vectors or scores out.

BERT (Devlin et al., 2018; post-norm, exact GELU) and its multilingual kin (Conneau et al., 2019), as
Hugging Face names their weights. A sentence encoder ends in mean or first-token pooling and the L2
norm, a cross-encoder in its classification head and a sigmoid: all inside the graph, so that a run
needs no arithmetic around it. Only this module needs ``onnx``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.models.encoder_files import Encoder, Pooling
from appliance.models.weights import Weights

MASKED = -1e9
"""Added to the attention score of a padding token, so that its softmax weight is 0."""
OPSET = 17
"""The first with LayerNormalization."""
IR_VERSION = 10
HALVED_BYTES = 1_900_000_000
"""A graph above it is written with weights of 16 bits: protobuf ends at 2 GiB. It computes in 32."""


class _Graph:
    """Collects nodes and weights; each call returns the name of what it made."""

    def __init__(self, weights: Weights, prefix: str, epsilon: float) -> None:
        self._weights = weights
        self._prefix = prefix
        self._epsilon = epsilon
        self._halved = sum(tensor.nbytes for tensor in weights.values()) > HALVED_BYTES
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

    def tensor(self, name: str) -> NDArray[np.float32]:
        """A weight of the encoder itself, whatever model it stands in."""
        return self._weights[f"{self._prefix}{name}"]

    def weight(self, tensor: NDArray[np.float32]) -> str:
        if not self._halved:
            return self.constant(tensor)
        return self.add("Cast", self.constant(tensor, np.float16), to=TensorProto.FLOAT)

    def linear(self, x: str, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        turned = self.weight(np.ascontiguousarray(kernel.T))
        return self.add("Add", self.add("MatMul", x, turned), self.weight(bias))

    def dense(self, x: str, name: str) -> str:
        return self.linear(x, self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def head(self, x: str, name: str) -> str:
        """A layer outside the encoder."""
        return self.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def norm(self, x: str, name: str) -> str:
        scale, bias = (self.weight(self.tensor(f"{name}.{part}")) for part in ("weight", "bias"))
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=self._epsilon)


def _embeddings(g: _Graph, encoder: Encoder) -> str:
    words = g.add("Gather", g.weight(g.tensor("embeddings.word_embeddings.weight")), "input_ids")
    # XLM-RoBERTa counts positions from behind its padding id. Padding comes last here, so that the
    # n-th token has the n-th position; what stands at a padding token is masked everywhere.
    table = g.tensor("embeddings.position_embeddings.weight")[encoder.first_position :]
    length = g.add("Shape", "input_ids", start=1, end=2)
    begin, axis = g.constant([0], np.int64), g.constant([0], np.int64)
    positions = g.add("Slice", g.weight(table), begin, length, axis)
    kinds = g.weight(g.tensor("embeddings.token_type_embeddings.weight"))
    kind_ids = "token_type_ids" if encoder.tells_kinds else g.constant([0], np.int64)
    kind = g.add("Gather", kinds, kind_ids)
    return g.norm(g.add("Add", g.add("Add", words, positions), kind), "embeddings.LayerNorm")


def _heads(g: _Graph, x: str, name: str, encoder: Encoder, order: list[int]) -> str:
    shape = g.constant([0, 0, encoder.heads, encoder.hidden // encoder.heads], np.int64)  # 0: as is
    return g.add("Transpose", g.add("Reshape", g.dense(x, name), shape), perm=order)


def _attention(g: _Graph, x: str, bias: str, name: str, encoder: Encoder) -> str:
    query = _heads(g, x, f"{name}.self.query", encoder, [0, 2, 1, 3])
    key = _heads(g, x, f"{name}.self.key", encoder, [0, 2, 3, 1])
    value = _heads(g, x, f"{name}.self.value", encoder, [0, 2, 1, 3])
    scale = g.constant(1 / math.sqrt(encoder.hidden // encoder.heads))
    scores = g.add("Add", g.add("Mul", g.add("MatMul", query, key), scale), bias)
    mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), value)
    merged = g.add("Transpose", mixed, perm=[0, 2, 1, 3])
    flat = g.add("Reshape", merged, g.constant([0, 0, encoder.hidden], np.int64))
    out = g.dense(flat, f"{name}.output.dense")
    return g.norm(g.add("Add", out, x), f"{name}.output.LayerNorm")


def _gelu(g: _Graph, x: str) -> str:
    """0.5 x (1 + erf(x / sqrt 2)), the exact form that BERT was trained with."""
    erf = g.add("Erf", g.add("Mul", x, g.constant(1 / math.sqrt(2))))
    half = g.add("Mul", x, g.constant(0.5))
    return g.add("Mul", half, g.add("Add", erf, g.constant(1.0)))


def _layer(g: _Graph, x: str, bias: str, name: str, encoder: Encoder) -> str:
    attended = _attention(g, x, bias, f"{name}.attention", encoder)
    inner = _gelu(g, g.dense(attended, f"{name}.intermediate.dense"))
    out = g.dense(inner, f"{name}.output.dense")
    return g.norm(g.add("Add", out, attended), f"{name}.output.LayerNorm")


def _first(g: _Graph, x: str) -> str:
    """The first token's vector: [batch, hidden]."""
    return g.add("Gather", x, g.constant(0, np.int64), axis=1)


def _pooled(g: _Graph, x: str, mask: str, pooling: Pooling) -> str:
    if pooling is Pooling.FIRST:
        return g.add("LpNormalization", _first(g, x), axis=-1, p=2)
    tokens = g.add("Unsqueeze", mask, g.constant([2], np.int64))
    axis = g.constant([1], np.int64)
    total = g.add("ReduceSum", g.add("Mul", x, tokens), axis, keepdims=0)
    count = g.add("ReduceSum", mask, axis, keepdims=1)
    return g.add("LpNormalization", g.add("Div", total, count), axis=-1, p=2)


def _scored(g: _Graph, x: str, encoder: Encoder) -> str:
    """One probability a text pair: [batch]."""
    first = _first(g, x)
    if encoder.is_roberta:
        inner = g.add("Tanh", g.head(first, "classifier.dense"))
        logits = g.head(inner, "classifier.out_proj")
    else:
        inner = g.add("Tanh", g.dense(first, "pooler.dense"))
        logits = g.head(inner, "classifier")
    return g.add("Squeeze", g.add("Sigmoid", logits), g.constant([1], np.int64))


def _prefix(weights: Weights) -> str:
    """What the names of the encoder's own weights begin with: ``""``, ``bert.``, ``roberta.``."""
    last = "embeddings.word_embeddings.weight"
    return next(name.removesuffix(last) for name in weights if name.endswith(last))


def build(encoder: Encoder, weights: Weights) -> onnx.ModelProto:
    """The graph: ``input_ids``, ``attention_mask`` (and ``token_type_ids`` where the encoder tells
    kinds of tokens), int64 [batch, length] → ``vectors``, float32 [batch, hidden] of unit length; or
    of a cross-encoder ``scores``, float32 [batch], 0 to 1. Batch and length are free; padding comes
    last.

    Raises KeyError: a weight is missing; StopIteration: all are.
    """
    g = _Graph(weights, _prefix(weights), encoder.epsilon)
    mask = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    wide = g.add("Unsqueeze", mask, g.constant([1, 2], np.int64))
    bias = g.add("Mul", g.add("Sub", g.constant(1.0), wide), g.constant(MASKED))
    x = _embeddings(g, encoder)
    for layer in range(encoder.layers):
        x = _layer(g, x, bias, f"encoder.layer.{layer}", encoder)
    shape: list[str | int] = ["batch"]
    if encoder.is_cross:
        name, last = "scores", _scored(g, x, encoder)
    else:
        name, shape = "vectors", ["batch", encoder.hidden]
        last = _pooled(g, x, mask, encoder.pooling)
    g.nodes.append(helper.make_node("Identity", [last], [name]))
    kinds = ["token_type_ids"] if encoder.tells_kinds else []
    inputs = [
        helper.make_tensor_value_info(each, TensorProto.INT64, ["batch", "length"])
        for each in ("input_ids", "attention_mask", *kinds)
    ]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(g.nodes, "encoder", inputs, [output], g.constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
