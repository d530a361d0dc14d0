"""What was said and truly heard: the conversation as the language model reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from appliance.events import Agent, Message, Passage

WINDOW_TURNS = 8
"""Turns in the prompt; the journal keeps them all."""


class History:
    """One call's turns. The agent's side holds only what the caller heard."""

    def __init__(self) -> None:
        self._turns: deque[tuple[str, str]] = deque(maxlen=WINDOW_TURNS)

    def add(self, said: str, heard: str) -> None:
        """A turn is over; ``heard`` is what was played of the reply before it ended or was cut."""
        if said or heard:
            self._turns.append((said, heard))

    def messages(self, agent: Agent, passages: Sequence[Passage], said: str) -> list[Message]:
        """The prompt for a reply to ``said``.

        Laid out for prefix caching: the agent's fixed part first, then the turns as they grow, and
        last what changes with every turn, the passages and the question.
        """
        messages = [Message("system", agent.prompt)]
        for caller, heard in self._turns:
            if caller:
                messages.append(Message("user", caller))
            if heard:
                messages.append(Message("assistant", heard))
        if passages:
            known = "\n".join(f"- {p.heading}: {p.text}" for p in passages)
            said = f"What we know:\n{known}\n\nThe caller says: {said}"
        return [*messages, Message("user", said)]
