"""What ``ivr up`` says when it answers calls: for a person, or for a script."""

from __future__ import annotations

import os
from ipaddress import ip_address

import orjson

from appliance.settings import Settings
from appliance.store.agents import Assignment
from appliance.store.database import database_url, without_password
from appliance.store.models import ANY_DID

EXAMPLE_DID = "1001"
"""To ring where every number is answered."""


def as_json(settings: Settings, numbers: list[Assignment], pids: dict[str, int]) -> str:
    """One object on one line."""
    facts = {
        "ready": True,
        "sip": sip_address(settings, numbers),
        "numbers": {number.did: number.agent.id for number in numbers},
        "worker": f"ws://{settings.worker.reached}:{settings.worker.port}",
        "database": without_password(database_url(settings)),
        "data_dir": str(settings.data_dir.resolve()),
        "pid": os.getpid(),
        "pids": pids,
    }
    return orjson.dumps(facts).decode()


def as_text(settings: Settings, numbers: list[Assignment], pids: dict[str, int]) -> str:
    """What a person needs to ring, to look and to stop."""
    return "\n".join(
        (
            "",
            "The appliance answers calls.",
            f"  ring     {sip_address(settings, numbers)}  (any softphone, no password)",
            f"  answers  {_answers(numbers)}",
            f"  from     {_callers(settings)}",
            f"  data     {settings.data_dir.resolve()}",
            f"  look     ivr calls, ivr calls show ID  ({len(pids)} processes run)",
            "  stop     Ctrl-C: live calls may finish; Ctrl-C again stops at once",
            "",
        )
    )


def sip_address(settings: Settings, numbers: list[Assignment]) -> str:
    """What to dial: a number that is answered, at our SIP address."""
    dids = [number.did for number in numbers if number.did != ANY_DID]
    did = EXAMPLE_DID if len(dids) < len(numbers) or not dids else dids[0]
    transport = "" if "udp" in settings.sip.transports else ";transport=tcp"
    return f"sip:{did}@{settings.sip.host}:{settings.sip.port}{transport}"


def _callers(settings: Settings) -> str:
    networks = settings.sip.allow
    text = f"{', '.join(map(str, networks))}  (sip.allow)"
    if all(n.is_loopback for n in networks) and not ip_address(settings.sip.host).is_loopback:
        text += "; no other machine may call: add --allow NETWORK"
    return text


def _answers(numbers: list[Assignment]) -> str:
    if not numbers:
        return "nobody yet: no number has an agent (`ivr seed` publishes a sample)"
    return ", ".join(
        f"{n.agent.name} on {'every number' if n.did == ANY_DID else n.did}" for n in numbers
    )
