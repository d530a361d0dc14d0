"""What is known of one live call, and what is being done with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What is being done with the caller; its name stands in ``ivr_state``."""

    NEW = "new"
    MENU = "menu"
    WAITING = "waiting"
    """Told to hold, until a worker has room."""
    CONNECTING = "connecting"
    TALKING = "talking"
    TRANSFERRING = "transferring"
    """A person is fetched while the agent keeps the caller company."""
    BLIND = "blind"
    """A person's telephone rings and the caller hears it; the dialplan does all that."""
    PERSON = "person"
    FAILED = "failed"
    ENDED = "ended"


@dataclass(frozen=True)
class Facts:
    """Who calls whom, and through what."""

    call_id: str
    did: str
    caller: str
    trunk: str = ""
    direction: str = "in"
    agent: str = ""
    """Id of the agent, once it is known."""
    encrypted: bool = False
    """Its audio is SRTP."""
    outbound: str = ""
    """Row of ``outbound_calls`` that this call is an attempt of."""
    attempt: int = 0
    """The number of that attempt, from 1."""
