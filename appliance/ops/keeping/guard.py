"""Starts a server that has processes of its own, and sees to it that none of them outlives it.

vLLM's API server is the parent of an engine and its workers, which hold the GPU's memory. Killed by
-9 (by the kernel, short of memory) it leaves them running for ever, and the next one finds no room.
So this program stands above the server: what is orphaned comes to it (subreaper), and is ended with
it. If this program is killed itself, the kernel tells the server to end in order.

    python -I -S guard.py COMMAND...

It imports nothing but the standard library: some 11 MB.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""
NOT_FOUND_STATUS = 127
KILLED_STATUS = 128
"""Plus the signal's number, as a shell says it."""
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def main(command: list[str]) -> int:
    """Run ``command`` to its end, and everything that it left; its status."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    ours = os.getpid()
    server = os.fork()
    if server == 0:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != ours:
            os._exit(KILLED_STATUS)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            os.execv(command[0], command)
        except OSError as e:
            print(f"{command[0]}: {e.strerror}", file=sys.stderr)
        os._exit(NOT_FOUND_STATUS)
    status = _watch(server)
    while left := _children(ours):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # its own children come to us
    return status


def _watch(server: int) -> int:
    """Pass signals on until ``server`` has ended; its status."""
    while True:
        heard = signal.sigwait(HEARD)
        if heard != signal.SIGCHLD:
            # a terminal's ^C has reached the server too, and a second one would cut its end short
            os.kill(server, signal.SIGTERM)
            continue
        while (ended := _reap()) is not None:
            pid, status = ended
            if pid == server:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else KILLED_STATUS - code


def _reap() -> tuple[int, int] | None:
    """One child that has ended, as waitpid(2) tells it; None when there is none now."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent:
                    found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue  # it ended while we looked
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
