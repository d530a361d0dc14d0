"""What was said and truly heard: the conversation as the language model reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from appliance.call.marker import HELP, MARKER
from appliance.events import Agent, Message, Passage

WINDOW_TURNS = 8
"""Turns in the prompt; the journal keeps them all."""
MOST_NOTES = 4
"""Of a supervisor, in the prompt; the latest."""


class History:
    """One call's turns. The agent's side holds only what the caller heard."""

    def __init__(self) -> None:
        self._turns: deque[tuple[str, str]] = deque(maxlen=WINDOW_TURNS)
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)

    def add(self, said: str, heard: str) -> None:
        """A turn is over; ``heard`` is what was played of the reply before it ended or was cut."""
        if said or heard:
            self._turns.append((said, heard))

    def note(self, text: str) -> None:
        """A supervisor tells the agent something, for the replies from now on."""
        self._notes.append(text)

    def last_exchange(self) -> tuple[str, str]:
        """What the caller said last, and what they heard in answer; empty strings for nothing."""
        return next((turn for turn in reversed(self._turns) if turn[0]), ("", ""))

    def conversation(self) -> list[Message]:
        """The turns, as messages."""
        messages = []
        for caller, heard in self._turns:
            if caller:
                messages.append(Message("user", caller))
            if heard:
                messages.append(Message("assistant", heard))
        return messages

    def messages(self, agent: Agent, passages: Sequence[Passage], said: str) -> list[Message]:
        """The prompt for a reply to ``said``.

        Laid out for prefix caching: the agent's fixed part first, then the turns as they grow, and
        last what changes with every turn: a supervisor's notes, the passages and the question.
        """
        messages = [Message("system", _prompt(agent)), *self.conversation()]
        if self._notes:
            notes = "\n".join(f"- {note}" for note in self._notes)
            told = f"Your supervisor tells you (the caller does not hear it):\n{notes}"
            messages.append(Message("system", told))
        if passages:
            known = "\n".join(f"- {p.heading}: {p.text}" for p in passages)
            said = f"What we know:\n{known}\n\nThe caller says: {said}"
        return [*messages, Message("user", said)]


def _prompt(agent: Agent) -> str:
    if not agent.transfer_to or MARKER in agent.prompt:
        return agent.prompt
    return f"{agent.prompt.rstrip()}\n{HELP}".lstrip()
