"""What has been rung through the trunks: calls now, seconds of the last hour and day, and bursts.

Pure: times come in, Unix seconds. Bounded: by the trunks and tenants there are, and by the constants
below.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.settings import Toll
from appliance.telephony.tollguard import (
    FOREIGN,
    Usage,
    burst_range,
    is_foreign,
    tenant_key,
    trunk_key,
)

STEP_S = 300
HOUR_S, DAY_S = 3600, 86_400
MOST_LEGS = 10_000
"""Live at once; over it the oldest is taken for over. FreeSWITCH's own limit of sessions is below."""
MOST_RANGES = 1024
"""Of foreign numbers whose short calls are remembered; the one heard of longest ago is forgotten."""
EXPECTED_S = 60.0
"""A leg that was planned so long ago and has not begun will not begin."""


@dataclass(frozen=True, slots=True)
class TollLeg:
    """One leg through a trunk to somebody we ring."""

    leg_id: str
    call_id: str
    number: str
    trunk: str
    tenant: str
    began_s: float
    """Rung, or answered where that is known."""


class TollBook:
    """Counts; asked by ``Office`` for every dial plan."""

    def __init__(self, country: str = "IN") -> None:
        self._country = country
        self._live: OrderedDict[str, TollLeg] = OrderedDict()
        self._expected: OrderedDict[tuple[str, str], TollLeg] = OrderedDict()
        """Planned and not rung yet, by call and number."""
        self._steps: dict[str, deque[tuple[int, float]]] = {}
        """By key: (step of STEP_S, seconds that ended in it), oldest first, a day of them at most."""
        self._short: OrderedDict[str, deque[float]] = OrderedDict()
        self._blocked: dict[str, float] = {}
        """Range: until when."""

    def expect(self, call_id: str, number: str, tenant: str, now_s: float) -> None:
        """``number`` is about to be rung for a call: it counts from now on."""
        leg = TollLeg("", call_id, number, "", tenant, now_s)
        self._expected[call_id, number] = leg
        self._bound(self._expected)

    def began(self, leg: TollLeg) -> None:
        """A leg rings."""
        self._expected.pop((leg.call_id, leg.number), None)
        self._live[leg.leg_id] = leg
        self._bound(self._live)

    def answered(self, leg_id: str, now_s: float) -> None:
        """Somebody has taken it: it costs from now on."""
        if leg := self._live.get(leg_id):
            self._live[leg_id] = TollLeg(
                leg.leg_id, leg.call_id, leg.number, leg.trunk, leg.tenant, now_s
            )

    def ended(self, leg_id: str, talked_s: float, now_s: float, rules: Toll) -> str:
        """A leg is over; the range that this stops for a burst of short calls, or an empty string."""
        leg = self._live.pop(leg_id, None)
        if leg is None:
            return ""
        self.count(leg, talked_s, now_s)
        if talked_s > rules.short_s or not is_foreign(leg.number, self._country):
            return ""
        return self._note_short(burst_range(leg.number, self._country), now_s, rules)

    def count(self, leg: TollLeg, talked_s: float, ended_s: float) -> None:
        """Seconds of a leg that is over; also of one from before we were started."""
        step = int(ended_s // STEP_S)
        for key in self._keys(leg):
            steps = self._steps.setdefault(key, deque(maxlen=DAY_S // STEP_S + 1))
            if steps and steps[-1][0] >= step:
                steps[-1] = (steps[-1][0], steps[-1][1] + talked_s)
            else:
                steps.append((step, talked_s))

    def usage(self, now_s: float) -> dict[str, Usage]:
        """By key of ``tollguard``: calls now, and seconds; those that go on count as they are."""
        self._forget_expected(now_s)
        legs = (*self._live.values(), *self._expected.values())
        calls: Counter[str] = Counter()
        hour: Counter[str] = Counter()
        day: Counter[str] = Counter()
        for leg in legs:
            lasted = max(0.0, now_s - leg.began_s) if leg.leg_id else 0.0
            for key in self._keys(leg):
                calls[key] += 1
                hour[key] += int(min(lasted, HOUR_S))
                day[key] += int(min(lasted, DAY_S))
        for key, steps in self._steps.items():
            hour[key] += int(self._since(steps, now_s - HOUR_S))
            day[key] += int(self._since(steps, now_s - DAY_S))
        return {key: Usage(calls[key], hour[key], day[key]) for key in {*calls, *day}}

    def blocked(self, now_s: float) -> dict[str, float]:
        """Ranges that are stopped, and until when."""
        for found in [name for name, until in self._blocked.items() if until <= now_s]:
            del self._blocked[found]
        return dict(self._blocked)

    def unblock(self, found: str) -> bool:
        """Let a range be rung again; False where it was not stopped."""
        self._short.pop(found, None)
        return self._blocked.pop(found, None) is not None

    def _note_short(self, found: str, now_s: float, rules: Toll) -> str:
        times = self._short.setdefault(found, deque(maxlen=rules.burst_calls))
        self._short.move_to_end(found)
        while len(self._short) > MOST_RANGES:
            self._short.popitem(last=False)
        times.append(now_s)
        many = len(times) == rules.burst_calls and times[0] > now_s - 60 * rules.burst_minutes
        if not many or found in self._blocked or len(self._blocked) >= MOST_RANGES:
            return ""
        self._blocked[found] = now_s + 3600 * rules.block_hours
        return found

    def _keys(self, leg: TollLeg) -> Iterable[str]:
        if leg.trunk:
            yield trunk_key(leg.trunk)
        if leg.tenant:
            yield tenant_key(leg.tenant)
        if is_foreign(leg.number, self._country):
            yield FOREIGN

    def _forget_expected(self, now_s: float) -> None:
        late = [k for k, leg in self._expected.items() if leg.began_s + EXPECTED_S <= now_s]
        for key in late:
            del self._expected[key]

    @staticmethod
    def _since(steps: Iterable[tuple[int, float]], since_s: float) -> float:
        return sum(seconds for step, seconds in steps if (step + 1) * STEP_S > since_s)

    @staticmethod
    def _bound(legs: OrderedDict[str, TollLeg] | OrderedDict[tuple[str, str], TollLeg]) -> None:
        while len(legs) > MOST_LEGS:
            legs.popitem(last=False)
