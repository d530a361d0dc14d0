"""One live call: take an event, ask the floor, do the actions.

Everything of a call happens on one event loop, in callbacks that return at once (audio, scores,
transcripts, ticks of the playout) and in tasks of the call's own TaskGroup (replies, verdicts). Time
is the call's media clock; the timers are counted in played frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from appliance.audio import FRAME_MS, silence
from appliance.call.callee import Callee
from appliance.call.ear import Ear, ear_of
from appliance.call.handoff import LONGEST_WAIT_MS, Handoff, Reason
from appliance.call.hearing import Hearing
from appliance.call.holdtone import EVERY_MS, hold_tone
from appliance.call.life import Life
from appliance.call.past import Past
from appliance.call.recorded import CallRecording
from appliance.call.redacting import Redacting
from appliance.call.remembering import Remembering
from appliance.call.services import Services
from appliance.call.speaker import Speaker
from appliance.call.timeline import Timeline
from appliance.call.timers import Timer, Timers
from appliance.call.trying import typed_event
from appliance.call.who import who
from appliance.events import Agent, AnsweredBy, CallRecord, Dtmf, Offer, Transcript
from appliance.media.playout import Playout, Utterance
from appliance.media.server import Stream
from appliance.telemetry import CallLog
from appliance.turn import floor
from appliance.turn.answering import Verdict
from appliance.turn.endpoint import Activity
from appliance.turn.floor import Action, Event, State
from appliance.turn.words import asks_for_person, is_farewell

MEDIA_WAIT_MS = 500
"""How long the greeting waits for the caller's first audio, so that its start is not lost."""
LATE_AUDIO_MS = 100
"""Caller audio missing for this long is replaced by silence."""
CONTEST_MS = 1500
"""Speech over the agent's for this long takes the floor, whatever the recogniser makes of it."""
BEEP_WAIT_MS = 30_000
"""How long an answering machine's greeting may take before the message is said all the same."""
TIME_UP_AGAIN_MS = 1000
"""The longest call waits for a transfer under way, which has an end of its own."""
NOT_UNDERSTOOD_MS = 1000
"""Speech this long in which no word was heard is a turn without an answer, no cough."""
NO_LISTENER = frozenset({"fax", "intercept"})
"""Machines that take no message."""
DEAF = frozenset({State.ANSWERING, State.MACHINE, State.CONNECTING})
"""States in which the words of the far end are nobody's turn."""


