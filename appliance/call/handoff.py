"""One call's way to a person: when, to whom, and what that person is told first.

The floor decides that a person is asked for (``Action.TRANSFER``); this counts what leads there,
talks to the edge, and writes the line that the person hears. An attended transfer is asked for at
once, a blind one when the caller has heard the transfer phrase.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from appliance.call.composer import Composer
from appliance.call.hearing import Spawn
from appliance.call.history import History
from appliance.call.reply import Reply
from appliance.call.summary import plain_summary
from appliance.events import Agent, Summary, Transfer
from appliance.telemetry import CallLog

LONGEST_WAIT_MS = 150_000
"""Without a word from the edge, the transfer has failed: queues give up after 120 s."""

Reason = Literal["asked", "key", "failures", "agent"]


class Edge(Protocol):
    """What connects the caller to a person."""

    def transfer(self, value: Transfer) -> None:
        """Ask for it."""

    def summarise(self, value: Summary) -> None:
        """Give it a better summary."""


class Handoff:
    """Counts and carries out the transfers of one call."""

    def __init__(
        self,
        call_id: str,
        agent: Agent,
        edge: Edge,
        composer: Composer,
        history: History,
        spawn: Spawn,
        show: Callable[..., None],
    ) -> None:
        self._call_id = call_id
        self._agent = agent
        self._edge = edge
        self._composer = composer
        self._history = history
        self._spawn = spawn
        self._show = show
        self._log = CallLog(__name__, call_id)
        self._failures = 0
        self._due: Reason | None = None
        self._waiting: Transfer | None = None
        """A blind one, until the phrase has been heard."""
        self._under_way = False
        self._just_failed = False
        self.transferred_to = ""
        self.reason: Reason | Literal[""] = ""
        self.summary = ""

    @property
    def possible(self) -> bool:
        """Whether there is somebody to transfer to."""
        return bool(self._agent.transfer_to)

    def note(self, reply: Reply) -> None:
        """A reply was heard to its end: was it an answer, and does it lead to a person?"""
        if reply.source not in ("llm", "extractive", "apology"):
            return
        if reply.wants_person and not self._just_failed:
            self._due = "agent"
        self._just_failed = False  # the next time it may ask again
        if reply.source == "apology" or reply.text.strip() == self._agent.unknown_answer:
            self.not_understood()
        else:
            self._failures = 0

    def not_understood(self) -> None:
        """A turn of the caller's had no answer."""
        self._failures += 1
        most = self._agent.transfer_after_failures
        if most and self._failures >= most:
            self._due = "failures"

    def take_due(self) -> Reason | None:
        """Why a person is due now, if one is; told once."""
        due, self._due = self._due, None
        return due if self.possible else None

    def begin(self, reason: Reason) -> None:
        """Ask for a person. Whatever led here counts from nothing again."""
        agent = self._agent
        self._failures, self._due, self._under_way = 0, None, True
        self.transferred_to, self.summary = agent.transfer_to, plain_summary(agent, self._history)
        self.reason = reason
        wanted = Transfer(agent.transfer_to, agent.transfer_mode, reason, self.summary)
        self._log.info("= transfer to %s, %s (%s)", wanted.to, wanted.mode, reason)
        self._show("transfer", to=wanted.to, mode=wanted.mode, reason=reason)
        if wanted.mode == "blind":
            self._waiting = wanted
        else:
            self._edge.transfer(wanted)
            self._spawn(self._improve())

    def phrase_heard(self) -> None:
        """The caller knows what is coming."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._edge.transfer(waiting)

    def failed(self, cause: str) -> None:
        """Nobody came: the caller is the agent's again."""
        self._under_way, self._waiting, self._just_failed = False, None, True
        self._log.info("= no transfer: %s", cause)
        self._show("transfer_failed", cause=cause)

    async def _improve(self) -> None:
        """A summary by the language model, if it is there in time."""
        try:
            better = await self._composer.summarise(self._agent, self._history, self._call_id)
        except Exception:  # the border of a job: the plain one is there
            self._log.exception("! no better summary")
            return
        if better and self._under_way:
            self.summary = better
            self._edge.summarise(Summary(better))
