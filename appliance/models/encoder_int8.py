"""Weights of 8 bits, activations quantised as they come (dynamic quantisation)."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


def quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with the weights of its matrix products in int8, a scale for each column."""
    told = (
        model.metadata_props.add()
    )  # lest it advises a pre-processing that this graph does not need
    told.key, told.value = "onnx.quant.pre_process", "onnxruntime.quant"
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
        onnx.save(model, whole)
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it tells the root logger of every node that it leaves
        try:
            quantize_dynamic(
                whole, small, op_types_to_quantize=["MatMul"], per_channel=True,
                weight_type=QuantType.QInt8,
            )  # fmt: skip
        finally:
            logging.disable(before)
        return onnx.load(small)
