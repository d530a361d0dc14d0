"""Whom FreeSWITCH rings by itself when nobody else can help (``ivr switch configure --failure-dial``).

It is a dial string of FreeSWITCH, which rings without ``ivr switch`` too: so it may name our own
telephones and numbers through a trunk, nothing else, and the numbers must be ones that the toll rules
let be rung. Pure.
"""

from __future__ import annotations

import re

from appliance.errors import UserError
from appliance.numbers import e164, is_public
from appliance.telephony.tollguard import TollGuard

_LEG = re.compile(
    r"(?:\[[A-Za-z0-9_=.,+-]*\])?"
    r"(?:user/[0-9]{2,6}@[A-Za-z0-9.-]+|sofia/gateway/(?P<trunk>[A-Za-z0-9_-]+)/(?P<number>\+?[0-9]{2,20}))",
    re.ASCII,
)
"""One leg: variables in brackets, then a telephone, or a number through a gateway."""


def check_failure_dial(dial: str, guard: TollGuard, *, now: bool = False) -> None:
    """Raises UserError for a dial string with anything but these, TollRefusedError for a number that
    may not be rung; ``now``: limits and hours count too.

    A trunk may write a number without its plus: then each way to read it must be allowed.
    """
    for leg in re.split(r"[,|](?![^\[]*\])", dial):
        found = _LEG.fullmatch(leg)
        if found is None:
            raise UserError(
                f"--failure-dial {leg[:60]!r} is neither a telephone of ours nor a number through a"
                " trunk; write user/EXTENSION@DOMAIN or sofia/gateway/TRUNK/NUMBER."
            )
        for number in _readings(found["number"] or "", guard.country):
            if now:
                guard.check_now(number, found["trunk"])
            else:
                guard.check(number)


def _readings(number: str, country: str) -> set[str]:
    """The numbers that a trunk may take ``number`` for; none: it is a telephone of ours."""
    if not number:
        return set()
    bare = number.lstrip("+0")
    candidates = {e164(number, country), "+" + bare, e164("+" + bare, country)}
    public = {one for one in candidates if is_public(one, country)}
    return public or {number}
