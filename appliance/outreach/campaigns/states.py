"""Which step leads a campaign where, and what a call's end makes of a contact: two tables. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.errors import UserError
from appliance.store.campaigns import CampaignState, ContactState
from appliance.store.outbound import CANCELLED
from appliance.telephony.destinations import NEVER_AGAIN


class Step(StrEnum):
    """What somebody, or the feeder, does to a campaign."""

    START = "start"
    PAUSE = "pause"
    CANCEL = "cancel"
    FINISH = "finish"
    """Nobody is left to call."""


_S = CampaignState
STEPS: dict[tuple[CampaignState, Step], CampaignState] = {
    (_S.DRAFT, Step.START): _S.RUNNING,
    (_S.PAUSED, Step.START): _S.RUNNING,
    (_S.RUNNING, Step.PAUSE): _S.PAUSED,
    (_S.DRAFT, Step.CANCEL): _S.CANCELLED,
    (_S.RUNNING, Step.CANCEL): _S.CANCELLED,
    (_S.PAUSED, Step.CANCEL): _S.CANCELLED,
    (_S.RUNNING, Step.FINISH): _S.DONE,
}
CHANGEABLE = frozenset({_S.DRAFT, _S.PAUSED})
"""States in which its settings may be changed and contacts added."""
OVER = frozenset({_S.DONE, _S.CANCELLED})


def after(state: CampaignState, step: Step) -> CampaignState:
    """The state that ``step`` leads to. Raises UserError where it leads nowhere."""
    found = STEPS.get((state, step))
    if found is None:
        possible = ", ".join(s for s in Step if s is not Step.FINISH and (state, s) in STEPS)
        raise UserError(
            f"A campaign that is {state} cannot be {_DONE[step]}."
            + (f" It can: {possible}." if possible else " Make a new one.")
        )
    return found


_DONE = {
    Step.START: "started",
    Step.PAUSE: "paused",
    Step.CANCEL: "cancelled",
    Step.FINISH: "finished",
}


@dataclass(frozen=True, slots=True)
class Settled:
    """What a contact is after a call."""

    state: ContactState
    again: bool = False
    """It is called again after the campaign's wait."""


def settled(outcome: str, result: str, attempts: int, max_attempts: int) -> Settled:
    """``outcome`` is the state in which the call left the list: done, failed or refused; ``attempts``
    counts this call."""
    if outcome == "done":
        return Settled(ContactState.REACHED)
    if outcome == "refused":
        return Settled(
            ContactState.CANCELLED if result == CANCELLED else ContactState.REFUSED
        )  # fmt: skip
    if result in NEVER_AGAIN or attempts >= max_attempts:
        return Settled(ContactState.FAILED)
    return Settled(ContactState.WAITING, again=True)
