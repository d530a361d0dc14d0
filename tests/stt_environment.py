"""The environment that holds torch, faster-whisper and transformers, where there is one.

``IVR_TEST_STT_PYTHON`` names its interpreter. What starts a server runs it there; what calls the
library itself runs there as a suite of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import CHECKOUT

STT_PYTHON = os.environ.get("IVR_TEST_STT_PYTHON", "")
LIBRARY_TIMEOUT_S = 300

needs_stt_python = pytest.mark.skipif(
    not STT_PYTHON, reason="IVR_TEST_STT_PYTHON names no environment with torch and faster-whisper"
)


def in_stt_python(*arguments: str | Path, timeout_s: float = 120) -> str:
    """Run its interpreter in our checkout; what it printed."""
    done = subprocess.run(
        [STT_PYTHON, *map(str, arguments)], cwd=CHECKOUT, timeout=timeout_s, capture_output=True,
        text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_library_tests(file: str) -> None:
    """The tests of ``file`` that call the library itself, in its environment."""
    if Path(sys.executable) == Path(STT_PYTHON):
        pytest.skip("these run in this environment anyway")
    arguments = ("-m", "pytest", file, "-m", "not server", "-p", "no:cacheprovider")
    print(in_stt_python(*arguments, timeout_s=LIBRARY_TIMEOUT_S))
