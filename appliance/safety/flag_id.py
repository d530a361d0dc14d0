"""The name of a finding: the same, whoever finds it and how often."""

from __future__ import annotations

from hashlib import sha256

from appliance.events import Side
from appliance.turn.words import normal

_ID_DIGITS = 32
"""128 bits: no two findings of a site meet by chance."""


def flag_id(call_id: str, turn: int, side: Side, rule: str, phrase: str) -> str:
    """Id of a flag, from where it was found and the words that matched: those that the guard stopped
    in the call and those that moderation finds afterwards are one flag."""
    words = " ".join(normal(phrase)) or phrase.strip()
    told = "\0".join((call_id, str(turn), side, rule, words))
    return sha256(told.encode("utf-8", "replace")).hexdigest()[:_ID_DIGITS]
