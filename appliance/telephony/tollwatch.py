"""Keeps the book of what is rung through the trunks: from FreeSWITCH's events, and after a start from
the legs of the last day."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

import gevent
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import reason_of
from appliance.numbers import e164
from appliance.store.tolls import RUNG_KINDS, rung_since
from appliance.telephony.clerk import Clerk
from appliance.telephony.eventsocket import Event
from appliance.telephony.hours import parse_hours
from appliance.telephony.legs import leg_of
from appliance.telephony.office import Office
from appliance.telephony.tollbook import DAY_S, TollLeg
from appliance.telephony.tollbursts import RangeStop
from appliance.telephony.tollrefusals import LINE_EVERY_S

log = logging.getLogger(__name__)

RETRY_S = 5.0


class TollWatch:
    """Tells ``office.toll`` what happens."""

    def __init__(self, clerk: Clerk, office: Office) -> None:
        """Raises UserError: toll.foreign_hours cannot be read."""
        parse_hours(office.settings.toll.foreign_hours, office.settings.switch.timezone)
        self._clerk = clerk
        self._office = office
        self._since = datetime.now(UTC)

    def run(self) -> None:
        """Read what was rung in the day before we were started, as soon as Postgres is there."""
        while True:
            try:
                self._read()
                break
            except SQLAlchemyError as e:
                log.debug("! the last day's calls out are not known yet: %s", reason_of(e))
                gevent.sleep(RETRY_S)
        while True:  # a greenlet that ends is a fault to the control
            gevent.sleep(LINE_EVERY_S)
            self._office.refusals.say(time.time())

    def on_event(self, name: str, event: Event) -> None:
        """An event of any channel; those we do not ring through a trunk are nothing to us."""
        if event.get("variable_ivr_kind") not in RUNG_KINDS:
            return
        uuid, now_s = event.get("Unique-ID"), time.time()
        match name:
            case "CHANNEL_ORIGINATE":
                self._began(event, now_s)
            case "CHANNEL_ANSWER":
                self._office.toll.answered(uuid, now_s)
            case "CHANNEL_HANGUP_COMPLETE":
                self._ended(event, uuid, now_s)

    def _began(self, event: Event, now_s: float) -> None:
        trunk = event.get("variable_sip_gateway_name") or self._office.trunk_of(event)
        leg = leg_of(event, trunk)
        if not trunk:
            return  # a telephone of our own
        agent = self._agent_of(event, leg.call_id)
        tenant = self._office.telephony.tenants.get(agent, "")
        number = e164(leg.callee, self._office.site.country)
        self._office.toll.began(TollLeg(leg.leg_id, leg.call_id, number, trunk, tenant, now_s))

    def _ended(self, event: Event, uuid: str, now_s: float) -> None:
        leg = leg_of(event, "")
        talked_s = 0.0
        if leg.answered_at and leg.ended_at:
            talked_s = max(0.0, (leg.ended_at - leg.answered_at).total_seconds())
        rules = self._office.settings.toll
        if stopped := self._office.toll.ended(uuid, talked_s, now_s, rules):
            log.error(
                "! toll: %s… is stopped for %g h: %d calls of less than %d s to it in %d minutes",
                stopped, rules.block_hours, rules.burst_calls, rules.short_s, rules.burst_minutes,
            )  # fmt: skip
            agent = self._agent_of(event, leg.call_id)
            stop = RangeStop(stopped, rules.block_hours, leg.call_id, agent)
            self._office.bursts.stopped(stop)

    def _agent_of(self, event: Event, call_id: str) -> str:
        """Whose call a leg belongs to."""
        call = self._office.calls.get(call_id)
        return event.get("variable_ivr_agent") or (call.facts.agent if call else "")

    def _read(self) -> None:
        since = self._since - timedelta(seconds=DAY_S)
        country = self._office.site.country
        for leg in self._clerk.ask(lambda c: rung_since(c, since)):
            if leg.ended_at >= self._since:
                continue  # we have seen it ourselves
            rung = TollLeg(
                leg.leg_id, leg.call_id, e164(leg.callee, country), leg.trunk, leg.tenant, 0.0
            )
            talked_s = (leg.ended_at - leg.answered_at).total_seconds()
            self._office.toll.count(rung, max(0.0, talked_s), leg.ended_at.timestamp())
