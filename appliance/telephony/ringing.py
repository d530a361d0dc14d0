"""A telephone that rings for a call of our list, and what becomes of it.

Three things tell, in any order: the result of FreeSWITCH's ``originate``, the channel that parks
because somebody answered, and the channel's end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import gevent
from gevent.event import AsyncResult

from appliance.store.outbound import CANCELLED, LOST, OutboundCall
from appliance.telephony.destinations import next_trunk_helps
from appliance.telephony.eventsocket import Event
from appliance.telephony.freeswitch import cause_of

REFUSED = "CALL_REJECTED"
"""403 of a trunk, or 603 of the person: only the channel's end tells which."""
STATUS_WAIT_S = 0.5
FIRST_GLOBAL_STATUS = 600
"""RFC 3261 §21.6: said by the called person, for every way there is to them."""
_PLAIN = {"ALLOTTED_TIMEOUT": "NO_ANSWER", "ORIGINATOR_CANCEL": "NO_ANSWER"}
"""FreeSWITCH's names for our own patience being at its end."""


@dataclass(frozen=True, slots=True)
class Rung:
    """How the ringing ended; an empty ``cause``: somebody, or something, answered."""

    cause: str = ""
    elsewhere: bool = False
    """Another trunk may reach them; nobody was rung."""


class Ringing:
    """One attempt through one trunk."""

    def __init__(self, call: OutboundCall, call_id: str, trunk: str) -> None:
        self.call = call
        self.call_id = call_id
        self.trunk = trunk
        self.started_at = datetime.now(UTC)
        self.cancelled = False
        self._result: AsyncResult[Rung] = AsyncResult()
        self._up = False
        """Nothing more is to come from ``originate``."""
        self._ended: Event | None = None

    def wait(self, timeout_s: float) -> Rung:
        """How it ended. Raises gevent.Timeout."""
        rung = self._result.get(timeout=timeout_s)
        assert rung is not None  # nobody sets that
        return Rung(CANCELLED) if self.cancelled and rung.cause else rung

    def on_job(self, said: str, attached: Callable[[], bool]) -> None:
        """``originate`` is over; while FreeSWITCH is away it may ring on, and nobody knows."""
        if said.startswith("+OK"):
            self.adopted()
        elif attached():
            cause = cause_of(said)
            wait_s = STATUS_WAIT_S if cause == REFUSED and self._ended is None else 0
            gevent.spawn_later(wait_s, self._fail, cause)

    def adopted(self) -> None:
        """The channel alone tells from now on: it answered, or ``originate`` is not ours."""
        self._up = True
        if self._ended is not None:
            self._fail(self._ended.get("Hangup-Cause"))

    def on_hangup(self, event: Event) -> None:
        """The channel ended without anybody at it."""
        self._ended = event
        if self._up:
            self._fail(event.get("Hangup-Cause"))

    def on_answer(self) -> None:
        """The channel parked."""
        self._result.set(Rung())

    def lost(self) -> None:
        """It is gone, and nobody saw how."""
        self._result.set(Rung(LOST))

    def describe(self) -> dict[str, object]:
        """As a live call's, for the API."""
        call = self.call
        return {
            "call_id": self.call_id,
            "did": call.number,
            "caller": call.number,
            "trunk": self.trunk,
            "direction": "out",
            "agent": call.agent_id,
            "state": "ringing",
            "transferred_to": "",
            "worker": "",
            "part": 0,
            "started_at": self.started_at.isoformat(),
        }

    def _fail(self, cause: str) -> None:
        if self._result.ready():
            return
        status = self._ended.whole("variable_sip_term_status") if self._ended else 0
        person = status >= FIRST_GLOBAL_STATUS
        cause = _PLAIN.get(cause, cause) or LOST
        self._result.set(Rung(cause, next_trunk_helps(cause) and not person))
