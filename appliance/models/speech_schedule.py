"""Which phrases the model works on next, of all that wait: pure, time is passed in.

Earliest deadline first. A phrase that nothing has been heard of is due when it came; one that is
being heard is due when the sound made so far will have been played. So first sounds go first, in
order of arrival, unless somebody who listens already is about to hear a gap.

The most urgent phrase leads a batch, and others that need the same kind of work from the same
voice's model go along if that does not make the batch longer than it is to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

BATCH_S = 0.1
"""What a batch is to take at most: who comes next waits for it. Measured while it runs, so that a
GPU takes dozens at once and a slow processor one after the other."""
MOST_COST = 16_384
"""Padded frames (or letters) of a batch, whatever the speed: 3 GB of a GPU's memory."""
FREE_LENGTH = 64
"""Going along with a leader shorter than this, others may be so long: it costs next to nothing."""
MOST_PADDING = 1.5
"""Padded length of a batch over the length that is asked for: the rest is computed for nothing."""
PACE_SHARE = 0.2
"""How much a new measurement counts against the ones before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may be on a kind of device."""

    rows: int
    free_s: float
    """A batch that takes less than this may be padded and made longer as it likes."""


GPU = Limits(rows=64, free_s=0.04)
"""Starting a batch costs more than what is in it: everything goes along."""
CPU = Limits(rows=4, free_s=0.0)
"""Measured: four chunks at once save up to 45 % of a small model's time, sixteen save no more, and
of a full-size one they cost more than one by one, for they do not fit in the cache."""
SINGLY = Limits(rows=1, free_s=0.0)


class Work(Enum):
    """What a phrase waits for."""

    SPECTROGRAM = auto()
    """Its next piece of text is to become a spectrogram."""
    SOUND = auto()
    """The next chunk of its spectrogram is to become sound."""
    NOTHING = auto()
    """It is being worked on, far enough ahead of its listener, or done."""


@dataclass(slots=True, eq=False)
class Turn:
    """The place of one phrase in the schedule."""

    model: str
    """Which model speaks it: only phrases of one model go together."""
    came_s: float
    work: Work = Work.SPECTROGRAM
    length: int = 0
    """Letters or frames of what it waits for."""
    first_heard_s: float | None = None
    made_s: float = 0.0
    """Sound made so far."""

    def due_s(self) -> float:
        """When its next sound is needed."""
        return self.came_s if self.first_heard_s is None else self.first_heard_s + self.made_s


@dataclass(slots=True)
class Pace:
    """Seconds that one padded frame (or letter) takes, by kind of work and model."""

    _seconds: dict[tuple[Work, str], float] = field(default_factory=dict)

    def took(self, work: Work, model: str, cost: int, seconds: float) -> None:
        """A batch of ``cost`` padded frames took ``seconds``."""
        each = seconds / max(1, cost)
        before = self._seconds.get((work, model), each)
        self._seconds[work, model] = before + PACE_SHARE * (each - before)

    def within(self, seconds: float, work: Work, model: str) -> int:
        """The padded frames (or letters) that a batch of ``seconds`` has room for."""
        each = self._seconds.get((work, model), 0.0)
        return int(seconds / each) if each > seconds / MOST_COST else MOST_COST


class Schedule:
    """Everything that waits, and the pace of the machine."""

    def __init__(self, limits: Limits = GPU) -> None:
        self.pace = Pace()
        self._limits = limits
        self._turns: list[Turn] = []  # bounded by the server's capacity

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, turn: Turn) -> None:
        """A phrase has come."""
        self._turns.append(turn)

    def remove(self, turn: Turn) -> None:
        """A phrase is done, or nobody wants it any more. Safe to repeat."""
        if turn in self._turns:
            self._turns.remove(turn)

    def pick(self) -> list[Turn]:
        """The next batch: the most urgent phrase, and who goes along; empty if nothing waits."""
        waiting = [turn for turn in self._turns if turn.work is not Work.NOTHING]
        if not waiting:
            return []
        waiting.sort(key=Turn.due_s)
        lead = waiting[0]
        alike = [turn for turn in waiting[1:] if (turn.work, turn.model) == (lead.work, lead.model)]
        return self._fitting(lead, alike)

    def _fitting(self, lead: Turn, alike: Sequence[Turn]) -> list[Turn]:
        """The leader and all that go along without making it wait."""
        most = self.pace.within(BATCH_S, lead.work, lead.model)
        free = self.pace.within(self._limits.free_s, lead.work, lead.model)
        short = max(lead.length, FREE_LENGTH)
        batch, longest, asked = [lead], lead.length, lead.length
        for turn in alike:
            if len(batch) == self._limits.rows:
                break
            longer = max(longest, turn.length)
            cost = longer * (len(batch) + 1)
            cheap = longer <= short and cost <= MOST_PADDING * (asked + turn.length)
            if cost <= (most if cheap else min(free, most)):
                longest, asked = longer, asked + turn.length
                batch.append(turn)
        return batch
