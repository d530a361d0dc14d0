"""Copies on disk of knowledge versions: arrays in a file that every worker maps and none changes."""

from __future__ import annotations

import hashlib
import logging
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from appliance.files import write_whole

MAGIC = b"IVRCOPY1"
_LENGTH = struct.Struct("<Q")
ALIGN_BYTES = 64
KEPT_VERSIONS = 8
"""Of a base; calls end long before so many newer ones are loaded."""

Arrays = Mapping[str, NDArray[np.generic]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a file holds: named arrays, read-only, and what is said about them."""

    about: dict[str, Any]
    arrays: Arrays


def pack(parts: Parts) -> bytes:
    """All of it as one file."""
    places, body, size = {}, [], 0
    for name, array in parts.arrays.items():
        size += -size % ALIGN_BYTES
        places[name] = [array.dtype.str, size, len(array)]
        body.append((size, array.tobytes()))
        size += array.nbytes
    header = orjson.dumps({"about": parts.about, "arrays": places})
    begin = _begin(len(header))
    data = bytearray(begin + size)
    data[: len(MAGIC)] = MAGIC
    _LENGTH.pack_into(data, len(MAGIC), len(header))
    start = len(MAGIC) + _LENGTH.size
    data[start : start + len(header)] = header
    for place, raw in body:
        data[begin + place : begin + place + len(raw)] = raw
    return bytes(data)


def unpack(data: bytes | mmap.mmap) -> Parts:
    """What :func:`pack` made, its arrays within ``data``. Raises ValueError for anything else."""
    start = len(MAGIC) + _LENGTH.size
    if len(data) < start or data[: len(MAGIC)] != MAGIC:
        raise ValueError("no copy of a knowledge version")
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    if length > len(data) - start:
        raise ValueError("cut off")
    header = orjson.loads(data[start : start + length])
    begin = _begin(length)
    arrays = {
        name: np.frombuffer(data, np.dtype(kind), count, begin + place)
        for name, (kind, place, count) in header["arrays"].items()
    }
    return Parts(header["about"], arrays)


def _begin(header: int) -> int:
    end = len(MAGIC) + _LENGTH.size + header
    return end + -end % ALIGN_BYTES


def copy_file(folder: Path, knowledge: str, version: int) -> Path:
    """Where the copy of a version lies."""
    digest = hashlib.sha256(knowledge.encode()).hexdigest()[:16]  # a name may hold any character
    return folder / f"{digest}.{version}.copy"


def write_copy(file: Path, data: bytes) -> bool:
    """Keep a copy, whole or not at all, and let go of the base's oldest. A full disk is logged, not
    raised."""
    try:
        write_whole(file, data)
        base = file.name.partition(".")[0]
        older = sorted(file.parent.glob(f"{base}.*.copy"), key=_version_of)
        for one in older[:-KEPT_VERSIONS]:
            one.unlink(missing_ok=True)  # who has mapped it keeps it
    except OSError as e:
        _log.warning("! %s not written: %s", file, e)
        return False
    return True


def _version_of(file: Path) -> int:
    number = file.name.split(".")[-2]
    return int(number) if number.isdigit() else 0


def map_copy(file: Path) -> Parts | None:
    """The copy in ``file``, mapped; None when there is none or it cannot be read."""
    try:
        with file.open("rb") as f:
            return unpack(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
        _log.warning("! %s cannot be read: %s", file, e)
        return None
