"""One caller's audio become turns: voice activity, endpointing, recognition, the turn judge.

Everything here is counted in the caller's audio. Frames that the network lost are replaced by
silence (:meth:`Hearing.conceal`), so that the count goes on whatever happens to the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import numpy as np

from appliance.audio import silence
from appliance.call.callaudio import CallAudio
from appliance.call.utterances import Utterances
from appliance.engines.base import TurnJudge
from appliance.engines.vad import VoiceActivity
from appliance.errors import EngineError
from appliance.events import Agent, Transcript
from appliance.turn.endpoint import Activity, Endpointer, Sound, Thresholds
from appliance.turn.onset import Onset, onset
from appliance.turn.words import dangles, is_backchannel, normal, silence_to_wait

PRE_ROLL_MS = 300
"""Audio before the detected start of speech that the recogniser hears too."""
STABLE_MS = 350
"""Words unchanged for this long in mid-speech are worth a speculation."""
HUM_MS = 450
"""A hum or a noise this long over the agent's speech counts as speech after all."""
SURE_WORDS = 2
"""So many words that are not final yet are no misheard backchannel."""
FINAL_WAIT_MS = 400
"""How long a turn that has ended waits for its final words before the last partial is taken."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Scored = Callable[[float, int], None]


class Listener(Protocol):
    """What hearing tells the call."""

    def on_speech(self) -> None:
        """The caller began to speak."""

    def on_pause(self) -> None:
        """The caller paused."""

    def on_resume(self) -> None:
        """The caller goes on."""

    def on_words(self) -> None:
        """The words are worth acting on: stable, or the caller has fallen silent after them."""

    def on_turn(self) -> None:
        """The caller's turn is over; its words are final."""

    def on_transcript(self, transcript: Transcript) -> None:
        """Any partial or final transcript (for the timeline and the live display)."""


