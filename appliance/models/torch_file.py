"""Reads weights out of a ``pytorch_model.bin``, without torch and without running what is in it.

Since torch 1.6 such a file is a zip: a pickle that says how each tensor is cut out of a storage, and
the storages beside it as raw little-endian numbers. A pickle can name any function to be called: this
one may name only those that a state dict is made of.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.errors import UserError

_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
PICKLE_BYTES = 16 << 20
"""Names and shapes of a thousand tensors are 0.1 MB."""


def read_torch_file(file: Path) -> dict[str, NDArray[np.float32]]:
    """The floating-point tensors of a state dict by name, as float32. Raises UserError."""
    try:
        with zipfile.ZipFile(file) as archive:
            (info,) = [each for each in archive.infolist() if each.filename.endswith("/data.pkl")]
            if info.file_size > PICKLE_BYTES:
                raise ValueError("its list of tensors is too long")
            folder = info.filename.removesuffix("/data.pkl")
            with archive.open(info) as stream:
                tensors = _Unpickler(stream, archive, folder).load()
        found = {str(name): value for name, value in tensors.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError,
            pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError) as e:  # fmt: skip
        raise UserError(
            f"{file} is not a whole state dict of PyTorch ({e}). Fetch it again."
        ) from e
    return {
        name: np.asarray(value, np.float32)
        for name, value in found.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }


class _Unpickler(pickle.Unpickler):
    """Knows a state dict's own names, and no other."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("it names no storage")
        info = self._archive.getinfo(f"{self._folder}/data/{key}")
        if (
            info.file_size != int(count) * dtype.itemsize
            or info.compress_type != zipfile.ZIP_STORED
        ):
            raise ValueError(f"storage {key} is not as torch writes it")
        return np.frombuffer(self._archive.read(info), dtype)


def _tensor(
    storage: NDArray[Any], offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    """A contiguous piece of a storage; what is cut otherwise is in no published state dict."""
    count = int(np.prod(shape, dtype=np.int64))
    expected = tuple(
        int(np.prod(shape[place + 1 :], dtype=np.int64)) for place in range(len(shape))
    )
    if count > 1 and tuple(stride) != expected:
        raise ValueError("a tensor is not contiguous")
    if offset < 0 or offset + count > len(storage):
        raise ValueError("a tensor is cut off")
    return storage[offset : offset + count].reshape(shape)
