"""What of the toll rules' work is kept for good: one row of the audit log a burst, not one a call.

Pure: times come in, Unix seconds. A burst is what is refused for one agent until it has been quiet for
:data:`QUIET_S`, or goes on for :data:`LONGEST_S`; of one agent there is at most one an hour, and what
comes meanwhile is in the next. Bounded: by the constants below, and nothing is left uncounted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.telephony.tollguard import Rule, TollRefusedError

QUIET_S = 60.0
LONGEST_S = 300.0
AGAIN_S = 3600.0
"""Between two rows of one agent: a machine that tries all night makes one an hour."""
MOST_AGENTS = 200
"""Of whom bursts are open; what others make is counted with nobody's."""
MOST_STOPS = 1024
"""Over it the oldest is forgotten; as many ranges can be stopped at once at all."""
MOST_NAMED = 10
"""Numbers and calls that a row names; the latest."""


@dataclass(frozen=True, slots=True)
class TollBurst:
    """Refusals for one agent."""

    agent: str
    """Its id; empty: nobody's that we know."""
    first_s: float
    last_s: float
    rules: Mapping[Rule, int] = field(default_factory=dict)
    """How many calls each of them refused."""
    numbers: tuple[str, ...] = ()
    """As much of each as a log may hold."""
    calls: tuple[str, ...] = ()
    """Ids: of calls in progress, or of the list."""

    @property
    def count(self) -> int:
        return sum(self.rules.values())

    def __add__(self, later: TollBurst) -> TollBurst:
        """Both, as one."""
        rules = Counter(self.rules) + Counter(later.rules)
        numbers, calls = self.numbers + later.numbers, self.calls + later.calls
        return TollBurst(
            self.agent, self.first_s, later.last_s, rules, _latest(numbers), _latest(calls)
        )


@dataclass(frozen=True, slots=True)
class RangeStop:
    """A foreign range that a burst of short calls has stopped."""

    range: str
    hours: float
    call: str
    """Id of the last of them."""
    agent: str
    """Whose call that was."""


class TollBursts:
    """Gathers them until they are written."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, TollBurst] = OrderedDict()
        """By agent, the one refused longest ago first."""
        self._written_s: dict[str, float] = {}
        """By agent, of the last hour."""
        self._stops: deque[RangeStop] = deque(maxlen=MOST_STOPS)

    def note(self, refusal: TollRefusedError, agent: str, call: str, now_s: float) -> None:
        """``refusal`` of a call (its id, or empty) for ``agent``."""
        if agent not in self._open and len(self._open) >= MOST_AGENTS:
            agent = ""
        one = TollBurst(
            agent, now_s, now_s, {refusal.rule: 1},
            (refusal.number,) if refusal.number else (), (call,) if call else (),
        )  # fmt: skip
        self._merge(one)

    def stopped(self, stop: RangeStop) -> None:
        """A range is not rung any more."""
        self._stops.append(stop)

    def due(self, now_s: float) -> list[TollBurst | RangeStop]:
        """What is to be written now; it is taken out."""
        self._written_s = {a: at for a, at in self._written_s.items() if at > now_s - AGAIN_S}
        over = [one for one in self._open.values() if self._is_due(one, now_s)]
        for one in over:
            self._written_s[one.agent] = now_s
        return self._taken(over)

    def rest(self) -> list[TollBurst | RangeStop]:
        """All that is left: the process ends."""
        return self._taken(list(self._open.values()))

    def put_back(self, told: Iterable[TollBurst | RangeStop]) -> None:
        """They could not be written; again in a while."""
        for one in told:
            if isinstance(one, RangeStop):
                self._stops.append(one)
                continue
            self._written_s.pop(one.agent, None)
            later = self._open.pop(one.agent, None)
            self._open[one.agent] = one + later if later else one

    def _merge(self, one: TollBurst) -> None:
        before = self._open.pop(one.agent, None)
        self._open[one.agent] = before + one if before else one

    def _is_due(self, one: TollBurst, now_s: float) -> bool:
        is_over = now_s - one.last_s >= QUIET_S or now_s - one.first_s >= LONGEST_S
        return is_over and one.agent not in self._written_s

    def _taken(self, bursts: list[TollBurst]) -> list[TollBurst | RangeStop]:
        for one in bursts:
            del self._open[one.agent]
        stops = list(self._stops)
        self._stops.clear()
        return [*stops, *bursts]


def _latest(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, the latest of them."""
    return tuple(dict.fromkeys(reversed(names)))[:MOST_NAMED][::-1]
