"""Browsers that leave while something runs for their page: no error of ours, and no traceback of it.

NiceGUI deletes a page some seconds after its browser has gone. What runs on for it then finds that its
elements are gone too; what was asked of the browser gets no answer.
"""

from __future__ import annotations

import logging

from nicegui import Client
from nicegui.client import ClientConnectionTimeout

_GONE = ("has been deleted.", "has been deleted")
_SILENT = "JavaScript did not respond"
_STILL_USED = "Client has been deleted but is still being used"


def is_left(error: BaseException, client: Client | None = None) -> bool:
    """Whether ``error`` says no more than that a browser has gone; ``client``: whose, where it is
    known: an element that is missing on a page that is still open is an error."""
    if isinstance(error, ClientConnectionTimeout):
        return True
    if isinstance(error, TimeoutError):
        return str(error).startswith(_SILENT)
    gone = isinstance(error, RuntimeError) and str(error).endswith(_GONE)
    return gone and (client is None or client.is_deleted)


class Leaving(logging.Filter):
    """On NiceGUI's own log: what :func:`is_left` is told in no traceback, all else as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False: not told."""
        if record.getMessage().startswith(_STILL_USED):
            return False
        error = record.exc_info[1] if record.exc_info else None
        if error is None and isinstance(record.msg, BaseException):
            error = record.msg
        return error is None or not is_left(error)


def be_quiet_about_those_who_left() -> None:
    """Once a process, however often it is asked."""
    log = logging.getLogger("nicegui")
    if not any(isinstance(one, Leaving) for one in log.filters):
        log.addFilter(Leaving())
