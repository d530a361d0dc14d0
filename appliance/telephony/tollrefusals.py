"""What the toll rules have kept from being rung, for people: one log line a minute, an alarm, a count.

Pure: times come in, Unix seconds. Bounded, however many calls somebody makes a machine try: so many
kinds of refusals are remembered for an hour, and the rest are a number.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace

from appliance.telephony.tollguard import Rule, TollRefusedError

log = logging.getLogger(__name__)

LINE_EVERY_S = 60.0
REMEMBERED_S = 3600.0
MOST_KINDS = 200
"""Of refusals, by what was rung and for whom; over it the one seen longest ago is forgotten."""
NOBODY = "nobody's agent"


@dataclass(frozen=True, slots=True)
class Refused:
    """Refusals of one kind in the last hour."""

    number: str
    """As much of it as a log may hold."""
    who: str
    """The agent that rings; whose call it was."""
    rule: Rule
    why: str
    count: int
    last_s: float


class TollRefusals:
    """Remembers, and says so now and then."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[tuple[str, str, Rule], Refused] = OrderedDict()
        self.counts: Counter[Rule] = Counter()
        """Since the start of the process."""
        self._said_s = float("-inf")
        self._unsaid = 0
        self._last = ""

    def note(self, refusal: TollRefusedError, who: str, now_s: float) -> None:
        """``refusal`` of a call for ``who`` (an agent's id; empty: nobody that we know)."""
        who = who or NOBODY
        self.counts[refusal.rule] += 1
        key = (refusal.number, who, refusal.rule)
        before = self._kinds.pop(key, None)
        if before is not None and before.last_s > now_s - REMEMBERED_S:
            self._kinds[key] = replace(before, count=before.count + 1, last_s=now_s)
        else:
            self._kinds[key] = Refused(*key, str(refusal), 1, now_s)
        while len(self._kinds) > MOST_KINDS:
            self._kinds.popitem(last=False)
        self._unsaid += 1
        self._last = f"{refusal} For {who}."
        self.say(now_s)

    def say(self, now_s: float) -> None:
        """The line that is due, if one is; also asked when nothing comes any more."""
        if not self._unsaid or now_s - self._said_s < LINE_EVERY_S:
            return
        more = f" ({self._unsaid - 1} more were refused)" if self._unsaid > 1 else ""
        log.warning("! toll: %s%s", self._last, more)
        self._said_s, self._unsaid = now_s, 0

    def recent(self, now_s: float) -> list[Refused]:
        """Of the last hour, the latest first."""
        return [one for one in reversed(self._kinds.values()) if one.last_s > now_s - REMEMBERED_S]
