"""The weights of a model's folder, in whichever of Hugging Face's two formats they came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.models.safetensors import read_safetensors
from appliance.models.torch_file import read_torch_file

FORMATS = ("model.safetensors", "pytorch_model.bin")
"""The first that is there is taken."""

Weights = Mapping[str, NDArray[np.float32]]


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, all parts of them; empty where there are none, or not all."""
    for name in FORMATS:
        if (folder / name).is_file():
            return [folder / name]
        try:
            parts = set(
                json.loads((folder / f"{name}.index.json").read_bytes())["weight_map"].values()
            )
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue
        files = [folder / Path(str(part)).name for part in sorted(map(str, parts))]
        if files and all(file.is_file() for file in files):
            return files
    return []


def read_weights(files: Iterable[Path]) -> dict[str, NDArray[np.float32]]:
    """Every floating-point tensor of ``files`` by name, as float32. Raises UserError."""
    weights: dict[str, NDArray[np.float32]] = {}
    for file in files:
        read = read_torch_file if file.suffix == ".bin" else read_safetensors
        weights |= read(file)
    return weights
