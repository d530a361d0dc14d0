"""One live call whose agent is an external bot: its audio goes to the bot's websocket and back.

The same place in the worker as :class:`~appliance.call.session.Call`. The bot hears everything and
decides everything; what is ours is the pace, the interruption within a frame, the row, the recording,
and that the caller is never left in silence when the bot is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from appliance.audio import FRAME_MS, halve_rate, ulaw_encode
from appliance.call.botlink import BotLink
from appliance.call.botvoice import BotVoice
from appliance.call.composer import Composer
from appliance.call.ear import Ear, ear_of
from appliance.call.handoff import LONGEST_WAIT_MS
from appliance.call.holdtone import EVERY_MS, hold_tone
from appliance.call.life import Life
from appliance.call.recorded import CallRecording
from appliance.call.reply import Reply
from appliance.call.speaker import Journal
from appliance.call.who import who
from appliance.errors import EngineError, ProtocolError
from appliance.events import Agent, CallRecord, Dtmf, Offer, ReplySource, Transfer
from appliance.media.playout import Pacer, Playout, Utterance
from appliance.media.recording import DiskWriter
from appliance.media.server import Stream
from appliance.media.twilio import RATE_HZ, Clear, Mark, Media, TwilioProtocol
from appliance.telemetry import CallLog

MEDIA_WAIT_MS = 500
"""How long the bot's first words wait for the caller's first audio, so that none are lost."""
SAY_TIMEOUT_S = 10.0
"""For one of our own phrases, from the first thought to its last sample."""


class Services(Protocol):
    """What this call needs of :class:`~appliance.call.services.Services`."""

    @property
    def composer(self) -> Composer: ...
    @property
    def pacer(self) -> Pacer: ...
    @property
    def disk(self) -> DiskWriter | None: ...
    @property
    def recordings(self) -> Path: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def watch(self) -> Callable[[str, dict[str, object]], None]: ...


class BotCall:
    """One call with a bot, from the connection to the last row."""

    def __init__(
        self,
        offer: Offer,
        agent: Agent,
        stream: Stream,
        services: Services,
        started_at: datetime | None = None,
    ) -> None:
        """``started_at``: when the call's first part began, if this is not the first."""
        self._offer = offer
        self._agent = agent
        self._stream = stream
        self._services = services
        self._log = CallLog(__name__, offer.call_id)
        self._epoch_s = asyncio.get_running_loop().time()
        self._started_at = started_at or datetime.now(UTC)
        self._life = Life(self._log)
        self._answered = False
        self._heard = asyncio.Event()
        """The caller's audio has come, or has been waited for long enough."""
        self._said = asyncio.Event()
        """What was queued last has been played."""
        self._transferred: asyncio.Future[str] | None = None
        self._transfer: Transfer | None = None
        self._held = False
        self._bot_left = False
        self._failing = False
        self._refused = 0
        self._ear: Ear | None = None
        """Somebody listens in."""
        self._recording = CallRecording(
            offer, agent, datetime.now(UTC), services.disk, services.recordings
        )
        self._protocol = TwilioProtocol(offer.call_id)
        self._link: BotLink | None = None
        self._playout = Playout(
            offer.rate_hz,
            stream.play,
            self._life.guard(self._on_frame),
            self._life.guard(self._said.set),
        )
        self._voice = BotVoice(offer.rate_hz, self._playout, self._echo)

    # --- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reach the bot, answer, and live to the end. Errors of this call end here."""
        self._log.info("< call from %s to %s", self._offer.caller or "unknown", self._offer.did)
        self._services.journal.call(self._record())
        self._show("call", **who(self._offer, self._agent, self._started_at))
        try:
            await self._life.run(lambda: self._life.spawn(self._begin()))
        finally:
            await self._end()

    def about(self) -> dict[str, object]:
        """The call as it stands, for somebody who begins to look on."""
        now = {"event": "call", "ms": self._clock(), "state": "bot", "held": self._held}
        return now | who(self._offer, self._agent, self._started_at)

    def overhear(self, play: Callable[[str, bytes], None] | None) -> None:
        """Give the call's sound to ``play`` from now on; None: to nobody."""
        self._ear = ear_of(self._offer, play, self._ear)

    def stop(self, cause: str) -> None:
        """End the call from outside, because the worker stops."""
        self._life.finish("system", cause)

    async def _begin(self) -> None:
        """Ring until the bot is there, then answer; the bot hears at once, and speaks after us."""
        try:
            self._link = await BotLink.open(self._agent.bot_url, self)
        except EngineError as e:
            self._answer()
            return self._fail(str(e))
        self._log.info("> the bot has the call %s", self._protocol.call_sid)
        self._link.send(self._protocol.connected())
        self._link.send(self._protocol.start(self._offer, self._agent))
        self._answer()
        await self._heard.wait()
        if self._agent.recording_notice and self._recording.name:
            await self._say("prompt", self._agent.recording_notice)
        if not self._failing:
            self._voice.begin()

    def _answer(self) -> None:
        self._answered = True
        self._stream.answer()
        self._services.pacer.add(self._playout)

    async def _end(self) -> None:
        self._services.pacer.remove(self._playout)
        if self._link is not None:
            self._link.send(self._protocol.stop())
            self._link.close()
        self._recording.close()
        if self._voice.dropped_ms:
            self._log.warning("! %d ms of the bot's audio were dropped", self._voice.dropped_ms)
        self._services.journal.call(self._record(datetime.now(UTC)))
        self._show("end", cause=self._life.cause, by=self._life.ended_by, part=self._offer.part)
        await self._life.leave(self._stream)

    # --- the caller -------------------------------------------------------------------------------

    def on_audio(self, frame: bytes) -> None:
        """A frame from the caller."""
        if not self._answered:
            return
        self._heard.set()
        self._recording.caller(frame, self._clock())
        if self._ear is not None:
            self._ear.caller(frame)
        if self._link is not None and not self._held:
            samples = np.frombuffer(frame, "<i2")
            narrow = halve_rate(samples).tobytes() if self._offer.rate_hz != RATE_HZ else frame
            self._link.send(self._protocol.media(ulaw_encode(narrow)))

    def on_dtmf(self, key: Dtmf) -> None:
        """A key was pressed: the bot's, whatever it means."""
        self._log.info("< key")  # not which: it may be a PIN
        self._show("key", digit="•" if self._agent.redact else key.digit)
        if self._link is not None:
            self._link.send(self._protocol.dtmf(key.digit))

    def on_hangup(self, cause: str) -> None:
        """The caller, or the edge, ended the call."""
        self._life.hung_up(cause)

    def on_transfer_failed(self, cause: str) -> None:
        """Nobody took the caller whom we gave away."""
        if self._transferred is not None and not self._transferred.done():
            self._transferred.set_result(cause)

    def on_hold(self, on: bool) -> None:
        """Nobody listens, or somebody does again: the bot's words wait, and it hears nothing."""
        self._held = on
        if on:
            self._playout.hold()
        else:
            self._playout.carry_on()

    def on_whisper(self, text: str) -> None:
        """There is no message by which a bot could be told."""
        self._log.warning("! a supervisor's whisper was lost: a bot cannot be told")

    def on_typed(self, text: str) -> None:
        """Nor one by which it could be asked in writing."""
        self._log.warning("! what was typed was lost: a bot hears sound alone")

    def _on_frame(self, number: int, frame: bytes, utterance: Utterance | None) -> None:
        now_ms = number * FRAME_MS
        if number == 1:
            self._epoch_s = asyncio.get_running_loop().time()
        self._recording.agent(frame, now_ms)
        if self._ear is not None:
            self._ear.agent(frame)
        if now_ms >= MEDIA_WAIT_MS:
            self._heard.set()
        if not self._held:
            self._voice.on_frame(utterance)
        if self._bot_left and self._voice.is_played:
            self._life.finish("agent", "NORMAL_CLEARING")
        elif now_ms >= self._agent.longest_call_s * 1000 and not self._failing:
            self._log.info("= the longest call is over")
            self._take_over(self._take_leave())

    # --- the bot ----------------------------------------------------------------------------------

    def on_bot_message(self, payload: bytes) -> None:
        """A text message of the bot."""
        self._life.guard(self._take)(payload)

    def on_bot_gone(self, why: str) -> None:
        """The bot closed its websocket, or broke."""
        self._link = None
        if why:
            self._life.guard(self._fail)(why)
        else:
            self._log.info("< the bot ends the call")
            self._bot_left = True

    def _take(self, payload: bytes) -> None:
        if self._failing:
            return
        try:
            event = self._protocol.receive(payload)
        except ProtocolError as e:
            self._refused += 1
            if self._refused == 1:  # one line a call: a broken bot repeats itself
                self._log.warning("! bot: %s", e)
            return
        match event:
            case Media(ulaw):
                before_ms = self._voice.dropped_ms
                self._voice.say(ulaw)
                if self._voice.dropped_ms and not before_ms:
                    self._log.warning("! the bot is a minute ahead of what is heard: it is cut")
            case Mark(name):
                self._voice.mark(name)
            case Clear():
                self._log.info("< clear, %d ms ahead", self._voice.ahead_ms)
                self._voice.clear()
                if self._held:
                    self._playout.hold()  # a flush lets go of it
                self._show("yield")

    def _echo(self, name: str) -> None:
        if self._link is not None:
            self._link.send(self._protocol.mark(name))

    # --- without the bot --------------------------------------------------------------------------

    def _fail(self, why: str) -> None:
        self._log.warning("! the bot failed: %s", why)
        if not self._failing:
            self._take_over(self._hand_over())

    def _take_over(self, work: Coroutine[Any, Any, None]) -> None:
        """From now on we speak: the bot is told that it is over."""
        self._failing = True
        self._voice.end()
        link, self._link = self._link, None
        if link is not None:
            link.send(self._protocol.stop())
            link.close()
        self._life.spawn(work)

    async def _hand_over(self) -> None:
        """The apology, and a person if there is one."""
        blind = self._agent.transfer_mode == "blind"
        if self._agent.transfer_to and not blind:
            self._ask_for_person()  # their telephone rings meanwhile
        await self._heard.wait()
        await self._say("apology", self._agent.apology)
        if self._agent.transfer_to:
            await self._say("transfer", self._agent.transfer_phrase)
            if blind:
                self._ask_for_person()
            cause = await self._person_lost()
            self._log.warning("! nobody took the call: %s", cause)
            self._playout.flush()
            await self._say("apology", self._agent.apology)
        self._life.finish("system", "NORMAL_TEMPORARY_FAILURE")

    def _ask_for_person(self) -> None:
        agent, caller = self._agent, self._offer.caller or "an unknown number"
        summary = f"A caller from {caller}; the bot {agent.name} is not available."
        self._transfer = Transfer(agent.transfer_to, agent.transfer_mode, "failures", summary)
        self._transferred = asyncio.get_running_loop().create_future()
        self._show("transfer", to=agent.transfer_to, mode=agent.transfer_mode, reason="failures")
        self._stream.transfer(self._transfer)

    async def _person_lost(self) -> str:
        """Why nobody took the call; it ends before that when somebody does. No silence meanwhile."""
        assert self._transferred is not None
        try:
            async with asyncio.timeout(LONGEST_WAIT_MS / 1000):
                while True:
                    done, _ = await asyncio.wait({self._transferred}, timeout=EVERY_MS / 1000)
                    if done:
                        return self._transferred.result()
                    tone = Utterance(self._offer.rate_hz)
                    tone.write(hold_tone(self._offer.rate_hz))
                    tone.close()
                    self._playout.play(tone)
        except TimeoutError:
            return "the edge did not say"

    async def _take_leave(self) -> None:
        await self._say("goodbye", self._agent.goodbye)
        self._life.finish("agent", "NORMAL_CLEARING")

    async def _say(self, source: ReplySource, text: str) -> None:
        """Say one of our own phrases, to its last sample."""
        self._log.info("> %s", source)
        reply = Reply(source, "", self._offer.rate_hz, self._clock)
        self._said.clear()
        self._playout.play(reply.utterance)
        try:
            async with asyncio.timeout(SAY_TIMEOUT_S):
                try:
                    await self._services.composer.say(reply, self._agent, self._offer.rate_hz, text)
                finally:
                    reply.utterance.close()
                await self._said.wait()
        except TimeoutError:
            self._playout.flush()
            reply.fail("it took too long")
        if reply.failure:
            self._log.warning("! %s was not heard as meant: %s", source, reply.failure)

    # --- small things -----------------------------------------------------------------------------

    def _clock(self) -> int:
        """The media clock in ms, between frames too."""
        return round((asyncio.get_running_loop().time() - self._epoch_s) * 1000)

    def _record(self, ended_at: datetime | None = None) -> CallRecord:
        offer, agent = self._offer, self._agent
        return CallRecord(
            call_id=offer.call_id,
            did=offer.did,
            caller=offer.caller,
            agent_id=agent.id,
            agent_version=agent.version,
            language=agent.language,
            started_at=self._started_at,
            ended_at=ended_at,
            cause=self._life.cause,
            ended_by=self._life.ended_by,
            recording=self._recording.name,
            late_frames=self._playout.late_frames,
            part=offer.part,
            direction=offer.direction,
            transferred_to=self._transfer.to if self._transfer else "",
            transfer_reason=self._transfer.reason if self._transfer else "",
            summary=self._transfer.summary if self._transfer else "",
        )

    def _show(self, kind: str, **what: object) -> None:
        self._services.watch(self._offer.call_id, {"event": kind, "ms": self._clock(), **what})