class Hearing:
    """One caller's side of one call."""

    def __init__(
        self,
        agent: Agent,
        rate_hz: int,
        vad: VoiceActivity,
        judge: TurnJudge,
        listener: Listener,
        spawn: Spawn,
        guard: Callable[[Scored], Scored],
    ) -> None:
        """``guard`` wraps what the detector calls, so that an error there stays in this call."""
        self._agent = agent
        self._rate_hz = rate_hz
        self._vad = vad
        self._judge = judge
        self._listener = listener
        self._spawn = spawn
        self._slot = vad.open(rate_hz, guard(self._on_score))
        self._endpointer = Endpointer(Thresholds())
        self.audio = CallAudio(rate_hz)
        self.utterances = Utterances()
        self._finished_at_ms = 0
        """Audio up to here belongs to an utterance that was finished."""
        self._utterance_at_ms = 0
        """Where the utterance under way began."""
        self._changed_at_ms = 0
        self._told = ""
        self._pause = 0
        self._verdict: float | None = None
        """How complete the turn sounded in the pause under way (0-1)."""
        self._ended_at_ms: int | None = None
        """When a turn ended whose final words are still awaited."""
        self._withheld = False
        """A sound over the agent's speech that may be a hum: not (yet) told as speech."""
        self._typed_at_ms: int | None = None
        """When the turn's words were typed, on the media clock; None: they were spoken."""
        self.guarded = False
        """Set while the agent has the floor: a hum or a cough is then not taken for speech."""

    def close(self) -> None:
        """The call is over."""
        self._vad.close(self._slot)
        self.utterances.close()

    def on_audio(self, frame: bytes, clock_ms: int) -> None:
        """One frame from the caller, at ``clock_ms`` of the call's media clock."""
        self.audio.add(frame, clock_ms)
        self.utterances.feed(frame)
        self._slot.feed(frame)

    def conceal(self, ms: int, clock_ms: int) -> None:
        """Audio that should have come did not: hear silence in its place."""
        self.on_audio(silence(ms, self._rate_hz), clock_ms)

    @property
    def activity(self) -> Activity:
        """What the caller is doing now."""
        return self._endpointer.activity

    def has_words(self) -> bool:
        """Whether something was said that is more than a backchannel."""
        return not is_backchannel(self.utterances.words, self._agent.backchannels)

    def has_sure_words(self) -> bool:
        """As :meth:`has_words`, and they will not turn out to be a backchannel: a recogniser's
        first guess at an "okay" is "the" or "who", so that a single word must be final."""
        return self._has_several_words() or (not self.utterances.awaited and self.has_words())

    def _has_several_words(self) -> bool:
        return len(normal(self.utterances.words)) >= SURE_WORDS and self.has_words()

    def has_any_words(self) -> bool:
        """Whether anything was said at all, a "yes" included."""
        return bool(normal(self.utterances.words))

    def forget_words(self) -> None:
        """The turn has been answered; what is said next is another."""
        self.utterances.forget()
        self._told = ""
        self._typed_at_ms = None

    def type(self, text: str, clock_ms: int) -> None:
        """The turn's words were typed: what is being said is abandoned for them."""
        self.reset()
        self.utterances.put(text)
        self._typed_at_ms = clock_ms

    def reset(self) -> None:
        """Abandon what is being said (a key was pressed instead)."""
        self._endpointer.reset()
        self._abandon()

    def utterance_start(self) -> int:
        """When the utterance that transcripts come of began, pre-roll included (media clock, ms)."""
        return self.audio.on_clock(self._utterance_at_ms)

    def speech_ms(self) -> int:
        """How long the last speech was, pauses in it included."""
        return self._endpointer.speech_end_ms - self._endpointer.speech_start_ms

    def speech_start(self) -> int:
        """When the last speech began, on the media clock (ms)."""
        return self.audio.on_clock(self._endpointer.speech_start_ms)

    def speech_end(self) -> int:
        """When the last speech truly ended, on the media clock (ms); of typed words, when they
        came."""
        if self._typed_at_ms is not None:
            return self._typed_at_ms
        return self.audio.on_clock(self.audio.speech_end(self._endpointer.speech_end_ms))

    def on_transcript(self, transcript: Transcript) -> None:
        """A partial or final of the call's recogniser session."""
        before = self.utterances.words
        if not self.utterances.take(transcript):
            return
        self._listener.on_transcript(transcript)
        if self.utterances.words != before:
            self._changed_at_ms = self._endpointer.now_ms
            if self.audio.is_quiet():
                self._tell()
        if self._withheld and self._has_several_words():
            self._release()  # one word is what a recogniser makes of an "mm": "new"
        if self._ended_at_ms is not None:
            if transcript.final:
                self._conclude()
        elif self.activity is Activity.PAUSED:
            self._weigh()
            self._tell()

    def _on_score(self, probability: float, chunk_ms: int) -> None:
        if self._withheld:
            self._reconsider()
        for sound in self._endpointer.chunk(probability, chunk_ms):
            self._on_sound(sound)
        now_ms = self._endpointer.now_ms
        if self._ended_at_ms is not None:
            if now_ms - self._ended_at_ms > FINAL_WAIT_MS:
                self._conclude()
        elif self.activity is Activity.SPEAKING and self._untold():
            if now_ms - self._changed_at_ms >= STABLE_MS or self.audio.is_quiet():
                self._tell()

    def _on_sound(self, sound: Sound) -> None:
        match sound:
            case Sound.STARTED:
                self._start()
            case Sound.PAUSED:
                self._pause += 1
                self._verdict = None
                if not self._withheld:
                    self._listener.on_pause()
            case Sound.JUDGE:
                self._ask_judge()
            case Sound.RESUMED:
                if not self.utterances.open:
                    self._utterance_at_ms = self._finished_at_ms
                    self.utterances.begin(self.audio.since(self._finished_at_ms))
                if not self._withheld:
                    self._listener.on_resume()
            case Sound.SETTLED:
                self._finish()
            case Sound.ENDED:
                self._end()

    def _start(self) -> None:
        if self._ended_at_ms is not None:
            self._conclude()
        since_ms = max(self._endpointer.speech_start_ms - PRE_ROLL_MS, self._finished_at_ms)
        self._utterance_at_ms = since_ms
        self.utterances.begin(self.audio.since(since_ms))
        self._changed_at_ms = self._endpointer.now_ms
        self._withheld = self.guarded and not self._is_speech()
        if not self._withheld:
            self._listener.on_speech()

    def _finish(self) -> None:
        """Ask for the final words; audio after this belongs to the next utterance."""
        if self.utterances.open:
            self.utterances.finish()
            self._finished_at_ms = self.audio.received_ms

    def _end(self) -> None:
        self._finish()
        if self._withheld:
            self._abandon()
        elif self.utterances.awaited:
            self._ended_at_ms = self._endpointer.now_ms
        else:
            self._conclude()

    def _conclude(self) -> None:
        """The turn is over, with the words there are."""
        self._ended_at_ms = None
        self.utterances.seal()
        self._listener.on_turn()

    def _abandon(self) -> None:
        self._withheld = False
        self._ended_at_ms = None
        self._finished_at_ms = self.audio.received_ms
        self.utterances.abandon()
        self._told = ""
        self._typed_at_ms = None

    def _untold(self) -> bool:
        """Whether there are words that the call has not been told to act on."""
        words = self.utterances.words
        return bool(words) and words != self._told and not self._withheld

    def _tell(self) -> None:
        if self._untold():
            self._told = self.utterances.words
            self._listener.on_words()

    def _reconsider(self) -> None:
        """A sound withheld from the floor may turn out to be speech."""
        long = self._endpointer.now_ms - self._endpointer.speech_start_ms >= HUM_MS
        speaking = self.activity is Activity.SPEAKING
        if not self.guarded or self._is_speech() or (long and speaking):
            self._release()

    def _release(self) -> None:
        self._withheld = False
        self._listener.on_speech()
        if self.activity is Activity.PAUSED:
            self._listener.on_pause()

    def _is_speech(self) -> bool:
        sound = self.audio.since(self._endpointer.speech_start_ms)
        return onset(np.frombuffer(sound, "<i2"), self._rate_hz) is Onset.SPEECH

    def _ask_judge(self) -> None:
        if self.guarded:
            # Over the agent's voice only words count; do not keep the agent silent for long.
            self._endpointer.end_after(self._agent.pause_complete_ms)
            return
        turn = self.audio.since(self._endpointer.speech_start_ms - PRE_ROLL_MS)
        self._spawn(self._judge_pause(self._pause, turn))

    async def _judge_pause(self, pause: int, turn: bytes) -> None:
        try:
            probability = await self._judge.complete(turn, self._rate_hz)
        except EngineError:
            return  # the pool has logged it; silence alone decides
        if pause == self._pause and self.activity is Activity.PAUSED:
            self._verdict = probability
            self._weigh()

    def _weigh(self) -> None:
        """Sound and words together tell how long the pause may be."""
        if self._verdict is not None:
            agent, words = self._agent, self.utterances.words
            self._endpointer.end_after(
                silence_to_wait(
                    self._verdict,
                    dangles(words, agent.language),
                    agent.pause_complete_ms,
                    agent.pause_incomplete_ms,
                )
            )
