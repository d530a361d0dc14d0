"""What the figures of a call center mean here, in the field's own words. No SQL, no clock.

Who reads "containment 80 %" must be able to look up what was counted, so each term is defined once,
in this file; ``store.endings`` says the same in SQL, and a test holds both together.

Calls that count: every call that came in or that we made and somebody answered. Calls from the
console (``test``) and of rehearsals are in no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.store.outcomes import Outcome

BY_SUPERVISOR = "supervisor"
"""Reason of a transfer that no agent asked for: somebody at the console or the switch took the call."""
REPEAT_WITHIN_H = 24
"""A caller who rings again so soon had not got what they rang for: the usual window of first-contact
resolution."""


class Ending(StrEnum):
    """What a call that is over counts as in the rates: exactly one of these. It follows from its
    :class:`~appliance.store.outcomes.Outcome`, which says who ended it and how."""

    CONTAINED = "contained"
    """Ended without a person, after the caller had been answered at least once. That they were content
    is not known; repeat callers (:attr:`Volume.first_contact`) are the usual check of it."""
    TRANSFERRED = "transferred"
    """A person took the call over."""
    MISSED = "missed"
    """A person was asked for and nobody came; the call ended with the agent. Not contained: the
    caller wanted something else."""
    ABANDONED = "abandoned"
    """The caller hung up before a single thing they said or keyed was answered: during the greeting,
    or while they waited for the first answer."""
    FAILED = "failed"
    """Ended without either side wanting it: the worker died, the line broke, an error of ours."""
    MACHINE = "machine"
    """A call that we made, taken by an answering machine. Nobody was there to be contained: it is in
    no rate."""


ENDINGS = {
    Outcome.TRANSFERRED: Ending.TRANSFERRED,
    Outcome.MACHINE: Ending.MACHINE,
    Outcome.CUT_OFF: Ending.FAILED,
    Outcome.NOBODY_CAME: Ending.MISSED,
    Outcome.EARLY: Ending.ABANDONED,
    Outcome.CALLER: Ending.CONTAINED,
    Outcome.AGENT: Ending.CONTAINED,
}
"""Of outcomes that are over; :data:`Outcome.CALLER` is abandoned where nothing was answered."""


def ending_of(outcome: Outcome, answered_turns: int) -> Ending | None:
    """None while the call lives. ``answered_turns``: how often something that the caller said or keyed
    was followed by a reply they heard."""
    if outcome is Outcome.CALLER and not answered_turns:
        return Ending.ABANDONED
    return ENDINGS.get(outcome)


@dataclass(frozen=True, slots=True)
class Volume:
    """Calls of a time, an agent, a language: counted, and the rates that follow."""

    offered: int = 0
    """Calls that began, those in progress included."""
    contained: int = 0
    transferred: int = 0
    missed: int = 0
    abandoned: int = 0
    failed: int = 0
    machine: int = 0
    handle_s: float = 0.0
    """Seconds that the agents talked, over all handled calls."""
    known_callers: int = 0
    """Calls in from somebody who showed a number, and began :data:`REPEAT_WITHIN_H` ago or earlier:
    whether they rang again is known."""
    repeated: int = 0
    """Those of them whose caller rang again within :data:`REPEAT_WITHIN_H` hours."""
    flagged: int = 0
    """Calls with a finding of the guard, of moderation or of a person."""
    barged_in: int = 0
    """Turns in which the caller interrupted the agent."""
    turns: int = 0
    """Turns of the agents', greetings included."""

    @property
    def handled(self) -> int:
        """Calls that are over and had a person at the other end: what all rates are of."""
        return self.contained + self.transferred + self.missed + self.abandoned + self.failed

    @property
    def containment(self) -> float | None:
        """Containment rate: contained / handled. Abandoned calls are not contained here, though some
        count them so."""
        return _share(self.contained, self.handled)

    @property
    def transfer_rate(self) -> float | None:
        """Transferred / handled."""
        return _share(self.transferred, self.handled)

    @property
    def abandonment(self) -> float | None:
        """Abandonment rate: abandoned / handled."""
        return _share(self.abandoned, self.handled)

    @property
    def failure_rate(self) -> float | None:
        """Failed / handled."""
        return _share(self.failed, self.handled)

    @property
    def average_handling_s(self) -> float | None:
        """Average handling time, seconds: from answer to the agent's end of the call. There is no
        after-call work; what a person does after a transfer is not in it."""
        return self.handle_s / self.handled if self.handled else None

    @property
    def first_contact(self) -> float | None:
        """Share of callers who did not ring again within :data:`REPEAT_WITHIN_H` hours: the usual
        stand-in for first-contact resolution."""
        repeat = _share(self.repeated, self.known_callers)
        return None if repeat is None else 1 - repeat

    @property
    def flag_rate(self) -> float | None:
        """Calls with a flag / calls offered."""
        return _share(self.flagged, self.offered)

    @property
    def barge_in_rate(self) -> float | None:
        """Turns cut short by the caller / all turns."""
        return _share(self.barged_in, self.turns)

    def __add__(self, other: Volume) -> Volume:
        return Volume(*(getattr(self, n) + getattr(other, n) for n in Volume.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class DropOff:
    """Callers who hung up after ``turn`` answered turns, of those who got that far."""

    turn: int
    reached: int
    """Calls with at least so many answered turns."""
    dropped: int
    """Those in which the caller hung up before the next one was answered. A caller who has what they
    wanted hangs up too: what tells is a turn at which many more do."""

    @property
    def share(self) -> float | None:
        """Drop-off rate of this turn: dropped / reached."""
        return _share(self.dropped, self.reached)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
