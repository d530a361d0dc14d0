"""Supervisors on live calls: listen, whisper, take over, on FreeSWITCH's own primitives."""

from __future__ import annotations

from appliance.errors import UserError
from appliance.telephony.channel import LiveCall
from appliance.telephony.destinations import Destination
from appliance.telephony.facts import State
from appliance.telephony.office import Office

MODES = ("listen", "whisper", "take-over")
RING_S = 30
_WHISPER = {"eavesdrop_whisper_aleg": "true"}
"""The supervisor's voice is mixed into what the caller's channel is heard to say: the person at its
other end hears it, the caller does not."""


def supervise(office: Office, call: LiveCall, extension: Destination, mode: str) -> None:
    """Ring ``extension`` and connect it to ``call``.

    ``listen``: hears both. ``whisper``: and is heard by the person who has the call, not by the
    caller. ``take-over``: gets the caller from the agent.
    Raises UserError when that cannot be now.
    """
    plan = office.plan(extension, call.facts, "supervisor")
    if plan is None:
        raise UserError(f"There is no extension {extension}.")
    if mode == "take-over":
        if call.state is not State.TALKING:
            raise UserError("That call is not with an agent now, so it cannot be taken over.")
        call.take_over(plan, str(extension))
        return
    if mode == "whisper" and call.state is not State.PERSON:
        raise UserError(
            "No person has that call. Tell its agent by text: ivr supervise ID --say TEXT."
        )
    variables = {"eavesdrop_enable_dtmf": "false"} | (_WHISPER if mode == "whisper" else {})
    then = f"&eavesdrop({call.facts.call_id})"
    office.ring(plan.attempts[0].dial, variables, then, RING_S, lambda job, said: None)
