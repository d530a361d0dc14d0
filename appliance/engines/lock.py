"""The key that an engine server asks for, and the line for who does not bring it.

It imports nothing but the standard library: vLLM, in an environment of its own, asks by it too.
"""

from __future__ import annotations

import hmac
import logging
import time

from appliance.seldom import Seldom

log = logging.getLogger(__name__)

HEALTH = "/health"
"""What is asked without a key, too: by whoever starts servers."""
REFUSED = "The bearer token is missing or wrong: see engines.key."
MOST_LETTERS = 80
"""Of a stranger's path, in the log."""


class Lock:
    """Of one server. Open to all until it is locked."""

    def __init__(self) -> None:
        self._expected = b""
        self._seldom = Seldom(time.monotonic)

    def lock(self, key: str) -> None:
        """Ask for ``key`` from now on. Raises ValueError for an empty one, which anybody has."""
        if not key:
            raise ValueError("an empty key keeps nobody out")
        self._expected = f"Bearer {key}".encode()

    def admits(self, authorization: str) -> bool:
        """Whether that header brings the key; as long a look at a wrong one as at the right one."""
        brought = authorization.encode("utf-8", "replace")
        return not self._expected or hmac.compare_digest(brought, self._expected)

    def tell(self, method: str, path: str, remote: str) -> None:
        """A line for who was not let in: one in 10 s and address, and no line break of theirs."""
        text = "! %s %s from %s refused: no key of engine servers, or a wrong one"
        shown = path.encode("unicode_escape").decode()[:MOST_LETTERS]
        self._seldom.warn(log, remote, text, method, shown, remote)
