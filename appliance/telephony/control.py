"""``ivr switch``: call control of FreeSWITCH over its event socket (greenswitch, gevent).

One connection, one greenlet a call. When FreeSWITCH goes and comes back, or we do, every channel is
looked at again and its call taken up where it stands.
"""

from __future__ import annotations

import logging
import signal
from datetime import UTC, datetime

import gevent
from gevent.event import Event as Signal
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from appliance import readiness
from appliance.engines.key import key_for
from appliance.errors import UserError, reason_of
from appliance.numbers import e164
from appliance.settings import EVENT_SOCKET_SECRET, MEDIA_SECRET, Settings
from appliance.store.database import database_url, open_sync_engine
from appliance.store.legs import close_lost_legs
from appliance.telephony.channel import GUARD_EVERY_S, LiveCall
from appliance.telephony.clerk import Clerk
from appliance.telephony.dialler import Dialler
from appliance.telephony.eventsocket import DISCONNECTED, Event, EventSocket, SwitchError
from appliance.telephony.facts import Facts, State
from appliance.telephony.freeswitch import (
    EVENTS,
    FETCHED,
    GATEWAY_GONE,
    GATEWAY_STATE,
    STREAM_CONNECT,
    STREAM_DISCONNECT,
    STREAM_ERROR,
    STREAM_JSON,
    XML_READ,
    FreeSwitch,
)
from appliance.telephony.legs import leg_of, packets_of
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.records import Records
from appliance.telephony.roster import Roster
from appliance.telephony.switchapi import SwitchApi
from appliance.telephony.switchtelling import HubLag, exporter_of_switch
from appliance.telephony.tollbook import TollBook
from appliance.telephony.tollrecorder import TollRecorder, Write
from appliance.telephony.tollwatch import TollWatch
from appliance.telephony.waiting import WaitingRoom
from appliance.telephony.workers import Workers

log = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 2.0
LOST_CAUSE = "NORMAL_TEMPORARY_FAILURE"
_STREAM = {
    STREAM_CONNECT: "connect", STREAM_JSON: "json",
    STREAM_ERROR: "error", STREAM_DISCONNECT: "disconnect",
}  # fmt: skip
_NOT_OURS = ("person", "supervisor")
_CALLEE = "callee"
_FETCHED = f"variable_{FETCHED}"
MOST_DIGITS = 64


def run(settings: Settings, write_toll: Write) -> None:
    """Run call control until SIGTERM; live calls go on without it, and the next one adopts them.
    ``write_toll`` puts what the toll rules refused where it is kept."""
    control = Control(settings, write_toll)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, control.stop)
    control.run()


