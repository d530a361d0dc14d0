"""The agent's side of one call: the reply under way, and what the caller heard of it.

Each method is what the floor's action of the same name asks for. A reply begun as a speculation makes
its audio unheard; only :meth:`Speaker.grant` hands that audio to the playout.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from appliance.audio import FRAME_MS
from appliance.call.composer import Composer
from appliance.call.flagging import flag_of
from appliance.call.hearing import Spawn
from appliance.call.past import Past
from appliance.call.redacting import Redacting
from appliance.call.remembering import Remembering
from appliance.call.reply import Found, Reply
from appliance.call.timeline import Timeline, first_sound_ms
from appliance.events import Agent, CallRecord, Flag, Offer, Redaction, ReplySource, Turn
from appliance.media.playout import Playout
from appliance.telemetry import CallLog
from appliance.turn.words import same_meaning

Work = Coroutine[Any, Any, None]


class Journal(Protocol):
    """Where rows go, written behind the call."""

    def call(self, record: CallRecord) -> None:
        """A call began, or ended."""

    def turn(self, turn: Turn) -> None:
        """A turn is over."""

    def flag(self, flag: Flag) -> None:
        """The guard found something."""

    def redaction(self, span: Redaction) -> None:
        """A span of the recording that nobody may hear."""


class Speaker:
    """Makes, plays, stops and records the replies of one call."""

    def __init__(
        self,
        offer: Offer,
        agent: Agent,
        composer: Composer,
        playout: Playout,
        journal: Journal,
        clock: Callable[[], int],
        spawn: Spawn,
        show: Callable[..., None],
        past: Past,
        redacting: Redacting,
        remembering: Remembering,
    ) -> None:
        """``past``: the call's turns before it came here."""
        self._offer = offer
        self._agent = agent
        self._composer = composer
        self._playout = playout
        self._journal = journal
        self._clock = clock
        self._spawn = spawn
        self._show = show
        self._redacting = redacting
        self._log = CallLog(__name__, offer.call_id)
        self.history = remembering.history
        self._remembering = remembering
        self._reply: Reply | None = None
        self.timeline = Timeline()
        """Of the turn under way."""
        self.overheard = Timeline()
        """Of what the caller says over the agent, which may become the next turn."""
        self.turns = len(past.turns)
        self._index = past.last_index

    def say(self, source: ReplySource, text: str, said: str = "") -> None:
        """Say fixed words."""
        self._reply = self._fixed(source, said, text)
        self._playout.play(self._reply.utterance)

    def speculate(self, said: str) -> None:
        """Begin the reply that these words would get, unheard; keep the one begun if it fits."""
        if self._reply is not None and same_meaning(self._reply.said, said):
            return
        self.drop()
        self._reply = self._answer(said, speculative=True)

    def grant(self, said: str) -> None:
        """The turn is the agent's: let the reply be heard, the begun one if it fits."""
        if self._reply is not None and same_meaning(self._reply.said, said):
            self.timeline.kept = True
            self._reply.said = said
        else:
            self.drop()
            self._reply = self._answer(said)
        self._playout.play(self._reply.utterance)

    def apologise(self, why: str) -> None:
        """What was said is not known."""
        self.drop()
        self.say("apology", self._agent.apology)
        assert self._reply is not None
        self._reply.fail(why)

    def hold(self) -> None:
        """Bridge a late reply with the hold phrase."""
        if self._reply is not None:
            self._reply.fail("the reply was late; the hold phrase was said")
            bridge = self._fixed("hold", "", self._agent.hold_phrase)
            self._playout.play_first(bridge.utterance)

    def drop(self) -> None:
        """Forget a reply of which nothing was heard."""
        if self._reply is not None:
            self._reply.cancel()
            self._playout.flush()
            self._reply = None
            self.timeline.dropped += 1

    def nothing_said(self) -> None:
        """What was taken for speech was none: its marks are void."""
        self.overheard = Timeline()
        if self._reply is None:
            self.timeline = Timeline()

    def barge_in(self) -> None:
        """Cancel the reply, flush the playout, cut the history: three statements."""
        self.stop(barged_in=True)

    def stop(self, *, barged_in: bool = False) -> None:
        """What a barge-in does; not ``barged_in`` when it was not the caller who stopped us."""
        if self._reply is not None:
            self._reply.cancel()
        self._playout.flush()
        self.close_turn(barged_in=barged_in)

    def close_turn(self, *, barged_in: bool) -> Reply | None:
        """A reply is over: what was heard of it goes to the history and the journal."""
        reply, self._reply = self._reply, None
        timeline, overheard = self.timeline, self.overheard
        self.timeline, self.overheard = (overheard if barged_in else Timeline()), Timeline()
        if reply is None:
            return None
        self.turns += 1
        self._index += 1
        turn = timeline.row(self._offer.call_id, self._index, reply, barged_in)
        self.history.add(turn.said, turn.heard, turn.index)
        self._remembering.turn_over(turn.said)
        turn = self._redacting.turn(turn, reply)  # from here on it is what is kept
        self._journal.turn(turn)
        self._flag(turn, reply, timeline.first_frame or 0)
        cut = ", cut" if barged_in else ""
        trace = timeline.trace(reply)
        self._log.info("= turn %d, %s%s: %s", self._index, reply.source, cut, trace)
        self._show("turn_over", turn=turn)
        return reply

    def _flag(self, turn: Turn, reply: Reply, begin_ms: int) -> None:
        """What the guard found in a turn that is over, and what a late verdict may still find."""

        def tell(found: Found) -> None:
            flag = self._redacting.flag(flag_of(found, turn, reply, self._agent, begin_ms))
            self._journal.flag(flag)
            self._log.warning("! turn %d: %s, %s", turn.index, flag.rule, flag.action)
            self._show("flag", flag=flag)

        for found in reply.findings:
            tell(found)
        reply.tell = tell

    def on_frame(self, at_ms: int, frame: bytes) -> bool:
        """A frame of an utterance was sent; True when it is the turn's first."""
        timeline, reply = self.timeline, self._reply
        if reply is not None:
            self._redacting.played(reply, at_ms + FRAME_MS)
        if reply is not None and (phrase := reply.phrase_begun()):
            self._show("phrase", text=phrase)
        if timeline.first_sound is not None:
            return False
        first = timeline.first_frame is None
        if first:
            timeline.first_frame = at_ms
        offset_ms = first_sound_ms(frame)
        if offset_ms is not None:
            timeline.first_sound = at_ms + offset_ms
            self._show_audible()
        return first

    def _show_audible(self) -> None:
        reply = self._reply
        found = [{"heading": p.heading, "score": p.score} for p in reply.passages] if reply else []
        source = reply.source if reply else "hold"
        self._show("audible", gap_ms=self.timeline.gap_ms, source=source, found=found)

    def _fixed(self, source: ReplySource, said: str, text: str) -> Reply:
        reply = self._new(source, said)
        rate_hz = self._offer.rate_hz
        return self._make(reply, lambda: self._composer.say(reply, self._agent, rate_hz, text))

    def _answer(self, said: str, *, speculative: bool = False) -> Reply:
        self._remembering.make_way()
        reply = self._new("llm", said)
        reply.speculative = speculative
        rate_hz, call_id = self._offer.rate_hz, self._offer.call_id

        def work() -> Work:
            return self._composer.answer(reply, self._agent, rate_hz, self.history, call_id)

        return self._make(reply, work)

    def _new(self, source: ReplySource, said: str) -> Reply:
        return Reply(source, said, self._offer.rate_hz, self._clock)

    def _make(self, reply: Reply, work: Callable[[], Work]) -> Reply:
        reply.task = self._spawn(self._guarded(reply, work))
        return reply

    async def _guarded(self, reply: Reply, work: Callable[[], Work]) -> None:
        """A reply that breaks (a bug) costs its turn, not the call. One that is dropped before it
        began has made no coroutine that nobody awaits."""
        try:
            await work()
        except Exception:
            self._log.exception("! a reply broke")
            rate_hz = self._offer.rate_hz
            self._composer.apologise(reply, self._agent, rate_hz, "the reply broke")
        finally:
            reply.utterance.close()
