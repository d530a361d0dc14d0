"""One live call: a channel of FreeSWITCH, the worker that talks on it, the person it may go to.

Everything of a call happens one after the other in its own greenlet: events of FreeSWITCH, messages of
the worker, timers. What must outlive ``ivr switch`` stands in channel variables (docs/telephony.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import gevent
from gevent.queue import Full, Queue

from appliance.errors import ProtocolError
from appliance.events import (
    Agent,
    AnsweredBy,
    Dtmf,
    Hangup,
    Hold,
    Summary,
    Transfer,
    TransferFailed,
    Whisper,
)
from appliance.media import protocol
from appliance.telemetry import CallLog
from appliance.telephony.destinations import Destination, DialPlan
from appliance.telephony.eventsocket import Event, SwitchError
from appliance.telephony.facts import Facts, State
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.handover import Handover
from appliance.telephony.line import Line, Resumed
from appliance.telephony.office import Office
from appliance.telephony.routing import Answer, Closed, Menu, Overflow, Refuse, Ring
from appliance.telephony.tollguard import Rule, TollRefusedError

INBOX = 256
"""Events waiting for a call; more than that in a row is a fault, and is dropped with a log line."""
ANSWER_TIMEOUT_S = 2.0
"""From the offer to the worker's ``answer``; then the next worker."""
FIRST_SEARCH_S = 2.5
"""A caller who has heard nobody yet waits so long for a worker with room; then the apology and a
person."""
SEARCH_TIMEOUT_S = 8.0
"""All workers together, also for a call that lost its own in the middle."""
HOLD_AFTER_S = 1.2
"""A caller who finds no place waits so long unseen: workers tell once a second whose calls ended."""
WAIT_EVERY_S = 0.3
"""Between two looks for a place of one who holds."""
NOBODY = "error/USER_BUSY"
"""A dial string that rings nowhere."""
PARK_AGAIN_S = 2.0
"""One who is not back by then is sent for again."""
REATTACH_EVERY_S = 0.2
"""Between two looks for a worker when none is free."""
GUARD_S = 60
GUARD_EVERY_S = 20.0
TAIL_S = 0.12
"""After the worker's last frame: the caller's own jitter buffer empties before BYE."""


