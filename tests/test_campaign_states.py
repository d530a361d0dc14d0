"""Which step leads where, what a call's end makes of a contact, and when a campaign stops itself."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.outreach.campaigns.breaker import FEWEST_CALLS, LAST_CALLS, is_technical, verdict
from appliance.outreach.campaigns.states import OVER, STEPS, Step, after, settled
from appliance.store.campaigns import CampaignState, ContactState
from appliance.store.outbound import CANCELLED, LOST


@pytest.mark.parametrize(("state", "step"), [*itertools.product(CampaignState, Step)])
def test_every_step_from_every_state_leads_somewhere_or_is_refused(
    state: CampaignState, step: Step
) -> None:
    if (state, step) in STEPS:
        assert after(state, step) is STEPS[state, step]
        assert state not in OVER
    else:
        with pytest.raises(UserError, match=str(state)):
            after(state, step)


@pytest.mark.parametrize(
    ("outcome", "result", "attempts", "state", "again"),
    [
        ("done", "human:short greeting", 1, ContactState.REACHED, False),
        ("refused", "DO_NOT_CALL", 1, ContactState.REFUSED, False),
        ("refused", CANCELLED, 1, ContactState.CANCELLED, False),
        ("failed", "USER_BUSY", 1, ContactState.WAITING, True),
        ("failed", "USER_BUSY", 3, ContactState.FAILED, False),
        ("failed", "UNALLOCATED_NUMBER", 1, ContactState.FAILED, False),
        ("failed", "machine:long greeting", 2, ContactState.WAITING, True),
    ],
)
def test_what_a_call_makes_of_a_contact(
    outcome: str, result: str, attempts: int, state: ContactState, again: bool
) -> None:
    found = settled(outcome, result, attempts, 3)
    assert (found.state, found.again) == (state, again)


@pytest.mark.parametrize(
    ("result", "technical"),
    [
        ("GATEWAY_DOWN", True), (LOST, True), ("there is no published agent a", True),
        ("USER_BUSY", False), ("NO_ANSWER", False), ("human:short greeting", False),
        ("machine:long greeting", False), ("uncertain:silence", False), ("DO_NOT_CALL", False),
        (CANCELLED, False), ("UNALLOCATED_NUMBER", False),
    ],
)  # fmt: skip
def test_whose_fault_it_was(result: str, technical: bool) -> None:
    assert is_technical(result) is technical


_RESULT = st.sampled_from(["GATEWAY_DOWN", "USER_BUSY", "human:short greeting", "NO_ANSWER"])


@given(st.lists(_RESULT, max_size=40))
def test_it_breaks_at_half_of_the_last_twenty_and_not_before(results: list[str]) -> None:
    last = results[:LAST_CALLS]
    broken = len(last) >= FEWEST_CALLS and last.count("GATEWAY_DOWN") * 2 >= len(last)
    assert bool(verdict(results)) is broken


def test_why_it_paused_names_the_reason() -> None:
    why = verdict(["GATEWAY_DOWN"] * 8 + ["NETWORK_OUT_OF_ORDER"] * 4 + ["NO_ANSWER"] * 8)
    assert "12 of the last 20" in why and "GATEWAY_DOWN (8)" in why and "start it again" in why
