"""When a campaign stops by itself: its calls fail for a reason that is not the people's. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from appliance.telephony.destinations import NEXT_TRUNK_CAUSES

LAST_CALLS = 20
FEWEST_CALLS = 10
"""Of fewer nothing is concluded."""
FAILED_SHARE = 0.5
NOT_TECHNICAL = frozenset({"DO_NOT_CALL", "CANCELLED"})


def is_technical(result: str) -> bool:
    """Whether a call's result says that a trunk or we failed, not that somebody did not come.

    A result is ``human:…``, ``machine:…`` or ``uncertain:…``, Q.850 words, or a sentence of ours.
    """
    if result in NEXT_TRUNK_CAUSES:
        return True
    is_sentence = " " in result and not result.startswith(("human", "machine", "uncertain"))
    return is_sentence and result not in NOT_TECHNICAL


def verdict(results: Sequence[str]) -> str:
    """Why to pause, by the results of the last calls; empty: go on."""
    last = results[:LAST_CALLS]
    failed = Counter(result for result in last if is_technical(result))
    count = failed.total()
    if len(last) < FEWEST_CALLS or count < FAILED_SHARE * len(last):
        return ""
    common = ", ".join(f"{result} ({times})" for result, times in failed.most_common(2))
    return (
        f"Paused by itself: {count} of the last {len(last)} calls failed for a technical reason:"
        f" {common}. Look at the trunks, then start it again."
    )
