"""The end of an engine server whose model is beyond help: whoever runs it starts another."""

from __future__ import annotations

import logging
import os
from typing import NoReturn

_log = logging.getLogger(__name__)

HUNG_S = 30.0
"""A step of a model takes 10 to 500 ms; one of so long will not come back."""
LOST_STATUS = 70
"""Exit status (EX_SOFTWARE of sysexits.h) of a process whose model is beyond help."""


def end(why: str) -> NoReturn:
    """At once, without cleaning up: whatever would clean up waits for the same device."""
    _log.critical("! %s: this process ends, so that another one takes its place", why)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(LOST_STATUS)
