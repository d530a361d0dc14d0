"""Log lines that somebody outside can provoke, at most one a while for each cause."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

QUIET_S = 10.0
MAX_CAUSES = 1024
"""Over it the cause heard of longest ago is forgotten, so memory stays bounded."""


class Seldom:
    """One line for each cause per QUIET_S; the next one says how many were left out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._causes: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def warn(self, log: logging.Logger, cause: str, message: str, *args: object) -> bool:
        """Log ``message`` at WARNING unless ``cause`` was logged less than QUIET_S ago; whether it
        was."""
        now = self._clock()
        logged_at, left_out = self._causes.pop(cause, (-QUIET_S, 0))
        if now - logged_at < QUIET_S:
            self._causes[cause] = (logged_at, left_out + 1)
            return False
        self._causes[cause] = (now, 0)
        if len(self._causes) > MAX_CAUSES:
            self._causes.popitem(last=False)
        note = f" ({left_out} more like it)" if left_out else ""
        log.warning(message + note, *args)
        return True
