"""cuBLAS of CUDA 12 for CTranslate2, from the wheel that NVIDIA publishes.

CTranslate2 asks the loader for ``libcublas.so.12`` at its first decode. The loader looks where
LD_LIBRARY_PATH led when the process began, and not into site-packages; but a library that is loaded
already is found by its name, so it is loaded here.
"""

from __future__ import annotations

import ctypes
import sysconfig
from pathlib import Path

NAMES = ("libcublasLt.so.12", "libcublas.so.12")
"""In this order: the second needs the first."""


def load_cublas(packages: Path | None = None) -> bool:
    """Load it where the package nvidia-cublas-cu12 is installed; whether it is. A machine that has CUDA
    12 of its own needs none."""
    packages = packages or Path(sysconfig.get_path("purelib"))
    folder = packages / "nvidia" / "cublas" / "lib"
    if not all((folder / name).exists() for name in NAMES):
        return False
    try:
        for name in NAMES:
            ctypes.CDLL(str(folder / name), ctypes.RTLD_GLOBAL)
    except OSError:
        return False  # CTranslate2 says at its first decode what it lacks
    return True
