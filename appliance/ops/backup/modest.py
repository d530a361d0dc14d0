"""A backup goes behind everybody else, for cores and for the disk."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

NICENESS = 15
IONICE_TIMEOUT_S = 5.0


def be_modest() -> None:
    """From now on this process, and the children that it starts."""
    with suppress(OSError):
        os.nice(max(0, NICENESS - os.nice(0)))
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            ["ionice", "-c", "3", "-p", str(os.getpid())],
            capture_output=True, timeout=IONICE_TIMEOUT_S,
        )  # fmt: skip