class Control:
    """The process: its connection, its calls, and what runs beside them."""

    def __init__(self, settings: Settings, write_toll: Write) -> None:
        switch, tts = settings.switch, settings.engines.tts
        engine = open_sync_engine(database_url(settings))
        self._settings = settings
        self._engine: Engine = engine
        self._password = settings.secret(EVENT_SOCKET_SECRET)
        self._stopping = Signal()
        self._link: EventSocket | None = None
        self._disconnected = Signal()
        self.office = Office(
            settings=settings,
            freeswitch=FreeSwitch(),
            workers=Workers(settings.worker.and_spare(switch.worker_urls)),
            ports=PlaybackPorts(switch.playback_host, switch.playback_port, switch.playback_ports),
            notices=Notices(settings.announcements_dir, tts.addresses(), key_for(settings, tts)),
            waiting=WaitingRoom(settings.switch.max_waiting),
            media_secret=settings.secret(MEDIA_SECRET),
            toll=TollBook(settings.switch.country),
        )
        self.tolls = TollWatch(Clerk(engine), self.office)
        self.toll_recorder = TollRecorder(Clerk(engine), self.office.bursts, write_toll)
        self.records = Records(engine, settings.spool_dir / "switch")
        self.roster = Roster(engine, self.office)
        self.dialler = Dialler(Clerk(engine), self.office, self.records)
        self._lag = HubLag()
        exporter = exporter_of_switch(self.office, self.records, self.roster, engine, self._lag)
        self.api = SwitchApi(
            settings, Clerk(engine), self.office, self.roster, self.dialler, exporter.render
        )
        self.office.ended = self._on_call_end
        self.office.workers.silent = self._on_silent_worker
        self.office.ringing = lambda: [ring.trunk for ring in self.dialler.ringing()]

    def stop(self) -> None:
        """End the process; no call is touched."""
        self._stopping.set()

    def run(self) -> None:
        """Serve until :meth:`stop`. Raises UserError: a port is taken, the password is wrong."""
        hub = gevent.get_hub()
        # what fails in a native thread is raised where it was asked for, and told of there
        hub.NOT_ERROR = (*hub.NOT_ERROR, SQLAlchemyError, OSError, UserError)
        self.api.start()
        beside = [
            gevent.spawn(work)
            for work in (
                self.office.workers.run, self.records.run, self.roster.run, self.dialler.run,
                self._lag.run,
                self.tolls.run, self.toll_recorder.run,
                self._renew_guards, self._connect_for_ever, self._beat,
            )
        ]  # fmt: skip
        for greenlet in beside:
            greenlet.link(lambda _: self._stopping.set())  # a fault: let it be seen
        readiness.ready("waiting for FreeSWITCH")
        self._stopping.wait()
        readiness.stopping()
        self._disconnect()
        broken = [greenlet for greenlet in beside if greenlet.ready()]
        gevent.killall(beside, timeout=1)
        self.api.stop()
        self.toll_recorder.finish()
        self.records.close()
        self.office.ports.close()
        for greenlet in broken:
            greenlet.get()
        log.info("= stopped; %d calls go on without us", len(self.office.calls))

    def _on_silent_worker(self, url: str) -> None:
        for call in list(self.office.calls.values()):
            if call.worker == url:
                call.on_silent_worker(url)

    # --- the connection ---------------------------------------------------------------------------

    def _connect_for_ever(self) -> None:
        retry_s = FIRST_RETRY_S
        told = False
        while True:
            try:
                self._connect()
            except SwitchError as e:
                if not told:
                    log.warning("! %s; trying again", e)
                    told = True
                gevent.sleep(retry_s)
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
                continue
            retry_s, told = FIRST_RETRY_S, False
            self._disconnected.wait()
            self._disconnect()
            log.warning("! FreeSWITCH is away")
            readiness.status("FreeSWITCH is away")

    def _connect(self) -> None:
        switch = self._settings.switch
        self._disconnected.clear()
        if not self.office.telephony.version:
            self.roster.read()  # before the first call, or it would be nobody's
        link = EventSocket(switch.esl_host, switch.esl_port, self._password)
        link.connect()
        self._link = link
        link.register_handle(DISCONNECTED, lambda _: self._disconnected.set())
        for name in (*EVENTS.split(), *_STREAM, GATEWAY_STATE, GATEWAY_GONE):
            link.register_handle(name, self._on_event)
        self.office.freeswitch.attach(link)
        try:
            self.office.freeswitch.subscribe()
            self.office.domain = self.office.freeswitch.domain()
            self.office.learn_failure_dial()
            self._adopt()
            self.roster.look(always=True)
        except SwitchError:
            self._disconnect()
            raise
        log.info("= FreeSWITCH is here, %d calls live", len(self.office.calls))
        readiness.status("FreeSWITCH is here")

    def _disconnect(self) -> None:
        self.office.freeswitch.attach(None)
        self.dialler.on_detached()
        if self._link is not None:
            self._link.close()
            self._link = None
        for job, tell in list(self.office.jobs.items()):
            del self.office.jobs[job]
            tell(job, f"-ERR {LOST_CAUSE}")

    def _beat(self) -> None:
        """Tell the service manager that this hub goes round."""
        every_s = readiness.beat_every_s()
        while True:
            readiness.beat()
            gevent.sleep(every_s or GUARD_EVERY_S)

    def _renew_guards(self) -> None:
        while True:
            gevent.sleep(GUARD_EVERY_S)
            for call in list(self.office.calls.values()):
                call.renew_guard()

    # --- what FreeSWITCH tells --------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        name, uuid = event.get("Event-Name"), event.get("Unique-ID")
        subclass = event.get("Event-Subclass")
        if subclass in _STREAM:
            if call := self.office.calls.get(uuid):
                call.on_stream(_STREAM[subclass], event.body)
        elif subclass == GATEWAY_STATE:
            self.roster.on_gateway(event.get("Gateway"), event.get("State"))
        elif subclass == GATEWAY_GONE:
            self.office.freeswitch.on_gateway_gone(event.get("Gateway"))
        elif name == "BACKGROUND_JOB":
            job = event.get("Job-UUID")
            if tell := self.office.jobs.pop(job, None):
                tell(job, event.body.strip())
        elif name == XML_READ:
            gevent.spawn(self._on_xml_read)  # it waits for an answer, and other events do not
        else:
            self._on_channel(name, uuid, event)

    def _on_xml_read(self) -> None:
        try:
            self.office.learn_failure_dial()
        except SwitchError as e:
            log.warning("! whom --failure-dial names now is not known: %s", e)

    def _on_channel(self, name: str, uuid: str, event: Event) -> None:
        kind = event.get("variable_ivr_kind")
        call = self.office.calls.get(uuid)
        self.tolls.on_event(name, event)
        if name in ("CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE"):
            trunk = self.office.trunk_of(event)
            leg = leg_of(event, trunk)
            self.records.leg(leg)
            if leg.ended_at is not None and trunk:
                known = self.office.telephony.trunk(trunk) is not None
                self.office.counts.leg(trunk, leg.sip_status, known)
            if (
                name == "CHANNEL_HANGUP_COMPLETE"
                and event.get("Caller-Channel-Answered-Time") > "0"
            ):
                received, sent = packets_of(event)
                self.roster.heard(trunk, received, sent)
        if event.get(_FETCHED):
            self._on_fetched(name, uuid, event)
        elif kind in _NOT_OURS:
            return  # the dialplan rang them, or they listen
        elif call is not None:
            call.on_event(event)
        elif name == "CHANNEL_PARK":
            self._begin(event)
        elif name == "CHANNEL_HANGUP_COMPLETE" and kind == _CALLEE:
            self.dialler.on_hangup(event)

    def _on_fetched(self, name: str, uuid: str, event: Event) -> None:
        if owner := self.office.calls.get(event.get("variable_ivr_call")):
            owner.on_person(event)
        elif name in ("CHANNEL_ORIGINATE", "CHANNEL_PARK"):
            self.office.freeswitch.dismiss(uuid)  # the call was over before their telephone rang

    def _begin(self, event: Event) -> LiveCall:
        facts = self._facts(event)
        call = LiveCall(facts, self.office)
        self.office.calls[facts.call_id] = call
        self.office.counts.begun[facts.direction] += 1
        self.records.leg(leg_of(event, facts.trunk))
        log.info("< %s to %s", facts.caller or "unknown", facts.did, extra={"call": facts.call_id})
        call.on_event(event)
        if facts.outbound:
            self.dialler.on_answer(facts)
        return call

    def _facts(self, event: Event) -> Facts:
        country = self._settings.switch.country
        out = event.get("variable_ivr_direction") == "out"
        dialled = event.get("variable_ivr_did") or event.get("Caller-Destination-Number")
        calling = event.get("variable_ivr_caller") or event.get("Caller-Caller-ID-Number")
        return Facts(
            call_id=event.get("Unique-ID"),
            did=_number(dialled, country) or "unknown",
            caller=_number(calling, country),
            trunk=event.get("variable_ivr_trunk") or self.office.trunk_of(event),
            direction="out" if out else "in",
            agent=event.get("variable_ivr_agent"),
            encrypted=bool(event.get("variable_rtp_has_crypto")),
            outbound=event.get("variable_ivr_outbound"),
            attempt=event.whole("variable_ivr_attempt"),
        )

    def _on_call_end(self, call: LiveCall, event: Event) -> None:
        facts = call.facts
        self.office.calls.pop(facts.call_id, None)
        self.office.counts.ended[facts.direction] += 1
        cause = event.get("Hangup-Cause", LOST_CAUSE)
        log.info("> over: %s", cause, extra={"call": facts.call_id})
        self.records.complete(
            facts.call_id,
            cause=cause,
            ended_at=datetime.now(UTC),
            transferred_to=call.transferred_to,
        )
        if facts.outbound:
            self.dialler.on_end(call, cause)

    # --- adoption ---------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Take up every call that is live, and end those that are not any more."""
        freeswitch = self.office.freeswitch
        living = freeswitch.channels()
        for call_id, call in list(self.office.calls.items()):
            if call_id not in living and not freeswitch.exists(call_id):  # the list lags behind
                call.on_event(_lost(call_id))
        persons, callees = [], []
        for uuid in living:
            try:
                event = Event.of(freeswitch.variables(uuid))
            except SwitchError:
                continue  # it ended just now
            if event.get("variable_ivr_kind") in _NOT_OURS:
                persons.append(event)
            elif not self._adopt_call(uuid, event) and event.get("variable_ivr_kind") == _CALLEE:
                callees.append(event)
        self._dismiss_waiting(persons)
        self.dialler.on_attached(callees)
        gevent.get_hub().threadpool.spawn(self._close_lost, living)

    def _adopt_call(self, uuid: str, event: Event) -> bool:
        """False: a channel that nobody has given to us (yet)."""
        known = self.office.calls.get(uuid)
        if known is not None:
            known.recheck()
        elif state := event.get("variable_ivr_state"):
            call = LiveCall(self._facts(event), self.office)
            self.office.calls[uuid] = call
            self.office.ports.adopt(event.whole("variable_ivr_playback"))
            call.adopt(event)
            if call.facts.outbound:
                self.dialler.on_answer(call.facts)
            log.info("= adopted, %s", state, extra={"call": uuid})
        elif event.get("variable_ivr_did") and event.get("variable_current_application") == "park":
            self._begin(Event.of({**event.headers, "Event-Name": "CHANNEL_PARK"}))
        else:
            return False
        return True

    def _dismiss_waiting(self, persons: list[Event]) -> None:
        """Persons who were rung for a call and whom nobody puts through any more."""
        for event in persons:
            call = self.office.calls.get(event.get("variable_ivr_call"))
            if event.get(_FETCHED) and (call is None or call.state is not State.PERSON):
                self.office.freeswitch.dismiss(event.get("Unique-ID"))

    def _close_lost(self, living: list[str]) -> None:
        """In a native thread: legs that ended while nobody looked."""
        try:
            with self._engine.begin() as connection:
                close_lost_legs(connection, living, datetime.now(UTC), LOST_CAUSE)
        except SQLAlchemyError as e:
            log.warning("! lost legs are not closed: %s", reason_of(e))


def _lost(uuid: str) -> Event:
    return Event.of(
        {"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": uuid, "Hangup-Cause": LOST_CAUSE}
    )


def _number(text: str, country: str) -> str:
    """A number as the offer may carry it: normal form, no blanks or control characters."""
    kept = "".join(c for c in text if c.isprintable() and not c.isspace())
    return e164(kept, country)[:MOST_DIGITS]
