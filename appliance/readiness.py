"""What the service manager is told of this process: ready, stopping, still alive (sd_notify(3)).

Datagrams of ``NAME=value`` lines to the socket that ``$NOTIFY_SOCKET`` names. Without that variable,
as in a terminal, nothing here does anything. :func:`take` reads it once and removes it from the
environment: the processes that we start have no say in our state.

No asyncio at the top: ``ivr switch`` runs on gevent, and sends its own :func:`beat`.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
SEND_TIMEOUT_S = 1.0
"""For what must arrive; a manager that is busy drops none of it."""
MOST_STATUS_LETTERS = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Manager:
    """A service manager that listens."""

    address: str
    """A path, or with a leading NUL a name in the abstract namespace."""
    pid: int
    """Of the process it takes for ours: a fork of it has nothing to say."""
    beat_every_s: float | None
    """Half of the time after which a silent process is killed; None: nobody watches."""

    def tell(self, *lines: str, wait: bool) -> bool:
        """Whether the ``lines`` were sent; ``wait`` up to ``SEND_TIMEOUT_S`` for room."""
        if os.getpid() != self.pid:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(SEND_TIMEOUT_S if wait else 0.0)
                out.sendto("\n".join(lines).encode(), self.address)
        except OSError as e:
            _log.warning("! the service manager was not told %s: %s", lines[0], e)
            return False
        return True


class _Taken:
    """What the environment said, read once."""

    def __init__(self) -> None:
        self.asked = False
        self.manager: Manager | None = None


_taken = _Taken()


def take() -> Manager | None:
    """Whoever started us and listens; afterwards our children do not find them."""
    if not _taken.asked:
        _taken.asked = True
        _taken.manager = read(os.environ)
        if _taken.manager and _taken.manager.beat_every_s is not None:
            faulthandler.enable()  # SIGABRT of the watchdog: the log says where it stood
    return _taken.manager


def read(environ: MutableMapping[str, str]) -> Manager | None:
    """The manager that ``environ`` names, which is taken out of it."""
    address = environ.pop(NOTIFY_SOCKET, "")
    usec, pid = environ.pop(WATCHDOG_USEC, ""), environ.pop(WATCHDOG_PID, "")
    if not address.startswith(("/", "@")):  # vsock: of virtual machines, not of services
        return None
    watched = usec.isdigit() and int(usec) > 0 and pid in ("", str(os.getpid()))
    return Manager(
        address="\0" + address[1:] if address.startswith("@") else address,
        pid=os.getpid(),
        beat_every_s=int(usec) / 1e6 / 2 if watched else None,
    )


def for_successor() -> dict[str, str]:
    """The environment of what this process becomes (exec), which has its pid and speaks to whoever
    manages it in our place; empty where nobody does."""
    manager = take()
    if manager is None:
        return {}
    address = "@" + manager.address[1:] if manager.address.startswith("\0") else manager.address
    found = {NOTIFY_SOCKET: address}
    if manager.beat_every_s is not None:
        found[WATCHDOG_USEC] = str(int(manager.beat_every_s * 2e6))
    return found


def ready(status: str = "") -> None:
    """This process does its work from now on."""
    _tell("READY=1", status)


def status(text: str) -> None:
    """What this process does now, for ``systemctl status``: no secret, no caller's words."""
    _tell("", text)


def stopping(status: str = "") -> None:
    """This process ends what is under way, and then itself."""
    _tell("STOPPING=1", status)


def extend(seconds: float) -> None:
    """Starting, or stopping, takes up to ``seconds`` from now, whatever the unit says."""
    _tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", "")


def beat_every_s() -> float | None:
    """How often :func:`beat` is expected, in seconds; None: nobody watches."""
    manager = take()
    return manager.beat_every_s if manager else None


def beat() -> None:
    """Still alive. Never blocks; from the thread or loop whose standstill shall be noticed."""
    if (manager := take()) is not None and manager.beat_every_s is not None:
        manager.tell("WATCHDOG=1", wait=False)


async def watchdog() -> None:
    """Beat from the running loop until cancelled; returns at once when nobody watches.

    A loop that stands still beats no more: the manager kills the process and starts another.
    """
    import asyncio  # not above: see the module's docstring

    every_s = beat_every_s()
    while every_s is not None:
        beat()
        await asyncio.sleep(every_s)


def _tell(what: str, status: str) -> None:
    if (manager := take()) is None:
        return
    shown = " ".join(status.split())[:MOST_STATUS_LETTERS]
    lines = [line for line in (what, f"STATUS={shown}" if shown else "") if line]
    if lines:
        manager.tell(*lines, wait=True)
