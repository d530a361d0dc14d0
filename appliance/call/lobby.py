"""A call on its way in: who answers it, what was said before, and then the call itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.call.botcall import BotCall
from appliance.call.life import HANG_UP_TIMEOUT_S
from appliance.call.past import Past
from appliance.call.services import Services
from appliance.call.session import Call
from appliance.call.trying import for_trial
from appliance.events import Agent, Dtmf, Offer
from appliance.media.server import Stream
from appliance.store.directory import NoAgentError
from appliance.telemetry import CallLog

REPLACED_TIMEOUT_S = 0.2
"""For the part of this call that was still here, to write what it has; then ours begins."""


class Lobby:
    """Finds the agent, then gives the stream's events to a :class:`Call`, or to a
    :class:`BotCall` where the agent is an external bot."""

    def __init__(
        self,
        offer: Offer,
        stream: Stream,
        services: Services,
        before: asyncio.Task[None] | None = None,
    ) -> None:
        """``before``: the call's earlier part, which was here until now and is ending."""
        self.offer = offer
        self._stream = stream
        self._services = for_trial(services) if offer.direction == "test" else services
        self._before = before
        self._call: Call | BotCall | None = None
        self._log = CallLog(__name__, offer.call_id)
        self._gone = ""

    def on_audio(self, frame: bytes) -> None:
        """A frame from the caller; before the answer there is nobody to hear it."""
        if self._call is not None:
            self._call.on_audio(frame)

    def on_dtmf(self, key: Dtmf) -> None:
        """A key was pressed."""
        if self._call is not None:
            self._call.on_dtmf(key)

    def on_transfer_failed(self, cause: str) -> None:
        """Nobody took the transferred call."""
        if self._call is not None:
            self._call.on_transfer_failed(cause)

    def on_hold(self, on: bool) -> None:
        """The far end holds the line, or is back."""
        if self._call is not None:
            self._call.on_hold(on)

    def on_whisper(self, text: str) -> None:
        """A supervisor tells the agent something."""
        if self._call is not None:
            self._call.on_whisper(text)

    def on_typed(self, text: str) -> None:
        """Somebody who tries the agent writes in place of speaking; nobody does in a real call."""
        if self._call is not None and self.offer.direction == "test":
            self._call.on_typed(text)

    def on_hangup(self, cause: str) -> None:
        """The call is over."""
        self._gone = cause
        if self._call is not None:
            self._call.on_hangup(cause)

    def about(self) -> dict[str, object] | None:
        """The call as it stands, for somebody who begins to look on; None: nobody answers it yet."""
        return None if self._call is None else self._call.about()

    def overhear(self, play: Callable[[str, bytes], None] | None) -> None:
        """Give the call's sound to ``play`` from now on; None: to nobody."""
        if self._call is not None:
            self._call.overhear(play)

    def take_whisper(self, text: str) -> str:
        """A supervisor tells the agent something; why that cannot be, or an empty string."""
        if self._call is None:
            return "nobody answers this call yet"
        if isinstance(self._call, BotCall):
            return "an external bot cannot be told anything"
        self._call.on_whisper(text)
        return ""

    def end(self, cause: str = "NORMAL_TEMPORARY_FAILURE") -> None:
        """The worker stops for good, or a supervisor ends the call."""
        self._gone = self._gone or cause
        if self._call is not None:
            self._call.stop(self._gone)
        else:
            self._stream.hang_up(self._gone)

    def replace(self) -> None:
        """The call's next part has come: end this one, without a word to the edge, which would
        take a hangup for the call's."""
        self._log.info("= part %d ends here: a later one has come", self.offer.part)
        self._stream.let_go()
        self.end()

    async def run(self) -> None:
        """Live from the offer to the end."""
        try:
            past = await self._look_back()
            agent = await self._find_agent(past)
            if agent.continue_minutes and self.offer.part == 1 and not agent.bot_url:
                past = await self._services.past.cut_off(self.offer, agent)
            if not self._gone:
                self._call = self._begin(agent, past)
        except NoAgentError as e:
            self._log.warning("! %s", e)
            self._stream.hang_up("UNALLOCATED_NUMBER")
        except Exception:
            self._log.exception("! the call could not begin")
            self._stream.hang_up("INTERWORKING")
        if self._call is not None:
            await self._call.run()
        else:
            await self._stream.closed(HANG_UP_TIMEOUT_S)
            self._stream.close()

    def _begin(self, agent: Agent, past: Past) -> Call | BotCall:
        if agent.bot_url:
            return BotCall(self.offer, agent, self._stream, self._services, past.started_at)
        return Call(self.offer, agent, self._stream, self._services, past)

    async def _look_back(self) -> Past:
        if self._before is not None:
            await asyncio.wait({self._before}, timeout=REPLACED_TIMEOUT_S)
            self._before = None
        return await self._services.past.of(self.offer)

    async def _find_agent(self, past: Past) -> Agent:
        """The one that the edge has chosen, else the number's; a call that was carried before keeps
        its agent's version."""
        offer, directory, call = self.offer, self._services.directory, past.call
        if offer.draft:
            return await directory.draft_of(offer.agent)
        if call is not None and offer.agent in ("", call.agent_id):
            return await directory.agent_by_id(call.agent_id, call.agent_version)
        if offer.agent:
            return await directory.agent_by_id(offer.agent)
        return await directory.agent_for(offer.did)
