"""Log lines of refused SIP, in the one form that fail2ban's filter reads, and never too many of them:

    ! sip: refused WHAT from IP

WHAT holds nothing that could be taken for ``from IP``; a note of how many were left out may follow.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from appliance.seldom import Seldom

_log = logging.getLogger(__name__)

LINES_A_S, LINES_BURST = 5.0, 50.0
"""Of all sources together: a flood from invented addresses must not fill the log."""
LONGEST_WHAT = 100
_ODD = re.compile(r"[^A-Za-z0-9 ().,:;%_+*'!~/-]")


_FROM = re.compile(r"\bfrom\b")


class Refusals:
    """Says who was refused, once a while for each source and cause."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seldom = Seldom(clock)
        self._left = LINES_BURST
        self._at_s = clock()

    def note(self, what: str, host: str) -> None:
        """``what`` came from ``host`` (an IP address) and was refused."""
        now_s = self._clock()
        self._left = min(LINES_BURST, self._left + LINES_A_S * (now_s - self._at_s))
        self._at_s = now_s
        if self._left < 1:
            return
        said = _FROM.sub("of", _ODD.sub("?", what)[:LONGEST_WHAT]).strip() or "something"
        text = "! sip: refused %s from %s"
        if self._seldom.warn(_log, f"{said} {host}", text, said, host):
            self._left -= 1
