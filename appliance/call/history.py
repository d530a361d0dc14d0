"""What was said and truly heard: the conversation as the language model reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from appliance.call.marker import HELP, MARKER
from appliance.events import Agent, Message, Passage

WINDOW_TURNS = 8
"""Turns in the prompt, at least; the journal keeps them all."""
STEP_TURNS = 4
"""The window slides by so many at once: in between the prompt only grows at its end, and the server's
prefix cache holds all of it but the last turn. A window that slides with each turn leaves nothing of
the turns to reuse."""
MOST_LETTERS = 6000
"""In the window; over it the older half goes. In Indic script that is up to 3 000 tokens of the
``max_model_len`` (8192) that a prompt must fit in."""
MOST_NOTES = 4
"""Of a supervisor, in the prompt; the latest."""
ON_THE_LINE = "(The caller is on the line.)"
"""Stands before the greeting: many models' templates refuse an assistant that speaks first, or anyone
who speaks twice in a row (Mistral's, Gemma's)."""


class History:
    """One call's turns. The agent's side holds only what the caller heard."""

    def __init__(self) -> None:
        self._turns: deque[tuple[str, str]] = deque()
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)

    def add(self, said: str, heard: str) -> None:
        """A turn is over; ``heard`` is what was played of the reply before it ended or was cut."""
        if said or heard:
            self._turns.append((said, heard))
            self._slide()

    def note(self, text: str) -> None:
        """A supervisor tells the agent something, for the replies from now on."""
        self._notes.append(text)

    @property
    def memory(self) -> str:
        """What is remembered of turns that are not in the prompt any more."""
        return ""

    @property
    def is_advised(self) -> bool:
        """Whether a supervisor has told the agent something."""
        return bool(self._notes)

    def exchanges(self) -> tuple[tuple[str, str], ...]:
        """The turns that are in the prompt, (said, heard), the latest last."""
        return tuple(self._turns)

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
        last, in one message, what changes with every turn: a supervisor's notes, the passages and the
        question. User and assistant take turns strictly, and there is no other system message.
        """
        last = []
        if self._notes:
            notes = "\n".join(f"- {note}" for note in self._notes)
            last.append(f"Your supervisor tells you (the caller does not hear it):\n{notes}")
        if passages:
            known = "\n".join(f"- {p.heading}: {p.text}" for p in passages)
            last.append(f"What we know:\n{known}")
        last.append(f"The caller says: {said}" if last else said)
        question = Message("user", "\n\n".join(last))
        turns = _alternating([*self.conversation(), question])
        return [Message("system", _prompt(agent)), *turns]

    def _slide(self) -> None:
        """Forget the oldest turns when there are a step too many of them, or of their letters."""
        turns = self._turns
        if len(turns) > WINDOW_TURNS + STEP_TURNS - 1:
            for _ in range(STEP_TURNS):
                turns.popleft()
        letters = sum(len(said) + len(heard) for said, heard in turns)
        if letters > MOST_LETTERS:
            while letters > MOST_LETTERS / 2 and len(turns) > 1:
                letters -= sum(map(len, turns.popleft()))


def opening(agent: Agent) -> History:
    """What stands in the prompt of nearly every call's first question: the greeting, heard whole."""
    history = History()
    if agent.record:
        history.add("", agent.recording_notice)
    history.add("", agent.greeting)
    return history


def _alternating(messages: Iterable[Message]) -> list[Message]:
    found: list[Message] = []
    for message in messages:
        if found and found[-1].role == message.role:
            found[-1] = Message(message.role, f"{found[-1].content}\n{message.content}")
        elif not found and message.role == "assistant":
            found += [Message("user", ON_THE_LINE), message]
        else:
            found.append(message)
    return found


def _prompt(agent: Agent) -> str:
    if not agent.transfer_to or MARKER in agent.prompt:
        return agent.prompt
    return f"{agent.prompt.rstrip()}\n{HELP}".lstrip()
