"""An attended transfer: ring persons until one answers, tell them what it is about, hand over.

Lives in the greenlet of its call. The caller stays with the agent's worker, on hold, until a person is
there; if nobody comes, the call goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from appliance.events import Agent
from appliance.telemetry import CallLog
from appliance.telephony.destinations import DialPlan, next_trunk_helps
from appliance.telephony.eventsocket import Event, SwitchError
from appliance.telephony.freeswitch import FETCHED, cause_of
from appliance.telephony.notices import PATIENT_S
from appliance.telephony.office import Office

AGAIN_S = 3.0
"""Between two rounds through a queue in which nobody was free."""
LONGEST_SUMMARY_S = 20.0
"""Then the caller is put through, whatever the person has heard."""
PARK_TIMEOUT_S = 60
"""A person who has answered and whom nobody puts through (we have died) is let go."""
NOBODY = "NO_ANSWER"


class Handover:
    """One attempt to hand a caller over. ``taken`` gets the person's channel, ``nobody`` a cause."""

    def __init__(
        self,
        call_id: str,
        plan: DialPlan,
        agent: Agent,
        office: Office,
        taken: Callable[[str], None],
        nobody: Callable[[str], None],
        after: Callable[[float, Callable[[], None]], None],
        hear: Callable[[str, str], None],
    ) -> None:
        self._hear = hear
        """Brings a job's result back into the call's greenlet, to ``on_job``."""
        self._call_id = call_id
        self._plan = plan
        self._agent = agent
        self._office = office
        self._taken = taken
        self._nobody = nobody
        self._after = after
        self._log = CallLog(__name__, call_id)
        self._left = list(plan.attempts)
        self._give_up_at_s = time.monotonic() + plan.longest_s
        self._job = ""
        self._ringing: set[str] = set()
        self._person = ""
        self._over = False
        self._summary = ""
        self._spoken = ""
        """Path of the summary's audio; empty until it has been spoken."""

    def begin(self, summary: str) -> None:
        """Ring the first, and have the summary spoken meanwhile."""
        self.better_summary(summary)
        self._ring_next()

    def better_summary(self, text: str) -> None:
        """Use this one, unless the person is hearing the other already."""
        self._summary = text
        if text:
            gevent.spawn(self._speak, text)

    def on_person(self, event: Event) -> None:
        """An event of a channel that we rang."""
        uuid = event.get("Unique-ID")
        match event.get("Event-Name"):
            case "CHANNEL_ORIGINATE" | "CHANNEL_PARK" if self._over and uuid != self._person:
                self._office.freeswitch.dismiss(uuid)  # rung before we gave up, there only now
            case "CHANNEL_ORIGINATE":
                self._ringing.add(uuid)
            case "CHANNEL_PARK" if not self._person:
                self._on_answer(uuid)
            case "PLAYBACK_STOP" if uuid == self._person and not _is_over(event):
                self._put_through(uuid)
            case "CHANNEL_HANGUP_COMPLETE":
                self._ringing.discard(uuid)
                if uuid == self._person and not self._over:
                    self._person = ""  # they hung up while the summary was read
                    self._ring_next()

    def on_job(self, job: str, result: str) -> None:
        """What became of an attempt: ``+OK UUID`` or ``-ERR CAUSE``."""
        if job == self._job and not self._over and not self._person and result.startswith("-ERR"):
            cause = cause_of(result)
            self._log.info("= nobody answers: %s", cause)
            self._ring_next(cause)

    def abandon(self) -> None:
        """The caller has gone, or somebody else has them: whoever still rings is told."""
        self._over = True
        for uuid in {*self._ringing, self._person} - {""}:
            self._office.freeswitch.dismiss(uuid)

    def _ring_next(self, cause: str = NOBODY) -> None:
        now_s = time.monotonic()
        while self._left and self._left[0].detour and not next_trunk_helps(cause):
            self._left.pop(0)  # another way to somebody who was reached and did not come
        if not self._left and self._plan.max_wait_s and now_s + AGAIN_S < self._give_up_at_s:
            self._left = list(self._plan.attempts)  # a queue: until its patience is used up
            self._after(AGAIN_S, self._ring)
        elif not self._left or now_s >= self._give_up_at_s:
            self._give_up(cause)
        else:
            self._ring()

    def _ring(self) -> None:
        if self._over or not self._left:
            return
        attempt = self._left.pop(0)
        variables = {
            FETCHED: "true",
            "ivr_call": self._call_id,
            "park_timeout": f"{PARK_TIMEOUT_S}:NORMAL_TEMPORARY_FAILURE",
            "hangup_after_bridge": "true",
        }
        left_s = self._give_up_at_s - time.monotonic()
        timeout_s = min(attempt.timeout_s, max(1, round(left_s)))
        try:
            self._job = self._office.ring(attempt.dial, variables, "&park()", timeout_s, self._hear)
        except SwitchError as e:
            if not self._office.freeswitch.attached:
                raise  # all is looked at again when it is back
            self._log.warning("! %s", e)
            self._ring_next("NORMAL_TEMPORARY_FAILURE")

    def _on_answer(self, uuid: str) -> None:
        self._person = uuid
        self._log.info("= a person answers")
        if not self._spoken and self._summary:
            # a short word is due at once; a voice server answers within some 100 ms
            self._spoken = self._office.notices.render(self._summary, self._agent)
        if not self._spoken:
            self._put_through(uuid)
            return
        self._office.freeswitch.play(uuid, self._spoken)
        self._after(LONGEST_SUMMARY_S, lambda: self._put_through(uuid))

    def _put_through(self, uuid: str) -> None:
        if self._over or uuid != self._person:
            return
        self._over = True
        self._taken(uuid)

    def _give_up(self, cause: str) -> None:
        self.abandon()
        self._nobody(cause)

    def _speak(self, text: str) -> None:
        spoken = self._office.notices.render(text, self._agent, PATIENT_S)
        if text == self._summary and not self._person:
            self._spoken = spoken


def _is_over(event: Event) -> bool:
    """Whether the channel has been hung up: what it played has ended with it, unheard."""
    return event.get("Answer-State") == "hangup"
