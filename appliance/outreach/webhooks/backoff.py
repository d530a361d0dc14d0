"""When a delivery that failed is tried again: exponential back-off with jitter. Pure."""

from __future__ import annotations

FIRST_S = 15.0
FACTOR = 4.0
MOST_ATTEMPTS = 8
"""15 s, 1 min, 4 min, 16 min, 1 h, 4 h, 17 h after the one before: the last some 23 hours after the
first. A receiver that is down for a night misses nothing."""
JITTER = 0.2
"""Either way: what failed together must not come back together."""
LONGEST_S = 24 * 3600.0


def wait_s(attempts: int, chance: float, asked_s: float = 0.0) -> float | None:
    """How long to wait after ``attempts`` failed ones (1 and more); None: it is given up.

    ``chance`` in [0, 1) decides the jitter; ``asked_s`` is what the receiver asked for with
    ``Retry-After``, which is honoured up to a day.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    usual = FIRST_S * FACTOR ** (attempts - 1) * (1 + JITTER * (2 * chance - 1))
    return max(usual, min(asked_s, LONGEST_S))
