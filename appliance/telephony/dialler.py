"""Calls that we make: taken from the list when they are due, through the trunks in their order.

The list is in Postgres (``outbound_calls``), so that a call is neither lost nor made twice when a
process dies. Whether it may be made (hours, do-not-call, room) is asked each time it is due. What
became of it is stored as legs are (``records.py``): on disk at once, in Postgres when it is there.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

import gevent
from gevent.event import Event as Signal
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError, reason_of
from appliance.store import outbound
from appliance.store.outbound import CANCELLED, OutboundCall, Outcome
from appliance.telephony.channel import LiveCall
from appliance.telephony.clerk import Clerk
from appliance.telephony.destinations import (
    NEVER_AGAIN,
    Attempt,
    Destination,
    Dialling,
    Kind,
    dial_plan,
)
from appliance.telephony.eventsocket import Event, SwitchError
from appliance.telephony.facts import Facts
from appliance.telephony.hours import parse_hours
from appliance.telephony.office import Office
from appliance.telephony.records import Records
from appliance.telephony.ringing import Ringing, Rung
from appliance.telephony.tollguard import TollRefusedError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
AT_ONCE = 10
"""Calls taken from the list in one look; their ringing goes on beside."""
NO_ROOM_S = 10
NO_TRUNK_S = 60
TOLL_S = 600
"""A number that may not be rung now (the night, a limit) is looked at again so much later."""
ANSWER_MARGIN_S = 10
"""For FreeSWITCH to tell what became of an attempt, after its own time is up."""
ADOPTED_RING_S = 60
"""A telephone that rang before we were there rings no longer than this."""
NO_MESSAGE_SIGNS = ("machine:fax", "machine:intercept")
FAULT = "INTERWORKING"
STOPPED = "ORIGINATOR_CANCEL"
AWAY = "Postgres is away"
FULL = "every trunk carries as many calls as it may"
Change = Literal["talking", "done", "failed", "refused", "retry", "postpone"]


class Dialler:
    """Makes the calls of the list."""

    def __init__(self, clerk: Clerk, office: Office, records: Records) -> None:
        self._clerk = clerk
        self._office = office
        self._records = records
        self._wake = Signal()
        self._attached = Signal()
        """FreeSWITCH is here, and what is live in it is known."""
        self._under_way: set[str] = set()
        """Rows that are being dialled."""
        self._ringing: dict[str, Ringing] = {}
        """By the UUID of the channel."""
        self._orphans = True
        """There may be rows under way that nobody looks after."""

    def run(self) -> None:
        """Look for calls that are due, for ever."""
        self._records.caught_up.wait()
        while True:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            self._attached.wait()
            try:
                if self._orphans and self._records.settled:
                    self._release_orphans()
                due = self._take_due()
            except SQLAlchemyError as e:
                log.debug("! the list of calls cannot be read: %s", e)
                self._orphans = True  # it may have given us calls that we do not know of
                continue
            for call in due:
                self._under_way.add(call.id)
                gevent.spawn(self._guarded, call, self._attempt)

    def wake(self) -> None:
        """Something is due now."""
        self._wake.set()

    # --- for people -------------------------------------------------------------------------------

    def ringing(self) -> list[Ringing]:
        """The telephones that ring now."""
        return list(self._ringing.values())

    def cancel(self, ringing: Ringing) -> None:
        """Let it ring no longer, and not again. Raises SwitchError."""
        ringing.cancelled = True
        self._office.freeswitch.kill(ringing.call_id, STOPPED)

    # --- what the control tells -------------------------------------------------------------------

    def on_attached(self, callees: Iterable[Event]) -> None:
        """FreeSWITCH is here, with these channels that ring, or that nobody has parked yet."""
        there = {event.get("Unique-ID"): event for event in callees}
        for call_id, ringing in list(self._ringing.items()):
            if call_id in there:
                ringing.adopted()
            elif call_id in self._office.calls:
                ringing.on_answer()
            else:
                ringing.lost()
        for call_id, event in there.items():
            if call_id not in self._ringing:
                self._adopt(event)
        self._attached.set()

    def on_detached(self) -> None:
        """FreeSWITCH, or its event socket, is away: what rings may ring on."""
        self._attached.clear()

    def on_answer(self, facts: Facts) -> None:
        """A call of the list was answered, or found live."""
        self._tell(facts.outbound, facts.attempt, "talking", "", facts.call_id, facts.trunk)
        if ringing := self._ringing.get(facts.call_id):
            ringing.on_answer()

    def on_hangup(self, event: Event) -> None:
        """A channel that rang has ended."""
        if ringing := self._ringing.get(event.get("Unique-ID")):
            ringing.on_hangup(event)

    def on_end(self, call: LiveCall, cause: str) -> None:
        """A call that had been answered is over."""
        facts, answered = call.facts, call.answered_by
        agent = self._office.telephony.agents.get(facts.agent)
        message = bool(agent and agent.machine_message) and answered not in NO_MESSAGE_SIGNS
        in_vain = answered.startswith("machine") and not message
        change: Change = "done" if call.talked and not in_vain else "retry"
        result = answered or cause
        if cause == STOPPED and not call.talked:
            change, result = "refused", CANCELLED
        place = facts.call_id, facts.trunk
        self._tell(facts.outbound, facts.attempt, change, result, *place)

    # --- one call ---------------------------------------------------------------------------------

    def _take_due(self) -> list[OutboundCall]:
        limit = max(1, self._room())  # one at least, that its row may say why it waits
        return self._clerk.ask(lambda c: outbound.take_due(c, datetime.now(UTC), limit))

    def _release_orphans(self) -> None:
        living = {call.facts.outbound for call in self._office.calls.values()}
        living |= self._under_way
        found = self._clerk.ask(lambda c: outbound.release_orphans(c, living, datetime.now(UTC)))
        self._orphans = False
        if found:
            log.info("= %d calls that were under way and nobody's are looked after", len(found))

    def _adopt(self, event: Event) -> None:
        call_id, trunk = event.get("Unique-ID"), event.get("variable_ivr_trunk")
        call = OutboundCall(
            id=event.get("variable_ivr_outbound"),
            number=event.get("variable_ivr_did"),
            agent_id=event.get("variable_ivr_agent"),
            state="dialling",
            attempts=event.whole("variable_ivr_attempt"),
            max_attempts=0,
            retry_after_s=0,
            hours="",
            next_at=datetime.now(UTC),
            result="",
            call_id=call_id,
            trunk=trunk,
            created_at=datetime.now(UTC),
            ended_at=None,
        )
        ringing = Ringing(call, call_id, trunk)
        ringing.adopted()
        self._ringing[call_id] = ringing
        self._under_way.add(call.id)
        log.info("= call %s rings on", call.id[:8])
        gevent.spawn(self._guarded, call, lambda _: self._see_out(ringing))

    def _see_out(self, ringing: Ringing) -> None:
        self._settle(ringing.call, self._until_over(ringing, ADOPTED_RING_S))

    def _guarded(self, call: OutboundCall, work: Callable[[OutboundCall], None]) -> None:
        try:
            work(call)
        except SQLAlchemyError as e:
            log.warning("! call %s: Postgres is away: %s", call.id[:8], reason_of(e))
            self._postpone(call, NO_ROOM_S, AWAY)
        except Exception:  # the border of a job: the other calls are made
            log.exception("! call %s could not be made", call.id[:8])
            self._over(call, "retry", FAULT)
        finally:
            self._under_way.discard(call.id)

    def _attempt(self, call: OutboundCall) -> None:
        if not self._may_ring(call):
            return
        to = Destination(Kind.NUMBER, call.number)
        try:
            plan = dial_plan(to, self._dialling(call))
        except TollRefusedError as e:
            self._office.note_refused(e, call.agent_id, call.id)
            if e.lasting:
                self._over(call, "failed", str(e))
            else:
                self._postpone(call, TOLL_S, str(e))
            return
        except UserError as e:
            self._over(call, "failed", str(e))
            return
        rung = None
        first_id = str(uuid.uuid4())
        if not self._clerk.ask(lambda c: outbound.begin_ringing(c, call, first_id)):
            self._over(call, "refused", "DO_NOT_CALL")
            return
        call_id = first_id
        self._office.expect_toll(to, first_id, call.agent_id)
        for attempt in plan.attempts:
            if set(attempt.trunks) & self._office.full_trunks():
                continue  # filled while another one was tried
            rung = self._ring(call, attempt, call_id)
            log.info("= call %s: %s", call.id[:8], rung.cause or "answered")
            if not rung.elsewhere:
                break
            call_id = str(uuid.uuid4())
        if rung is None:
            self._postpone(call, NO_ROOM_S, FULL)
        else:
            self._settle(call, rung)

    def _settle(self, call: OutboundCall, rung: Rung) -> None:
        """What an attempt that nobody answered comes to; one that was, has its own end."""
        if rung.cause == CANCELLED:
            self._over(call, "refused", CANCELLED)
        elif rung.cause in NEVER_AGAIN:
            self._over(call, "failed", rung.cause)
        elif rung.cause:
            self._over(call, "retry", rung.cause)

    def _may_ring(self, call: OutboundCall) -> bool:
        """Whether it may be rung now; if not, the row says until when, or why never."""
        office, now = self._office, datetime.now(UTC)
        switch = office.settings.switch
        try:
            hours = parse_hours(call.hours or switch.calling_hours, switch.timezone)
        except UserError as e:
            self._over(call, "failed", str(e))
            return False
        if not hours.open_at(now):
            if (opening := hours.next_opening(now)) is None:
                self._over(call, "failed", "its hours never come")
            else:
                self._postpone_to(call, opening, "outside its hours")
            return False
        if call.agent_id not in office.telephony.agents:
            self._over(call, "failed", f"there is no published agent {call.agent_id}")
            return False
        wait_s, why = self._obstacle()
        if why:
            self._postpone(call, wait_s, why)
        return not why

    def _obstacle(self) -> tuple[int, str]:
        """Why nobody can be rung now, and in how many seconds to look again; (0, ""): nothing."""
        office = self._office
        free = {trunk.name for trunk in office.telephony.trunks if trunk.enabled}
        if not free:
            return NO_TRUNK_S, "there is no trunk"
        if not free - office.full_trunks():
            return NO_ROOM_S, FULL
        if len(office.calls) + len(self._under_way) > office.settings.switch.max_calls:
            return NO_ROOM_S, "as many calls are live as may be"
        if office.workers.room < len(self._under_way):
            return NO_ROOM_S, "no worker has room"
        return 0, ""

    def _room(self) -> int:
        """How many calls may be begun now."""
        office, coming = self._office, len(self._under_way)
        carried = office.calls_by_trunk()
        trunks = [trunk for trunk in office.telephony.trunks if trunk.enabled]
        on_trunks = sum(max(0, t.max_calls - carried.get(t.name, 0)) for t in trunks)
        if any(not t.max_calls for t in trunks):
            on_trunks = AT_ONCE
        live = office.settings.switch.max_calls - len(office.calls)
        not_ringing = coming - len(self._ringing)
        return min(AT_ONCE, live - coming, office.workers.room - coming, on_trunks - not_ringing)

    def _dialling(self, call: OutboundCall) -> Dialling:
        office = self._office
        return Dialling(
            telephony=office.telephony,
            country=office.site.country,
            domain=office.domain,
            without=office.down_trunks,
            full=office.full_trunks(),
            toll=office.toll_guard(call.agent_id),
            carriers=office.carriers,
            variables={
                "ivr_kind": "callee",
                "ivr_direction": "out",
                "ivr_outbound": call.id,
                "ivr_attempt": str(call.attempts),
                "ivr_agent": call.agent_id,
                "ivr_did": call.number,
                "ivr_caller": call.number,
            },
        )

    def _ring(self, call: OutboundCall, attempt: Attempt, call_id: str) -> Rung:
        """Ring through one trunk until it is over."""
        office = self._office
        trunk = attempt.trunks[0] if attempt.trunks else ""
        log.info("> call %s through %s", call.id[:8], trunk or "no trunk")
        ringing = self._ringing[call_id] = Ringing(call, call_id, trunk)
        variables = {"origination_uuid": call_id, "ivr_trunk": trunk}
        try:
            office.ring(
                attempt.dial, variables, "park XML ivr", attempt.timeout_s,
                lambda _, said: ringing.on_job(said, lambda: office.freeswitch.attached),
            )  # fmt: skip
        except SwitchError as e:
            log.warning("! call %s: %s", call.id[:8], e)
            self._kill(call_id)  # it may have been taken all the same
            if office.freeswitch.attached:
                ringing.on_job("-ERR NORMAL_TEMPORARY_FAILURE", lambda: True)
        return self._until_over(ringing, attempt.timeout_s + ANSWER_MARGIN_S)

    def _until_over(self, ringing: Ringing, timeout_s: float) -> Rung:
        try:
            while True:
                try:
                    return ringing.wait(timeout_s)
                except gevent.Timeout:
                    self._attached.wait()
                    ringing.adopted()
                if not self._kill(ringing.call_id):
                    return Rung("NO_ANSWER")
                timeout_s = ANSWER_MARGIN_S
        finally:
            self._ringing.pop(ringing.call_id, None)

    def _kill(self, call_id: str) -> bool:
        try:
            self._office.freeswitch.kill(call_id, "NO_ANSWER")
        except SwitchError:
            return False
        return True

    # --- the rows ---------------------------------------------------------------------------------

    def _over(self, call: OutboundCall, change: Change, why: str) -> None:
        if change == "failed":
            log.warning("! call %s is not made: %s", call.id[:8], why)
        self._tell(call.id, call.attempts, change, why)

    def _postpone(self, call: OutboundCall, wait_s: int, why: str) -> None:
        self._postpone_to(call, datetime.now(UTC) + timedelta(seconds=wait_s), why)

    def _postpone_to(self, call: OutboundCall, due: datetime, why: str) -> None:
        log.info("= call %s waits until %s: %s", call.id[:8], due.isoformat(" ", "seconds"), why)
        self._records.outbound(Outcome(call.id, call.attempts, "postpone", due, why))

    def _tell(
        self, id_: str, attempt: int, change: Change, result: str, call_id: str = "",
        trunk: str = "",
    ) -> None:  # fmt: skip
        now = datetime.now(UTC)
        self._records.outbound(Outcome(id_, attempt, change, now, result, call_id, trunk))