class Call:
    """One call with its agent, from the answer to the last row."""

    def __init__(
        self, offer: Offer, agent: Agent, stream: Stream, services: Services, past: Past
    ) -> None:
        """``past``: of a call that was carried before, by another worker or until a transfer."""
        self._offer = offer
        self._past = past
        self._agent = agent
        self._stream = stream
        self._services = services
        self._log = CallLog(__name__, offer.call_id)
        self._state = State.RINGING
        self._epoch_s = asyncio.get_running_loop().time()
        self._begun_at = datetime.now(UTC)
        self._life = Life(self._log)
        guard, spawn = self._life.guard, self._life.spawn
        self._prompts = 0
        self._contested_at_ms = 0
        self._last_audio_ms = 0
        self._silence = silence(FRAME_MS, offer.rate_hz)
        self._held = False
        """The far end holds the line: what comes is music, if anything."""
        self._ear: Ear | None = None
        """Somebody listens in."""
        self._greeting_due = False
        """The recording notice is being said; the greeting follows."""
        self._callee = Callee(offer, past)
        self._hear_callee = guard(self._on_callee)
        self._tone: Utterance | None = None
        self._recording = CallRecording(
            offer, agent, self._begun_at, services.disk, services.recordings
        )
        self._redacting = Redacting(offer.call_id, agent, services.journal)
        self._redacting.attach(self._recording.file(past.started_at))
        self._playout = Playout(
            offer.rate_hz,
            stream.play,
            guard(self._on_frame),
            guard(self._on_played),
        )
        self._timers = Timers(lambda: self._playout.now_ms)
        self._remembering = Remembering(
            offer.call_id, agent, past.history(), services.notes, spawn, self._on_remembered
        )
        self._speaker = Speaker(
            offer,
            agent,
            services.composer,
            self._playout,
            services.journal,
            self._clock,
            spawn,
            self._show,
            past,
            self._redacting,
            self._remembering,
        )
        self._handoff = Handoff(
            offer.call_id,
            agent,
            stream,
            services.composer,
            self._speaker.history,
            spawn,
            self._show,
        )
        self._hearing = Hearing(
            agent, offer.rate_hz, services.vad, services.judge, self, spawn, guard
        )
        self._hearing.utterances.attach(
            services.recogniser.open(
                offer.call_id, agent, offer.rate_hz, guard(self._hearing.on_transcript)
            )
        )

    # --- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer, and live to the end. Errors of this call end here."""
        try:
            await self._life.run(self._answer)
        finally:
            await self._end()

    def about(self) -> dict[str, object]:
        """The call as it stands, for somebody who begins to look on."""
        now = {"event": "call", "ms": self._clock(), "state": self._state.value, "held": self._held}
        return now | self._who()

    def _who(self) -> dict[str, object]:
        started_at = self._past.started_at or self._begun_at
        return who(self._offer, self._agent, started_at) | {"turns": self._speaker.turns}

    def overhear(self, play: Callable[[str, bytes], None] | None) -> None:
        """Give the call's sound to ``play`` from now on; None: to nobody."""
        self._ear = ear_of(self._offer, play, self._ear)

    def stop(self, cause: str) -> None:
        """End the call from outside, because the worker stops or a supervisor wants it."""
        self._life.finish("system", cause)
        self._step(Event.HANGUP)

    def _answer(self) -> None:
        offer = self._offer
        self._log.info("< call from %s to %s", offer.caller or "unknown", offer.did)
        self._services.journal.call(self._record())
        self._show("call", **self._who())
        self._stream.answer()
        self._services.pacer.add(self._playout)
        self._timers.start(Timer.MEDIA, MEDIA_WAIT_MS)
        self._timers.start(Timer.LONGEST, self._agent.longest_call_s * 1000)

    async def _end(self) -> None:
        self._services.pacer.remove(self._playout)
        self._hearing.close()
        self._redacting.close()
        self._recording.close()
        self._services.journal.call(self._record(datetime.now(UTC)))
        self._show("end", cause=self._life.cause, by=self._life.ended_by, part=self._offer.part)
        await self._life.leave(self._stream)

    # --- the stream -------------------------------------------------------------------------------

    def on_audio(self, frame: bytes) -> None:
        """A frame from the caller."""
        self._last_audio_ms = now_ms = self._clock()
        self._hearing.on_audio(self._silence if self._held else frame, now_ms)
        if self._callee.is_awaited:
            self._hear_callee(frame)
        self._recording.caller(frame, now_ms)
        if self._ear is not None:
            self._ear.caller(frame)
        if self._timers.is_running(Timer.MEDIA):
            self._timers.start(Timer.MEDIA, 0)  # greet with the next frame

    def on_dtmf(self, key: Dtmf) -> None:
        """A key was pressed."""
        self._log.info("< key")  # not which: it may be a PIN
        known = key.digit in self._agent.keypad or key.digit == self._agent.transfer_key
        self._show("key", digit=key.digit if known else "•")  # of a PIN, for instance
        if self._handoff.possible and key.digit == self._agent.transfer_key:
            if Event.ASKED_BY_KEY in floor.TABLE[self._state]:
                self._hearing.reset()
                self._step(Event.ASKED_BY_KEY, "key")
            return
        meaning = self._agent.keypad.get(key.digit)
        if meaning is not None and Event.KEY in floor.TABLE[self._state]:
            self._hearing.reset()
            self._step(Event.KEY, meaning)

    def on_hangup(self, cause: str) -> None:
        """The caller, or the edge, ended the call."""
        self._life.hung_up(cause)
        self._step(Event.HANGUP)

    def on_transfer_failed(self, cause: str) -> None:
        """Nobody took the transferred call."""
        if Event.TRANSFER_FAILED in floor.TABLE[self._state] and not self._life.is_over:
            self._handoff.failed(cause)
            self._step(Event.TRANSFER_FAILED)

    def on_hold(self, on: bool) -> None:
        """The far end holds the line, or is back."""
        self._log.info("< %s", "held" if on else "no longer held")
        self._show("hold", on=on)
        self._held = on
        if on:
            self._timers.stop(Timer.SILENCE)
        elif self._state is State.LISTENING:
            self._timers.start(Timer.SILENCE, self._agent.silence_ms)

    def on_whisper(self, text: str) -> None:
        """A supervisor tells the agent something, for its replies from now on."""
        self._log.info("< whisper, %d letters", len(text))
        self._show("whisper", text=text)
        self._speaker.history.note(text)

    def on_typed(self, text: str) -> None:
        """Somebody who tries the agent writes a turn in place of saying it: over the agent it is a
        barge-in, as a key is."""
        if Event.FAREWELL_TYPED not in floor.TABLE[self._state]:
            return
        self._log.info("< typed, %d letters", len(text))
        self._hearing.type(text, self._clock())
        event = typed_event(text, self._agent, self._handoff.possible)
        self._step(event, "asked" if event is Event.ASKED_BY_KEY else text)
        self._show("turn", said=text, typed=True)  # after the turn that it cut off

    # --- the playout ------------------------------------------------------------------------------

    def _on_frame(self, number: int, frame: bytes, utterance: Utterance | None) -> None:
        now_ms = number * FRAME_MS
        if number == 1:
            self._epoch_s = asyncio.get_running_loop().time()
        self._recording.agent(frame, now_ms)
        if self._ear is not None:
            self._ear.agent(frame)
        if now_ms - self._last_audio_ms > LATE_AUDIO_MS:
            self._hearing.conceal(FRAME_MS, now_ms)
            if self._callee.is_awaited:
                self._hear_callee(self._silence)
        if utterance is not None and utterance is not self._tone:
            if self._speaker.on_frame(now_ms - FRAME_MS, frame):
                self._on_audible()
        for timer in self._timers.due():
            self._fire(timer)
        if self._state is State.CONTESTED and now_ms - self._contested_at_ms > CONTEST_MS:
            if self._hearing.activity is Activity.SPEAKING:
                self._step(Event.WORDS)

    def _on_audible(self) -> None:
        self._timers.stop(Timer.SLOW)
        protected = self._state is State.PROTECTED or not self._agent.barge_in
        self._step(Event.AUDIBLE_PROTECTED if protected else Event.AUDIBLE)
        self._hearing.forget_words()  # the turn has its answer

    def _on_played(self) -> None:
        if (reply := self._speaker.close_turn(barged_in=False)) is not None:
            self._handoff.note(reply)
        self._step(Event.PLAYED)
        if self._state is State.LISTENING:
            if self._greeting_due:
                self._welcome()
            elif reason := self._handoff.take_due():
                self._step(Event.PERSON_DUE, reason)
        # Somebody who speaks through a protected reply has the floor now; who has spoken, an answer.
        if self._hearing.activity is not Activity.QUIET:
            self._hear(Event.SPEECH)
            if self._hearing.activity is Activity.PAUSED:
                self._hear(Event.PAUSE)
        elif not self._hearing.utterances.awaited:
            self.on_turn()

    def _fire(self, timer: Timer) -> None:
        match timer:
            case Timer.MEDIA:
                self._open()
            case Timer.SILENCE:
                left = self._prompts < len(self._agent.silence_prompts)
                self._step(Event.SILENCE if left else Event.SILENCE_OUT)
            case Timer.SLOW:
                self._step(Event.SLOW)
            case Timer.LONGEST if self._state in DEAF:
                self._timers.start(Timer.LONGEST, TIME_UP_AGAIN_MS)
            case Timer.LONGEST:
                self._step(Event.TIME_UP)
            case Timer.TONE:
                self._play_tone()
            case Timer.PERSON:
                self.on_transfer_failed("RECOVERY_ON_TIMER_EXPIRE")
            case Timer.BEEP:
                self._step(Event.BEEP)

    def _play_tone(self) -> None:
        self._tone = Utterance(self._offer.rate_hz)
        self._tone.write(hold_tone(self._offer.rate_hz))
        self._tone.close()
        self._playout.play(self._tone)

    # --- the first words --------------------------------------------------------------------------

    def _open(self) -> None:
        """The line is there: who speaks first, and what?"""
        if self._callee.is_unknown:
            self._callee.listen()
            self._step(Event.WE_RANG)
        elif self._offer.part > 1:
            self._step(Event.RESUMED)
        else:
            self._welcome()

    def _welcome(self) -> None:
        """The notice, if the call is recorded and the agent says so, then the greeting."""
        agent = self._agent
        if agent.recording_notice and self._recording.name and not self._greeting_due:
            self._greeting_due = True
            self._step(Event.NOTICE)
            return
        self._greeting_due = False
        free = agent.greeting_interruptible
        self._step(Event.ANSWERED if free else Event.ANSWERED_PROTECTED)

    def _greet(self) -> None:
        if self._past.continues:
            self._speaker.say("resume", self._agent.continue_phrase)
        else:
            self._speaker.say("greeting", self._agent.greeting)

    def _on_callee(self, frame: bytes) -> None:
        speaking = self._hearing.activity is Activity.SPEAKING
        if (verdict := self._callee.hear(frame, speaking)) is not None:
            self._on_verdict(verdict)

    def _on_verdict(self, verdict: Verdict) -> None:
        """It is known, as far as it can be, who has answered a call that we made."""
        self._log.info("= answered by %s", self._callee.answered_by)
        self._show("answered_by", who=verdict.who, sign=verdict.sign)
        self._stream.answered_by(AnsweredBy(verdict.who, verdict.sign))
        self._services.journal.call(self._record())
        if self._state is State.ANSWERING:
            self._meet(verdict)
        if verdict.beep:
            self._hear(Event.BEEP)

    def _meet(self, verdict: Verdict) -> None:
        if verdict.who != "machine":
            self._welcome()
        elif self._agent.machine_message and verdict.sign not in NO_LISTENER:
            self._timers.start(Timer.BEEP, BEEP_WAIT_MS)
            self._step(Event.MACHINE)
        else:
            self._step(Event.NO_MESSAGE)

    # --- hearing ----------------------------------------------------------------------------------

    def on_speech(self) -> None:
        """The caller began to speak."""
        self._hear(Event.SPEECH)

    def on_pause(self) -> None:
        """The caller paused."""
        self._hear(Event.PAUSE)

    def on_resume(self) -> None:
        """The caller goes on."""
        self._hear(Event.RESUME)

    def on_words(self) -> None:
        """The words are worth acting on."""
        contested = self._state is State.CONTESTED
        if contested and not self._hearing.has_sure_words():
            return
        self._hear(Event.WORDS)
        if contested and self._hearing.activity is Activity.PAUSED:
            self._hear(Event.PAUSE)

    def on_turn(self) -> None:
        """The caller's turn is over."""
        if self._state in DEAF:
            self._hearing.forget_words()
            return
        hearing, contested = self._hearing, self._state is State.CONTESTED
        listening = self._state is State.LISTENING
        if listening and hearing.has_words():  # said over a protected reply
            self._hear(Event.SPEECH)
            self._hear(Event.PAUSE)
        real = hearing.has_words() if contested or listening else hearing.has_any_words()
        words = hearing.utterances.words
        if real and self._handoff.possible and asks_for_person(words, self._agent.transfer_words):
            self._hear(Event.ASKED, "asked")
        elif real and is_farewell(words, self._agent.farewells):
            self._hear(Event.FAREWELL)
        elif real or (hearing.utterances.lost and not contested):
            self._hear(Event.TURN)
        else:
            spoke = self._state is State.PAUSED and hearing.speech_ms() >= NOT_UNDERSTOOD_MS
            self._hear(Event.NOTHING)
            hearing.forget_words()
            self._speaker.nothing_said()
            if spoke:
                self._handoff.not_understood()
                if reason := self._handoff.take_due():
                    self._hear(Event.PERSON_DUE, reason)

    def on_transcript(self, transcript: Transcript) -> None:
        """Words came from the recogniser."""
        self._redacting.heard(transcript, self._hearing.utterance_start())
        timeline, now_ms = self._heard_timeline(), self._clock()
        if transcript.final:
            timeline.final = now_ms
        elif timeline.first_partial is None:
            timeline.first_partial = now_ms
        self._show("final" if transcript.final else "partial", text=transcript.text)

    def _heard_timeline(self) -> Timeline:
        over = self._state in (State.SPEAKING, State.CONTESTED, State.PROTECTED)
        return self._speaker.overheard if over else self._speaker.timeline

    def _hear(self, event: Event, meaning: str = "") -> None:
        """Sound counts only where the floor's table has it: not over a goodbye, for instance."""
        if event in floor.TABLE[self._state]:
            self._step(event, meaning)

    # --- the floor --------------------------------------------------------------------------------

    def _step(self, event: Event, meaning: str = "") -> None:
        before = self._state
        self._state, actions = floor.step(before, event)
        self._log.debug("= %s: %s -> %s", event.value, before.value, self._state.value)
        if event is Event.SPEECH:
            timeline = self._heard_timeline()
            timeline.speech_start = timeline.speech_start or self._hearing.speech_start()
        for action in actions:
            self._do(action, meaning)
        self._hearing.guarded = self._state in (State.SPEAKING, State.CONTESTED)
        if self._state is not State.LISTENING:
            self._timers.stop(Timer.SILENCE)
        elif before is not State.LISTENING and not self._held:
            self._timers.start(Timer.SILENCE, self._agent.silence_ms)
        if self._state is not State.REPLYING:
            self._timers.stop(Timer.SLOW)
        if self._state is not before:
            self._leave(before)

    def _leave(self, state: State) -> None:
        """What only one state waits for, nobody waits for in another."""
        match state:
            case State.CONNECTING:
                self._timers.stop(Timer.TONE, Timer.PERSON)
            case State.MACHINE:
                self._timers.stop(Timer.BEEP)

    def _do(self, action: Action, meaning: str) -> None:
        match action:
            case Action.GREET:
                self._greet()
            case Action.NOTIFY:
                self._speaker.say("greeting", self._agent.recording_notice)
            case Action.RESUME:
                self._speaker.say("resume", self._resume_phrase())
            case Action.SPECULATE:
                if self._hearing.has_any_words():
                    self._speaker.speculate(self._hearing.utterances.words)
            case Action.DROP | Action.TAKE_BACK:
                self._speaker.drop()
            case Action.GRANT:
                self._grant()
            case Action.YIELD:
                self._contested_at_ms = self._playout.now_ms
                self._playout.hold()
                self._show("yield")
            case Action.CARRY_ON:
                self._playout.carry_on()
                self._show("carry_on")
            case Action.BARGE_IN | Action.CLEAN_UP:
                self._speaker.barge_in()
            case Action.HOLD:
                self._speaker.hold()
            case _:
                self._take_turn(action, meaning)

    def _take_turn(self, action: Action, meaning: str) -> None:
        """Actions by which the agent speaks without having been asked aloud."""
        match action:
            case Action.PROMPT:
                self._prompts += 1
                prompt = self._agent.silence_prompts[self._prompts - 1]
                self._speaker.say("prompt", prompt)
            case Action.ANSWER_KEY:
                self._speaker.timeline.turn_given = self._clock()
                self._mark_turn()  # of what was typed, which came at a moment of its own
                self._reply_to(meaning)
            case Action.GOODBYE:
                self._mark_turn()
                said = self._hearing.utterances.words
                self._hearing.forget_words()
                self._speaker.say("goodbye", self._agent.goodbye, said)
            case Action.LEAVE_MESSAGE:
                self._hearing.forget_words()
                self._speaker.say("greeting", self._agent.machine_message)
            case Action.HANG_UP:
                self._life.finish("agent", "NORMAL_CLEARING")
            case _:
                self._transfer(action, meaning)

    def _transfer(self, action: Action, meaning: str) -> None:
        """Actions on the caller's way to a person; ``meaning`` is why they go."""
        match action:
            case Action.TRANSFER:
                self._ask_for_person(meaning)
            case Action.KEEP_WAITING:
                self._handoff.phrase_heard()
                self._timers.start(Timer.TONE, EVERY_MS)
            case Action.RETURN:
                self._speaker.stop()
                self._hearing.reset()
                self._speaker.say("transfer", self._agent.transfer_failed_phrase)

    def _ask_for_person(self, why: str) -> None:
        said = ""
        if why == "asked":
            self._mark_turn()
            said = self._hearing.utterances.words
        self._hearing.forget_words()
        self._speaker.say("transfer", self._agent.transfer_phrase, said)
        self._handoff.begin(cast(Reason, why))
        self._timers.start(Timer.PERSON, LONGEST_WAIT_MS)
        self._services.journal.call(self._record())  # the edge, and who looks on, may want to know

    def _resume_phrase(self) -> str:
        failed = self._offer.resumed == "transfer"
        return self._agent.transfer_failed_phrase if failed else self._agent.resume_phrase

    def _grant(self) -> None:
        self._mark_turn()
        words = self._hearing.utterances.words
        self._show("turn", said=words)
        if words:
            self._reply_to(words)
        else:
            self._speaker.apologise("no recogniser heard the caller")

    def _reply_to(self, said: str) -> None:
        self._prompts = 0
        self._timers.start(Timer.SLOW, self._agent.hold_after_ms)
        self._speaker.grant(said)

    def _mark_turn(self) -> None:
        if self._hearing.has_any_words() or self._hearing.utterances.lost:
            self._speaker.timeline.speech_end = self._hearing.speech_end()
            self._speaker.timeline.turn_given = self._clock()

    # --- small things -----------------------------------------------------------------------------

    def _clock(self) -> int:
        """The media clock in ms, between frames too."""
        return round((asyncio.get_running_loop().time() - self._epoch_s) * 1000)

    def _on_remembered(self) -> None:
        """Who takes the call over needs to know."""
        self._services.journal.call(self._record())
        self._show("remembered", letters=len(self._speaker.history.memory))

    def _record(self, ended_at: datetime | None = None) -> CallRecord:
        before, handoff, history = self._past.call, self._handoff, self._speaker.history
        record = CallRecord(
            call_id=self._offer.call_id,
            did=self._offer.did,
            caller=self._offer.caller,
            agent_id=self._agent.id,
            agent_version=self._agent.version,
            language=self._agent.language,
            started_at=self._past.started_at or self._begun_at,
            ended_at=ended_at,
            cause=self._life.cause,
            ended_by=self._life.ended_by,
            turns=self._speaker.turns,
            recording=self._recording.name,
            late_frames=self._playout.late_frames + (before.late_frames if before else 0),
            part=self._offer.part,
            direction=self._offer.direction,
            transferred_to=handoff.transferred_to or (before.transferred_to if before else ""),
            transfer_reason=handoff.reason or (before.transfer_reason if before else ""),
            summary=handoff.summary or (before.summary if before else ""),
            answered_by=self._callee.answered_by,
            memory=history.memory,
            remembered=history.remembered,
            facts=history.facts,
            continues=self._past.continues,
        )
        return self._redacting.record(record)

    def _show(self, kind: str, **what: object) -> None:
        # words are redacted, which takes a third of a millisecond
        if self._services.is_watched(self._offer.call_id, kind):
            shown = self._redacting.shown(kind, what)
            self._services.watch(self._offer.call_id, {"event": kind, "ms": self._clock(), **shown})
