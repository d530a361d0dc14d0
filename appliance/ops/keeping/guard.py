"""Starts a server that has processes of its own, and sees to it that none of them outlives it.

vLLM's API server is the parent of an engine and its workers, which hold the GPU's memory. Killed by
-9 (by the kernel, short of memory) it leaves them running for ever, and the next one finds no room.
So this program stands above the server: what is orphaned comes to it (subreaper), and is ended with
it. If this program is killed itself, the kernel tells the server to end in order.

    python -I -S guard.py COMMAND...

It speaks for the server to the service manager too, where there is one (``NOTIFY_SOCKET``,
``WATCHDOG_USEC``): vLLM does not. It is ready at once, for a model takes minutes to load and nobody
waits for it; it is alive while ``GET /health`` at ``GUARD_HEALTH`` (HOST:PORT) answers 200, and until
it has for the first time. The server sees none of these names.

It imports nothing but the standard library: some 11 MB.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""
NOT_FOUND_STATUS = 127
KILLED_STATUS = 128
"""Plus the signal's number, as a shell says it."""
NOTIFY, WATCHDOG, HEALTH = "NOTIFY_SOCKET", "WATCHDOG_USEC", "GUARD_HEALTH"
PROBE_TIMEOUT_S = 5.0
"""Of ``/health``: a server that takes longer has an event loop that stands still."""
SOON_S = 1.0
"""How often a server is asked that has not answered yet, so that its state is soon told."""
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Manager:
    """The service manager, told how the server is; none: told nothing."""

    def __init__(self) -> None:
        self._address = os.environ.pop(NOTIFY, "")
        usec, self._place = os.environ.pop(WATCHDOG, ""), os.environ.pop(HEALTH, "")
        watches = bool(self._address and self._place and usec.isdigit() and int(usec))
        self._beat_s = int(usec) / 1e6 / 2 if watches else None
        self._has_answered = False

    @property
    def every_s(self) -> float | None:
        """How often the server is looked at; None: never."""
        if self._beat_s is None:
            return None
        return self._beat_s if self._has_answered else min(SOON_S, self._beat_s)

    def tell(self, words: str) -> None:
        """A datagram of sd_notify(3); one that does not get through costs nothing."""
        if not self._address:
            return
        place = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(1.0)
            try:
                out.sendto(words.encode(), place)
            except OSError as e:
                print(f"! the service manager was not told: {e}", file=sys.stderr)

    def look(self) -> None:
        """Say that the server lives, if it does."""
        answers = self._answers()
        if answers and not self._has_answered:
            self._has_answered = True
            self.tell("STATUS=the model is loaded")
        if answers or not self._has_answered:
            self.tell("WATCHDOG=1")

    def _answers(self) -> bool:
        host, _, port = self._place.rpartition(":")
        request = f"GET /health HTTP/1.0\r\nHost: {self._place}\r\n\r\n"
        try:
            with socket.create_connection((host.strip("[]"), int(port)), PROBE_TIMEOUT_S) as asked:
                asked.sendall(request.encode())
                return b" 200 " in asked.recv(64)
        except (OSError, ValueError):
            return False


def main(command: list[str]) -> int:
    """Run ``command`` to its end, and everything that it left; its status."""
    manager = Manager()  # before the fork: the server inherits the environment without its names
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
    manager.tell("READY=1\nSTATUS=the model loads")
    status = _watch(server, manager)
    while left := _children(ours):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # its own children come to us
    return status


def _watch(server: int, manager: Manager) -> int:
    """Pass signals on until ``server`` has ended; its status."""
    while True:
        heard = _hear(manager.every_s)
        if heard is None:
            manager.look()
            continue
        if heard != signal.SIGCHLD:
            # a terminal's ^C has reached the server too, and a second one would cut its end short
            manager.tell("STOPPING=1")
            os.kill(server, signal.SIGTERM)
            continue
        while (ended := _reap()) is not None:
            pid, status = ended
            if pid == server:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else KILLED_STATUS - code


def _hear(within_s: float | None) -> int | None:
    """The next signal; None: there was none in time."""
    if within_s is None:
        return signal.sigwait(HEARD)
    found = signal.sigtimedwait(HEARD, within_s)
    return None if found is None else found.si_signo


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
