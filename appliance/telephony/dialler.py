"""Calls that we make: taken from the list when they are due, through the trunks in their order.

The list is in Postgres (``outbound_calls``), so that a call is neither lost nor made twice when a
process dies. Whether it may be made (hours, do-not-call, room) is asked each time it is due.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import gevent
from gevent.event import AsyncResult
from gevent.event import Event as Signal
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError
from appliance.events import AnsweredBy
from appliance.store import outbound
from appliance.store.outbound import OutboundCall
from appliance.telephony.channel import Facts
from appliance.telephony.destinations import (
    Destination,
    Dialling,
    Kind,
    dial_plan,
    next_trunk_helps,
)
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.hours import parse_hours
from appliance.telephony.office import Office

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
AT_ONCE = 10
"""Calls taken from the list in one look; their ringing goes on beside."""
NO_ROOM_S = 10
ANSWER_MARGIN_S = 10
"""For FreeSWITCH to tell what became of an attempt, after its own time is up."""
NEVER_AGAIN = frozenset({"UNALLOCATED_NUMBER", "INVALID_NUMBER_FORMAT", "NUMBER_CHANGED"})
T = TypeVar("T")


class Dialler:
    """Makes the calls of the list."""

    def __init__(self, engine: Engine, office: Office) -> None:
        self._engine = engine
        self._office = office
        self._wake = Signal()
        self._under_way: set[str] = set()
        self._answered_by: dict[str, AnsweredBy] = {}

    def run(self) -> None:
        """Look for calls that are due, for ever."""
        orphans_released = False
        while True:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            if not self._office.freeswitch.attached:
                continue
            try:
                if not orphans_released:
                    self._release_orphans()
                    orphans_released = True
                due = self._ask(lambda c: outbound.take_due(c, datetime.now(UTC), AT_ONCE))
            except SQLAlchemyError as e:
                log.debug("! the list of calls cannot be read: %s", e)
                continue
            for call in due:
                self._under_way.add(call.id)
                gevent.spawn(self._guarded, call)

    def wake(self) -> None:
        """Something is due now."""
        self._wake.set()

    def answered_by(self, facts: Facts, answered: AnsweredBy) -> None:
        """A worker has found out who, or what, has answered."""
        if facts.outbound:
            self._answered_by[facts.outbound] = answered

    def on_end(self, facts: Facts, cause: str) -> None:
        """A call that had been answered is over."""
        gevent.spawn(self._finish, facts, cause)

    def _release_orphans(self) -> None:
        living = [call.facts.outbound for call in self._office.calls.values()]
        living += self._under_way
        found = self._ask(lambda c: outbound.release_orphans(c, living, datetime.now(UTC)))
        if found:
            log.info("= %d calls that were under way when we died are looked after", len(found))

    def _guarded(self, call: OutboundCall) -> None:
        try:
            self._attempt(call)
        except SQLAlchemyError as e:
            log.warning("! call %s: Postgres is away: %s", call.id[:8], str(e).partition("\n")[0])
        except Exception:  # the border of a job: the other calls are made
            log.exception("! call %s could not be made", call.id[:8])
        finally:
            self._under_way.discard(call.id)

    def _attempt(self, call: OutboundCall) -> None:
        now = datetime.now(UTC)
        agent = self._office.telephony.agents.get(call.agent_id)
        if agent is None:
            self._give_up(call, f"there is no published agent {call.agent_id}")
            return
        if not self._may_ring(call, now):
            return
        try:
            plan = dial_plan(Destination(Kind.NUMBER, call.number), self._dialling(call))
        except UserError as e:
            self._give_up(call, str(e))
            return
        cause = "NO_ROUTE_DESTINATION"
        for attempt in plan.attempts:
            call_id = str(uuid.uuid4())
            trunk = attempt.trunks[0] if attempt.trunks else ""
            log.info("> call %s through %s", call.id[:8], trunk or "no trunk")
            cause = self._ring(attempt.dial, attempt.timeout_s, call_id, trunk)
            if not cause:
                self._talking(call, call_id, trunk)
                return
            log.info("= call %s: %s", call.id[:8], cause)
            if not next_trunk_helps(cause):
                break
        if cause in NEVER_AGAIN:
            self._give_up(call, cause)
        else:
            self._ask(lambda c: outbound.retry(c, call.id, cause, datetime.now(UTC)))

    def _talking(self, call: OutboundCall, call_id: str, trunk: str) -> None:
        self._ask(lambda c: outbound.set_talking(c, call.id, call_id=call_id, trunk=trunk))

    def _may_ring(self, call: OutboundCall, now: datetime) -> bool:
        switch = self._office.settings.switch
        hours = parse_hours(call.hours or switch.calling_hours, switch.timezone)
        if not hours.open_at(now):
            opening = hours.next_opening(now)
            if opening is None:
                self._give_up(call, "its hours never come")
            else:
                self._ask(lambda c: outbound.postpone(c, call.id, opening, "outside its hours"))
            return False
        if self._ask(lambda c: outbound.do_not_call(c, call.number)):
            self._ask(lambda c: outbound.finish(c, call.id, "refused", "DO_NOT_CALL", now))
            return False
        if len(self._office.calls) + len(self._under_way) > switch.max_calls:
            later = now + timedelta(seconds=NO_ROOM_S)
            self._ask(lambda c: outbound.postpone(c, call.id, later, "no room"))
            return False
        return True

    def _dialling(self, call: OutboundCall) -> Dialling:
        office = self._office
        return Dialling(
            telephony=office.telephony,
            country=office.site.country,
            domain=office.domain,
            without=office.down_trunks,
            full=office.full_trunks(),
            variables={
                "ivr_kind": "callee",
                "ivr_direction": "out",
                "ivr_outbound": call.id,
                "ivr_agent": call.agent_id,
                "ivr_did": call.number,
                "ivr_caller": call.number,
            },
        )

    def _ring(self, dial: str, timeout_s: int, call_id: str, trunk: str) -> str:
        """Ring; empty when it was answered, else the cause."""
        result: AsyncResult[str] = AsyncResult()
        variables = {"origination_uuid": call_id, "ivr_trunk": trunk}
        try:
            self._office.ring(
                dial, variables, "park XML ivr", timeout_s, lambda _, said: result.set(said)
            )
            said = str(result.get(timeout=timeout_s + ANSWER_MARGIN_S))
        except (SwitchError, gevent.Timeout):
            return "NORMAL_TEMPORARY_FAILURE"
        return "" if said.startswith("+OK") else said.removeprefix("-ERR").strip() or "NO_ANSWER"

    def _finish(self, facts: Facts, cause: str) -> None:
        answered = self._answered_by.pop(facts.outbound, None)
        result = f"{answered.who}:{answered.sign}" if answered else cause
        agent = self._office.telephony.agents.get(facts.agent)
        in_vain = answered and answered.who == "machine" and not (agent and agent.machine_message)
        now = datetime.now(UTC)

        def write(connection: Connection) -> None:
            id_, call_id = facts.outbound, facts.call_id
            if in_vain:
                outbound.retry(connection, id_, result, now, call_id=call_id)
            else:
                outbound.finish(connection, id_, "done", result, now, call_id=call_id)

        try:
            self._ask(write)
        except SQLAlchemyError as e:
            log.error("! the end of call %s is not stored: %s", facts.outbound[:8], e)

    def _give_up(self, call: OutboundCall, why: str) -> None:
        log.warning("! call %s is not made: %s", call.id[:8], why)
        self._ask(lambda c: outbound.finish(c, call.id, "failed", why, datetime.now(UTC)))

    def _ask(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one transaction, in a native thread."""

        def in_thread() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        done: T = gevent.get_hub().threadpool.apply(in_thread)
        return done
