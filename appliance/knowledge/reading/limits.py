"""What the process that parses a document may use of the machine."""

from __future__ import annotations

import ctypes
import math
import resource
import signal

from appliance.knowledge.reading.sandbox import shut_in

MEMORY_BYTES = 2 * 1024**3
"""Of address space, before the document's own share: libraries take 0.4 GB of it, a page drawn for
recognition 40 MB."""
MEMORY_PER_BYTE = 20
"""An object model in memory is so many times its file; more is a bomb."""
OPEN_FILES = 64
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def confine(size_bytes: int, timeout_s: float) -> None:
    """Limit this process for a document of ``size_bytes``, for good."""
    memory = MEMORY_BYTES + MEMORY_PER_BYTE * size_bytes
    cpu_s = math.ceil(timeout_s) + 1
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # who asked may be killed without a chance to end us
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    shut_in()


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))
