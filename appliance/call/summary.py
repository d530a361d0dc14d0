"""The line that a person hears before they get the caller."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.call.history import History
from appliance.events import Agent, Message

LONGEST_LETTERS = 200
LONGEST_QUOTE_LETTERS = 80
DEADLINE_S = 3.0
"""For the language model's; the person's telephone rings meanwhile."""


def plain_summary(agent: Agent, history: History) -> str:
    """Without a model, at once: who hands over, what the caller asked last, what they were told."""
    said, heard = history.last_exchange()
    said, heard = (one_line(text, LONGEST_QUOTE_LETTERS) for text in (said, heard))
    if not agent.language.startswith("en"):
        return one_line(f"{agent.name}: {said or '–'} – {heard}".rstrip(" –"))
    if not said:
        return one_line(f"{agent.name} hands over a caller who wants a person.")
    told = f", and was told: {heard}" if heard else ""
    return one_line(f"From {agent.name}: the caller asked: {said}{told}")


def summary_prompt(agent: Agent, history: History) -> Sequence[Message]:
    """Asks the language model for one line in the agent's language (BCP 47)."""
    talk = "\n".join(
        f"{'Caller' if m.role == 'user' else 'Agent'}: {m.content}"
        for m in history.conversation()
    )  # fmt: skip
    return (
        Message(
            "system",
            "You tell a colleague, who is about to take over a telephone call, what it is about."
            " One spoken sentence of at most 25 words: what the caller wants and what they were"
            f" told. Write in the language {agent.language} and nothing but that sentence.",
        ),
        Message("user", talk),
    )


def one_line(text: str, longest: int = LONGEST_LETTERS) -> str:
    """``text`` on one line without control characters, cut between words to ``longest`` letters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= longest:
        return line
    cut = line[:longest].rpartition(" ")[0] or line[: longest - 1]
    return cut[: longest - 1].rstrip(" ,;:") + "…"
