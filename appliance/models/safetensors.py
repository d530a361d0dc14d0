"""Reads weights out of safetensors files, without torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.errors import UserError

HEADER_BYTES = 100_000_000
"""The format's own bound."""


def read_safetensors(file: Path) -> dict[str, NDArray[np.float32]]:
    """The floating-point tensors of a safetensors file by name, as float32.

    Layout: 8 bytes header length (little-endian), JSON header, raw tensors. Raises UserError for a file
    that is not so, or was cut off.
    """
    raw = np.memmap(file, np.uint8, "r")
    try:
        (header_bytes,) = struct.unpack("<Q", raw[:8].tobytes())
        if header_bytes > min(HEADER_BYTES, len(raw)):
            raise ValueError("its header is longer than the file")
        header = json.loads(raw[8 : 8 + header_bytes].tobytes())
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(raw, 8 + header_bytes, each) for name, each in entries.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as e:
        raise UserError(f"{file} is not a whole safetensors file ({e}). Fetch it again.") from e
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _tensor(
    raw: NDArray[np.uint8], start: int, entry: dict[str, Any]
) -> NDArray[np.float32] | None:
    """None: it holds no floating-point numbers (position ids, say)."""
    begin, end = entry["data_offsets"]
    piece = raw[start + begin : start + end].tobytes()
    match entry["dtype"]:
        case "F32":
            values = np.frombuffer(piece, np.float32)
        case "F16":
            values = np.frombuffer(piece, np.float16).astype(np.float32)
        case "BF16":  # the upper half of a float32
            values = (np.frombuffer(piece, np.uint16).astype(np.uint32) << 16).view(np.float32)
        case _:
            return None
    return values.reshape(entry["shape"])