class LiveCall:
    """One call. Its public methods only put something into its inbox, and return at once."""

    def __init__(self, facts: Facts, office: Office) -> None:
        self.facts = facts
        self.state = State.NEW
        self.started_at = datetime.now(UTC)
        self.answered_by = ""
        """Of a call that we made: ``human:…``, ``machine:…`` or ``uncertain:…`` and what told."""
        self.talked = False
        """A worker has carried it."""
        self.transferred_to = ""
        """Who has the call, or had it, as it was asked for."""
        self._office = office
        self._fs: FreeSwitch = office.freeswitch
        self._log = CallLog(__name__, facts.call_id)
        self._inbox: Queue[Callable[[], None]] = Queue(INBOX + 1)
        """The last place is the end's, which no flood of other events may push out."""
        self._agent: Agent | None = None
        self._menu_of: Menu | None = None
        self._answered = False
        self._to_record = ""
        """Where to, until the recording has begun."""
        self._attempt = 0
        """Offers made, to tell a late timer of an earlier one."""
        self._over = False
        """The channel has gone."""
        self._dropped_at_s = 0
        self._line = Line(facts.call_id, office)
        self._resumed: Resumed = ""
        self._refused_by: list[str] = []
        self._searching_since_s = 0.0
        self._handover: Handover | None = None
        self._going_to = ""
        office.greenlets.spawn(self._run)

    # --- from outside -----------------------------------------------------------------------------

    def post(self, work: Callable[[], None]) -> None:
        """Let ``work`` be done in this call's greenlet, after what came before."""
        if self._inbox.qsize() < INBOX:
            self._inbox.put_nowait(work)
        elif self._dropped_at_s != (now_s := int(time.monotonic())):
            self._dropped_at_s = now_s  # a line a second
            self._log.error("! the call does not keep up; events are dropped")

    def on_event(self, event: Event) -> None:
        """An event of this call's own channel."""
        if event.get("Event-Name") != "CHANNEL_HANGUP_COMPLETE":
            self.post(lambda: self._on_event(event))
            return
        with suppress(Full):  # it has been told already
            self._inbox.put_nowait(lambda: self._on_end(event))

    def on_stream(self, name: str, body: str) -> None:
        """An event of its stream: a worker's message, or its end."""
        self.post(lambda: self._on_stream(name, body))

    def on_person(self, event: Event) -> None:
        """An event of the channel of a person that this call may be handed to."""
        self.post(lambda: self._on_fetched(event))

    def on_job(self, job: str, result: str) -> None:
        """What became of ringing a person."""
        self.post(lambda: self._handover.on_job(job, result) if self._handover else None)

    def adopt(self, event: Event) -> None:
        """Take over a call that was live before we were, as its channel variables tell."""
        names = {state.value: state for state in State}
        self.state = names.get(event.get("variable_ivr_state"), State.FAILED)
        self._line.adopt(event, talks=self.state in (State.TALKING, State.TRANSFERRING))
        self.started_at = datetime.fromtimestamp(event.whole("variable_ivr_started"), UTC)
        self.transferred_to = event.get("variable_ivr_person")
        self._answered = event.get("Answer-State") == "answered"
        self.answered_by = event.get("variable_ivr_answered_by").replace("_", " ")
        carried = (State.TALKING, State.TRANSFERRING, State.BLIND, State.PERSON)
        self.talked = self.state in carried or bool(self.answered_by)
        self._agent = self._office.telephony.agents.get(self.facts.agent)
        parked = event.get("variable_current_application") == "park"
        if parked and event.get("variable_ivr_returned") == "transfer":
            self.post(lambda: self._on_park(event))  # while we were away
        else:
            self.recheck()

    def recheck(self) -> None:
        """We, or FreeSWITCH's events, were away: see where the call stands."""
        self.post(self._recheck)

    def on_silent_worker(self, url: str) -> None:
        """The worker at ``url`` does not answer any more."""
        self.post(lambda: self._leave_silent(url))

    def transfer(self, to: str, mode: str) -> None:
        """A supervisor or the API sends the call elsewhere."""
        attended = "attended" if mode == "attended" else "blind"
        self.post(lambda: self._on_transfer(Transfer(to, attended, "asked", "")))  # type: ignore[arg-type]

    def take_over(self, plan: DialPlan, extension: str) -> None:
        """Ring a supervisor, who gets the caller as soon as they answer."""
        self.post(lambda: self._take_over(plan, extension))

    def whisper(self, text: str) -> None:
        """Tell the agent something that the caller does not hear. Raises ProtocolError: no line."""
        message = protocol.whisper(Whisper(text))
        self.post(lambda: self._line.tell(message))

    def hang_up(self, cause: str) -> None:
        """End the call."""
        self.post(lambda: self._kill(cause))

    def renew_guard(self) -> None:
        """Put the guard off: we are alive."""
        self.post(self._renew_guard)

    @property
    def worker(self) -> str:
        """URL of the worker that is on it; empty: none."""
        return self._line.worker

    def describe(self) -> dict[str, object]:
        """For the API: what is going on."""
        facts = self.facts
        return {
            "call_id": facts.call_id,
            "did": facts.did,
            "caller": facts.caller,
            "trunk": facts.trunk,
            "direction": facts.direction,
            "agent": facts.agent,
            "state": self.state.value,
            "transferred_to": self.transferred_to,
            "worker": self.worker,
            "part": self._line.part,
            "started_at": self.started_at.isoformat(),
        }

    # --- the greenlet -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over:
            work = self._inbox.get()
            try:
                work()
            except SwitchError as e:
                if self.state is not State.ENDED:
                    self._log.warning("! %s", e)
            except Exception:  # the border of a call: no other is touched
                self._log.exception("! the call broke")
                with suppress(SwitchError):  # it has gone, or its guard does the same
                    self._fail("a fault of ours")

    def _after(self, seconds: float, work: Callable[[], None]) -> None:
        gevent.spawn_later(seconds, self.post, work)

    def _on_event(self, event: Event) -> None:
        match event.get("Event-Name"):
            case "CHANNEL_PARK":
                self._on_park(event)
            case "DTMF" if self.state in (State.TALKING, State.TRANSFERRING):
                # FreeSWITCH counts in samples of the RTP clock
                ms = event.whole("DTMF-Duration") // 8
                self._line.tell(protocol.dtmf(Dtmf(event.get("DTMF-Digit"), ms)))
            case "CHANNEL_HOLD" | "CHANNEL_UNHOLD" if self.worker:
                self._line.tell(protocol.hold(Hold(event.get("Event-Name") == "CHANNEL_HOLD")))
            case "CHANNEL_ANSWER":
                self._answered = True
                self._record()
            case "CHANNEL_BRIDGE":
                self._on_bridge()

    def _on_park(self, event: Event) -> None:
        self._line.parked(event)
        if event.get("Answer-State") == "answered":
            self._answered = True
        if event.get("variable_ivr_returned") == "transfer":
            self._fs.set_variables(self.facts.call_id, {"ivr_returned": ""})
            self._come_back()
        elif self.state is State.MENU:
            self.state = State.NEW
            self._choose(event.get("variable_ivr_digit"))
        elif self.state is State.NEW:
            self._route()
        elif self.state is State.WAITING:
            self.state = State.CONNECTING
            self._searching_since_s = 0.0
            self._connect()
        elif self.state in (State.TALKING, State.TRANSFERRING, State.PERSON):
            self._come_back()  # from a bridge that failed: nobody speaks to the caller now

    def _come_back(self) -> None:
        """Parked again in the middle of the call: the agent goes on, as its next part."""
        self._line.leave("NORMAL_TEMPORARY_FAILURE")
        self._resumed = "transfer"
        self._handover = None
        self.state = State.CONNECTING
        self._connect()

    # --- routing ----------------------------------------------------------------------------------

    def _route(self) -> None:
        facts, office = self.facts, self._office
        if facts.direction == "out":
            self._agent = office.telephony.agents.get(facts.agent)
            self._connect()
            return
        if not office.telephony.version:
            self._fail("Postgres has not told us yet whose number it is")
            return
        trunk = office.telephony.trunk(facts.trunk)
        if trunk is not None and trunk.srtp == "required" and not facts.encrypted:
            self._log.warning("! refused: trunk %s requires SRTP", trunk.name)
            self._kill("INCOMPATIBLE_DESTINATION")
            return
        decision = office.route(facts)
        if trouble := getattr(decision, "trouble", ""):
            self._log.warning("! %s", trouble)
        match decision:
            case Answer():
                self._become(decision.agent)
                self._connect()
            case Menu():
                self._become(decision.number.agent)
                self._menu(decision)
            case Closed():
                self._closed(decision)
            case Overflow():
                self._become(decision.number.agent)
                self._fail(decision.why)
            case Ring():
                self._ring(decision.to)
            case Refuse():
                self._log.info("> refused: %s", decision.why)
                self._kill(decision.cause)

    def _become(self, agent: Agent) -> None:
        self._agent = agent
        self.facts = replace(self.facts, agent=agent.id)

    def _menu(self, menu: Menu) -> None:
        agent = menu.number.agent
        prompt = self._office.notices.render(agent.language_prompt, agent)
        if not prompt:
            self._connect()  # a menu that cannot be heard is none
            return
        self._menu_of = menu
        self.state = State.MENU
        digits = "".join(sorted(menu.agents))
        uuid = self.facts.call_id
        self._fs.set_variables(uuid, {"ivr_menu_file": prompt, "ivr_menu_digits": digits})
        self._fs.transfer(uuid, "menu")

    def _choose(self, digit: str) -> None:
        if self._menu_of is None:  # we were not there when it was asked
            self._route()
            return
        self._become(self._menu_of.chosen(digit))
        self._connect()

    def _closed(self, closed: Closed) -> None:
        agent = closed.number.agent
        file = self._office.notices.render(closed.text, agent)
        self.state = State.FAILED
        uuid = self.facts.call_id
        self._fs.unguard(uuid)
        self._fs.set_variables(uuid, {"ivr_notice_file": file, "ivr_state": "failed"})
        self._set_human(closed.to)
        self._fs.transfer(uuid, "closed")

    def _ring(self, to: Destination) -> None:
        """From one of our telephones to another."""
        plan = self._office.plan(to, self.facts)
        if plan is None:
            self._kill("UNALLOCATED_NUMBER")
            return
        self.state = State.PERSON
        self._fs.unguard(self.facts.call_id)
        self._fs.set_dial_string(self.facts.call_id, "ivr_human", plan.bridge)
        self._fs.transfer(self.facts.call_id, "ring")

    # --- the worker -------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Find a worker and offer it the call; again until one answers or time is up."""
        if not self._searching_since_s:
            self._searching_since_s = time.monotonic()
        if self.state is State.ENDED:
            return
        searched_s = time.monotonic() - self._searching_since_s
        if searched_s > (SEARCH_TIMEOUT_S if self._line.part else FIRST_SEARCH_S):
            self._fail("no worker took the call")
            return
        url = None if self._is_not_next() else self._office.workers.pick(self._refused_by)
        if url is None and searched_s > HOLD_AFTER_S and self._told_to_hold():
            return
        if url is None:
            self._refused_by.clear()
            self._after(REATTACH_EVERY_S, self._connect_if_alone)
            return
        if self.state is not State.TRANSFERRING:
            self.state = State.CONNECTING
        self._office.waiting.leave(self.facts.call_id)
        self._line.take(url, new_part=self.talked or not self._line.part)
        self._attempt += 1
        self._offer()

    def _is_not_next(self) -> bool:
        """Whether those who hold already get all the room that there is. Who has been spoken to, and
        whom we called, is never told to hold."""
        if self.talked or self.facts.direction == "out":
            return False
        ahead = self._office.waiting.ahead_of(self.facts.call_id)
        return ahead > 0 and self._office.workers.room <= ahead

    def _told_to_hold(self) -> bool:
        """Whether the caller now waits for room: every worker that is well is full, or what they
        have is for those who came before; and nobody has spoken to them yet."""
        settings, uuid = self._office.settings.switch, self.facts.call_id
        if self.talked or self.facts.direction == "out":
            return False
        if not (self._office.workers.are_full or self._is_not_next()):
            return False
        left_s = settings.wait_s - self._office.waiting.waited_s(uuid, time.monotonic())
        if left_s < 1 or not self._office.waiting.join(uuid, time.monotonic()):
            return False
        self._log.info("= waits for a worker with room, %.0f s at most", left_s)
        agent = self._agent
        file = self._office.notices.ready(agent.busy_phrase, agent) if agent else ""
        apology = self._office.notices.ready(agent.apology, agent) if agent else ""
        self.state = State.WAITING
        self._fs.unguard(uuid)
        told = {"ivr_wait_file": file, "ivr_wait_s": f"{left_s:.0f}", "ivr_apology_file": apology}
        self._fs.set_variables(uuid, told | {"ivr_started": str(int(self.started_at.timestamp()))})
        self._set_human(self._office.overflow_of(self.facts))  # where it goes when time is up
        self._fs.transfer(uuid, "wait")
        self._after(WAIT_EVERY_S, self._look_for_room)
        return True

    def _look_for_room(self) -> None:
        if self.state is not State.WAITING:
            return
        waiting, uuid = self._office.waiting, self.facts.call_id
        if waiting.waited_s(uuid, time.monotonic()) > self._office.settings.switch.wait_s:
            waiting.leave(uuid)  # the dialplan has sent them on
            self.state = State.FAILED
        elif self._office.workers.room and waiting.is_next(uuid):
            self._fs.transfer(uuid, "park")
            # Nobody behind them may wait for one who never gets there.
            self._after(PARK_AGAIN_S, self._look_for_room)
        else:
            self._after(WAIT_EVERY_S, self._look_for_room)

    def _connect_if_alone(self) -> None:
        if not self.worker and self.state is not State.FAILED:
            self._connect()

    def _offer(self) -> None:
        attempt = self._attempt  # set first: FreeSWITCH may refuse what follows, or not answer
        self._after(ANSWER_TIMEOUT_S, lambda: self._on_unanswered_offer(attempt))
        recording = self._recording()
        if self._line.part == 1:
            self._to_record = recording
        self._line.offer(self.facts, recording, self._resumed, self.started_at)

    def _recording(self) -> str:
        if self._agent is None or not self._agent.record or not self._office.recordings:
            return ""
        return f"{self.started_at:%Y/%m/%d}/{self.facts.call_id}.wav"

    def _on_unanswered_offer(self, attempt: int) -> None:
        if self.state is State.CONNECTING and self._attempt == attempt and self.worker:
            self._log.warning("! worker %s does not answer", self.worker)
            self._lose_worker()

    def _on_stream(self, name: str, body: str) -> None:
        if not self.worker:
            return  # the last words of one that has been left: it says goodbye to a live call
        if name == "connect":
            self._line.connected()
            return
        if name != "json":
            if self.state in (State.CONNECTING, State.TALKING, State.TRANSFERRING):
                self._log.warning("! the stream to %s broke", self.worker)
                self._lose_worker()
            return
        try:
            message = protocol.control(body.encode())
        except ProtocolError as e:
            self._log.warning("! refused from the worker: %s", e)
            return
        match message:
            case None:
                self._on_answer()
            case Hangup():
                self._on_worker_hangup(message.cause)
            case Transfer():
                self._on_transfer(self._as_published(message))
            case Summary() if self._handover is not None:
                self._handover.better_summary(message.text)
            case AnsweredBy():
                self._note_answered_by(message)

    def _leave_silent(self, url: str) -> None:
        if self.worker == url and self.state in (State.TALKING, State.TRANSFERRING):
            self._log.warning("! worker %s is frozen", url)
            self._lose_worker()

    def _lose_worker(self) -> None:
        lost = self._line.drop()
        self._office.workers.failed(lost)
        self._refused_by.append(lost)
        if self._answered and self.state is not State.CONNECTING:
            self._resumed = "worker"
        if self.state is State.TALKING:
            self._searching_since_s = 0.0
            self.state = State.CONNECTING
        try:
            self._fs.stop_stream(self.facts.call_id)
        except SwitchError as e:  # it stands still: the next look finds it awake, or gone
            self._log.warning("! %s", e)
            self._after(REATTACH_EVERY_S, self._connect_if_alone)
            return
        self._connect()

    def _on_answer(self) -> None:
        if self.state is State.TRANSFERRING:  # the one before died while a person was fetched
            self._searching_since_s = 0.0
            self._refused_by.clear()
        if self.state is not State.CONNECTING:
            return
        uuid = self.facts.call_id
        self._searching_since_s = 0.0
        self._refused_by.clear()
        self.state = State.TALKING
        self.talked = True
        if self._answered:
            self._record()
        else:
            self._fs.answer(uuid)  # and the recording begins with CHANNEL_ANSWER
        self._fs.guard(uuid, GUARD_S)
        self._log.info("= %s talks, part %d", self.worker, self._line.part)

    def _record(self) -> None:
        """Once a call: FreeSWITCH goes on with it over all parts, and while a person has the call."""
        recording, self._to_record = self._to_record, ""
        if recording and (path := self._office.recording_path(recording)):
            self._fs.record(self.facts.call_id, path)

    def _note_answered_by(self, answered: AnsweredBy) -> None:
        self.answered_by = f"{answered.who}:{answered.sign}"
        self._fs.set_variables(self.facts.call_id, {"ivr_answered_by": self.answered_by})

    def _on_worker_hangup(self, cause: str) -> None:
        if self.state is State.CONNECTING and self._answered:
            self._lose_worker()  # it cannot carry on with a live call: another may
        elif self.state is State.CONNECTING:
            self._kill(cause)
        else:
            self.state = State.ENDED
            self._after(TAIL_S, lambda: self._kill(cause))

    # --- persons ----------------------------------------------------------------------------------

    def _on_transfer(self, asked: Transfer) -> None:
        if self.state is not State.TALKING or self._agent is None:
            return
        self._log.info("> transfer, %s, because %s", asked.mode, asked.reason)
        plan = self._office.plan_for(asked.to, self.facts)
        if plan is None:
            self._line.tell(protocol.transfer_failed(TransferFailed("UNALLOCATED_NUMBER")))
            return
        self._going_to = asked.to
        if asked.mode == "blind":
            self._send_blind(plan.bridge, asked.summary)
            return
        self._hand_over(plan, asked.summary)

    def _as_published(self, asked: Transfer) -> Transfer:
        """What a worker asks for, to nobody but whom the published agent names: no caller who talks a
        model round, and no worker that was taken over, chooses a number."""
        latest = self._office.telephony.agents.get(self.facts.agent)
        named = [agent.transfer_to for agent in (self._agent, latest) if agent is not None]
        if asked.to in named or not named:
            return asked
        why = f"{self.facts.agent}'s worker asks for another than the agent's own transfer_to."
        refusal = TollRefusedError(why, Rule.WORKER, "")
        self._office.note_refused(refusal, self.facts.agent, self.facts.call_id)
        return replace(asked, to=named[-1])

    def _hand_over(self, plan: DialPlan, summary: str) -> None:
        assert self._agent is not None
        self.state = State.TRANSFERRING
        self._fs.set_variables(self.facts.call_id, {"ivr_state": "transferring"})
        self._handover = Handover(
            self.facts.call_id, plan, self._agent, self._office, self._on_person, self._on_nobody,
            self._after, self.on_job,
        )  # fmt: skip
        self._handover.begin(summary)

    def _send_blind(self, dial_string: str, summary: str) -> None:
        assert self._agent is not None
        uuid = self.facts.call_id
        file = self._office.notices.render(summary, self._agent)
        self.state = State.BLIND
        self._fs.unguard(uuid)
        hint = {"bridge_pre_execute_bleg_app": "playback", "bridge_pre_execute_bleg_data": file}
        self._fs.set_variables(uuid, (hint if file else {}) | {"ivr_state": "blind"})
        self._fs.set_dial_string(uuid, "ivr_human", dial_string)
        self._line.leave("BLIND_TRANSFER")
        self._fs.transfer(uuid, "blind")

    def _take_over(self, plan: DialPlan, extension: str) -> None:
        if self.state is State.TALKING and self._agent is not None:
            self._going_to = extension
            self._hand_over(plan, "")

    def _on_fetched(self, event: Event) -> None:
        if self._handover is not None:
            self._handover.on_person(event)
        elif event.get("Event-Name") in ("CHANNEL_ORIGINATE", "CHANNEL_PARK"):
            self._fs.dismiss(event.get("Unique-ID"))

    def _on_person(self, person: str) -> None:
        """Somebody has answered, and heard the summary."""
        uuid = self.facts.call_id
        try:
            self._fs.set_variables(uuid, {"ivr_state": "person"})
            self._fs.bridge(uuid, person)
            self._fs.unguard(uuid)
        except SwitchError as e:
            self._log.warning("! the caller cannot be put through: %s", e)
            self._on_nobody("DESTINATION_OUT_OF_ORDER")

    def _on_bridge(self) -> None:
        if self.state is State.TRANSFERRING:
            self._handover = None
            self._fs.unguard(self.facts.call_id)  # it may have been put off since they were told
            self._line.leave("ATTENDED_TRANSFER")
        if self.state in (State.TRANSFERRING, State.BLIND):
            self.state = State.PERSON
            told = {"ivr_state": "person", "ivr_person": self._going_to}
            self._fs.set_variables(self.facts.call_id, told)
            self.transferred_to = self._going_to
            self._log.info("= a person has the call")

    def _on_nobody(self, cause: str) -> None:
        self._handover = None
        self._log.info("= nobody took the call: %s", cause)
        if self.state is not State.TRANSFERRING:
            return
        self.state = State.TALKING
        self._fs.set_variables(self.facts.call_id, {"ivr_state": "talking"})
        self._line.tell(protocol.transfer_failed(TransferFailed(cause)))

    # --- trouble and end --------------------------------------------------------------------------

    def _fail(self, why: str) -> None:
        """No worker can help: the apology, and a person."""
        if self.state in (State.ENDED, State.FAILED):
            return
        self._log.warning("! %s: the caller gets the apology and a person", why)
        uuid, agent = self.facts.call_id, self._agent
        self._give_up_handover()
        self.state = State.FAILED
        self._line.drop()
        if self.facts.direction == "out" and not self.talked:
            self._kill("NORMAL_TEMPORARY_FAILURE")
            return
        self._fs.unguard(uuid)
        file = self._office.notices.ready(agent.apology, agent) if agent else ""
        self._fs.set_variables(uuid, {"ivr_apology_file": file, "ivr_state": "failed"})
        self._set_human(self._office.overflow_of(self.facts))
        self._fs.transfer(uuid, "failed")

    def _set_human(self, to: Destination | None) -> None:
        plan = self._office.plan(to, self.facts) if to else None
        dial_string = plan.bridge if plan else ""
        self._fs.set_dial_string(self.facts.call_id, "ivr_human", dial_string)
        if not self._office.may_ring_failure_dial(self.facts):
            self._fs.set_dial_string(self.facts.call_id, "ivr_failure_dial", NOBODY)

    def _kill(self, cause: str) -> None:
        self._fs.kill(self.facts.call_id, cause)

    def _on_end(self, event: Event) -> None:
        self.state = State.ENDED
        self._office.waiting.leave(self.facts.call_id)
        self._line.close()
        self._over = True
        self._give_up_handover()
        self._office.ended(self, event)

    def _give_up_handover(self) -> None:
        if self._handover is not None:
            self._handover.abandon()
            self._handover = None

    def _renew_guard(self) -> None:
        if self.state in (State.TALKING, State.TRANSFERRING, State.CONNECTING):
            self._fs.guard(self.facts.call_id, GUARD_S)

    def _recheck(self) -> None:
        """Find out what happened while nobody looked, and go on from there."""
        uuid = self.facts.call_id
        self._give_up_handover()  # what its telephones did meanwhile, nobody has heard
        transferring = self.state is State.TRANSFERRING
        if transferring:
            self.state = State.TALKING
        if self.state is State.WAITING:
            self._office.waiting.join(uuid, time.monotonic())
            self._look_for_room()
        if self.state is not State.TALKING:
            return
        held = self._line.is_held()
        if held:
            self._fs.guard(uuid, GUARD_S)
            self._log.info("= adopted, %s talks", self.worker)
            if transferring:
                self._fs.set_variables(uuid, {"ivr_state": "talking"})
                self._line.tell(
                    protocol.transfer_failed(TransferFailed("NORMAL_TEMPORARY_FAILURE"))
                )
        elif held is False:
            self._kill("NORMAL_CLEARING")  # its worker ended it while we were away
        else:
            self._lose_worker()
