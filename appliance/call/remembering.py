"""What an agent keeps in mind over a call: facts at once, a summary of what leaves the prompt.

The summary is made between turns, by a task of the call. No caller waits for it: it gives way to
replies, by priority where the servers heed one, else by being begun only on an idle server and broken
off when a turn begins. docs/memory.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.call.digest import digest
from appliance.call.facts import find_facts
from appliance.call.hearing import Spawn
from appliance.call.history import History
from appliance.call.notes import MOST_TOKENS, Notes, notes_prompt, read_notes
from appliance.engines.base import NoteTaker
from appliance.errors import EngineError
from appliance.events import Agent
from appliance.telemetry import CallLog

TRIES = 2
"""For one summary; after them the turns stay, and it is tried again when the next turn is over."""
WITHIN_S = 8.0
"""For one try; some three turns of a call take as long."""
LOOK_EVERY_S = 0.25
MOST_LOOKS = 80
"""Without an idle server for so long (20 s), it is left until the next turn is over."""


class Remembering:
    """Of one call."""

    def __init__(
        self,
        call_id: str,
        agent: Agent,
        history: History,
        notes: NoteTaker | None,
        spawn: Spawn,
        changed: Callable[[], None],
    ) -> None:
        """``notes``: the language model, if there is one; ``changed`` is told when turns have left
        the prompt."""
        self.history = history
        self._call_id = call_id
        self._agent = agent
        self._notes = notes
        self._spawn = spawn
        self._changed = changed
        self._log = CallLog(__name__, call_id)
        self._task: asyncio.Task[None] | None = None
        for said, _ in history.exchanges():  # of the call's earlier part
            history.learn(find_facts(said, agent.slots, agent.language))

    def turn_over(self, said: str) -> None:
        """The history has a new turn, in which the caller said ``said``."""
        history, agent = self.history, self._agent
        history.learn(find_facts(said, agent.slots, agent.language))
        if (leaving := history.leaving()) is None:
            return
        if self._notes is None:
            history.remember(leaving, digest(leaving.memory, leaving.turns, agent.language))
            self._changed()
        elif self._task is None or self._task.done():
            self._task = self._spawn(self._work(self._notes))

    def make_way(self) -> None:
        """A reply is wanted now: a server that knows no priorities works on nothing else."""
        if self._task is not None and self._notes is not None and not self._notes.heeds_priorities:
            self._task.cancel()

    async def _work(self, notes: NoteTaker) -> None:
        try:
            for _ in range(TRIES):
                if await self._remember(notes):
                    return
            self._log.warning("! no summary: the turns stay in the prompt")
        except Exception:  # the border of a job: the turns stay in the prompt
            self._log.exception("! no summary")

    async def _remember(self, notes: NoteTaker) -> bool:
        """Have the summary made that is due now; False when it was not."""
        await self._room(notes)
        leaving = self.history.leaving()
        if leaving is None:
            return True
        try:
            text = await notes.note(
                notes_prompt(self._agent, leaving),
                call_id=self._call_id,
                model=self._agent.llm_model,
                max_tokens=MOST_TOKENS,
                within_s=WITHIN_S,
            )
        except EngineError as e:
            self._log.info("= no summary yet: %s", e)
            return False
        found: Notes | None = read_notes(text, self._agent, leaving)
        if found is None:
            self._log.info("= no summary yet: the model wrote none")
            return False
        if self.history.remember(leaving, found.text, found.facts):
            count, letters = len(leaving.turns), len(found.text)
            self._log.info("= %d turns are remembered in %d letters", count, letters)
            self._changed()
        return True

    async def _room(self, notes: NoteTaker) -> None:
        """Wait until a server may be asked; not for ever, then asking says why none may."""
        for _ in range(MOST_LOOKS):
            if notes.has_room():
                return
            await asyncio.sleep(LOOK_EVERY_S)
