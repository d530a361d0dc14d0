"""Who may read a process's metrics: one rule for all of them.

Numbers tell of no caller, but of how busy a box is, and with what. A process that listens on loopback
answers whoever is on the machine. One that other machines reach asks for the generated secret
``metrics`` as a bearer token, and the console asks for it always, for a proxy may stand before it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address


def is_local(host: str) -> bool:
    """Whether what listens on ``host`` (an IP address, or ``localhost``) is reached from this machine
    alone."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def has_token(authorization: str, secret: str) -> bool:
    """Whether the header ``Authorization`` brings the secret."""
    given = authorization.encode("utf-8", "replace")
    return hmac.compare_digest(given, f"Bearer {secret}".encode())


def may_read(host: str, authorization: str, secret: Callable[[], str] | None) -> bool:
    """Whether a request with that ``Authorization`` may read what is served on ``host``. ``secret`` is
    asked for only where it counts; None: nobody may."""
    if is_local(host):
        return True
    return secret is not None and has_token(authorization, secret())
