"""Starts one child of ``ivr up``: the kernel ends it when the supervisor dies, however it dies.

A trampoline: it makes itself ready and then becomes the command (``exec``), so the supervisor
watches the command's own process. It is a program and not a ``preexec_fn``, for that runs Python
between fork and exec, which may deadlock in a process with threads. It imports three modules of
the standard library and no site, and is there for some 20 ms.

    python -I -S child.py SUPERVISOR_PID DEATH_SIGNAL UID GID COMMAND...

UID and GID are ``-`` for "as we are".
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2)."""
ORPHANED_STATUS = 75
"""EX_TEMPFAIL of sysexits.h: the supervisor was gone before we could be tied to it."""
NOT_FOUND_STATUS = 127


def main(arguments: list[str]) -> int:
    """Become ``COMMAND``; returns, with a status, only when that cannot be."""
    supervisor, death_signal, uid, gid, *command = arguments
    os.setsid()  # ^C at the terminal is for the supervisor, which stops us in order
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
        os.chdir("/")  # ours may be a folder that this account cannot enter
    # After the change of user, which clears it. signal(2): SIG_IGN and masks survive an exec.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0):
        print(f"prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return ORPHANED_STATUS
    if os.getppid() != int(supervisor):
        return ORPHANED_STATUS
    for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as e:
        print(f"{command[0]}: {e.strerror}", file=sys.stderr)
    return NOT_FOUND_STATUS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
