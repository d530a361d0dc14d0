"""Supervisors on live calls: listen, whisper, take over, on FreeSWITCH's own primitives."""

from __future__ import annotations

from dataclasses import replace

from appliance.errors import UserError
from appliance.telephony.channel import LiveCall, State
from appliance.telephony.destinations import Destination
from appliance.telephony.office import Office

MODES = ("listen", "whisper", "take-over")
RING_S = 30
_WHISPER = {"eavesdrop_whisper_bleg": "true"}
"""The channel's other side hears the supervisor: the person who has the call, or the agent's ear."""


def supervise(office: Office, call: LiveCall, extension: Destination, mode: str) -> None:
    """Ring ``extension`` and connect it to ``call``.

    ``listen``: hears both. ``whisper``: and is heard by our side alone. ``take-over``: gets the caller.
    Raises UserError when that cannot be now.
    """
    plan = office.plan(extension, call.facts)
    if plan is None:
        raise UserError(f"There is no extension {extension}.")
    if mode == "take-over":
        if call.state is not State.TALKING:
            raise UserError("That call is not with an agent now, so it cannot be taken over.")
        call.take_over(plan)
        return
    kind = {"ivr_kind": "supervisor", "eavesdrop_enable_dtmf": "false"}
    variables = kind | (_WHISPER if mode == "whisper" else {})
    attempt = replace(plan.attempts[0])
    dial = attempt.dial.replace("ivr_kind=person", "ivr_kind=supervisor")
    then = f"&eavesdrop({call.facts.call_id})"
    office.ring(dial, variables, then, RING_S, lambda job, said: None)
