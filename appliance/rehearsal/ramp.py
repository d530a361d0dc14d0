"""How a rehearsal climbs: so many calls at once, step after step, within a time limit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from appliance.errors import UserError

USUAL = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200)
"""Steps of a ramp: the lower half is where the flat part is known from, the upper where it bends."""
MOST_CALLS = 1000
FEW_TURNS = 12
"""A step with fewer turns than this says little; it goes on for up to ``LONGER`` times as long."""
LONGER = 3
FEW_CALLS = 5
PLACING_S = 0.1
"""Between two calls that are placed: 10 a second, well under what a PBX takes."""
MARGIN_S = 8.0
"""Around a step: the first greeting, the hang-ups, the settling."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """What a rehearsal does."""

    steps: tuple[int, ...]
    """Calls at once, rising."""
    seconds: float
    """How long each step talks."""
    limit_s: float
    """No step is begun that would end later than this."""

    def estimate_s(self, calls: int) -> float:
        """How long the step of ``calls`` takes, from the first call placed to the last hung up."""
        longer = LONGER if calls < FEW_CALLS else 1
        return calls * PLACING_S + self.seconds * longer + MARGIN_S

    def fits(self, calls: int, since_s: float) -> bool:
        """Whether the step of ``calls`` still ends in time, ``since_s`` after the beginning."""
        return since_s + self.estimate_s(calls) <= self.limit_s


def steps_to(most: int) -> tuple[int, ...]:
    """The usual steps up to ``most`` calls, the last of them ``most``. Raises UserError."""
    if not 1 <= most <= MOST_CALLS:
        raise UserError(f"--calls {most} should be from 1 to {MOST_CALLS}.")
    return (*(step for step in USUAL if step < most), most)


def parse_steps(text: str) -> tuple[int, ...]:
    """``1,5,10`` as steps. Raises UserError: they are not numbers, or do not rise."""
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        steps = ()
    rising = all(a < b for a, b in pairwise(steps))
    if not steps or not rising or steps[0] < 1 or steps[-1] > MOST_CALLS:
        raise UserError(f"--steps {text!r} should be rising numbers from 1 on, such as 1,5,10.")
    return steps
