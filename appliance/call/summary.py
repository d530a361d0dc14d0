"""The line that a person hears before they get the caller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from appliance.call.history import History
from appliance.call.marker import Marker
from appliance.call.oneline import one_line
from appliance.engines.base import Writer
from appliance.errors import EngineError
from appliance.events import Agent, Message

log = logging.getLogger(__name__)

LONGEST_LETTERS = 200
LONGEST_QUOTE_LETTERS = 80
DEADLINE_S = 3.0
"""For the language model's; the person's telephone rings meanwhile."""


def plain_summary(agent: Agent, history: History) -> str:
    """Without a model, at once: who hands over, what is known of the caller, what they asked last,
    what they were told."""
    said, heard = history.last_exchange()
    facts = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in history.facts.items())
    facts = one_line(facts, LONGEST_QUOTE_LETTERS)
    said, heard = (one_line(text, LONGEST_QUOTE_LETTERS) for text in (said, heard))
    if not agent.language.startswith("en"):
        who = f"{agent.name} ({facts})" if facts else agent.name
        return one_line(f"{who}: {said or '–'} – {heard}".rstrip(" –"))
    who = f" ({facts})" if facts else ""
    if not said:
        return one_line(f"{agent.name} hands over a caller{who} who wants a person.")
    told = f", and was told: {heard}" if heard else ""
    return one_line(f"From {agent.name}: the caller{who} asked: {said}{told}")


def summary_prompt(agent: Agent, history: History) -> Sequence[Message]:
    """Asks the language model for one line in the agent's language (BCP 47)."""
    talk = "\n".join(
        f"{'Caller' if m.role == 'user' else 'Agent'}: {m.content}"
        for m in history.conversation()
    )  # fmt: skip
    if history.memory:
        talk = f"Before: {history.memory}\n{talk}"
    return (
        Message(
            "system",
            "You tell a colleague, who is about to take over a telephone call, what it is about."
            " One spoken sentence of at most 25 words: what the caller wants and what they were"
            f" told. Write in the language {agent.language} and nothing but that sentence.",
        ),
        Message("user", talk),
    )


async def model_summary(writer: Writer, agent: Agent, history: History, call_id: str) -> str:
    """One line by the language model; empty when it is late."""
    if not history.conversation():
        return ""
    text = ""
    try:
        async with asyncio.timeout(DEADLINE_S):
            texts = writer.write(
                summary_prompt(agent, history),
                speculative=False,
                call_id=call_id,
                model=agent.llm_model,
                within_s=DEADLINE_S,
            )
            async with aclosing(texts):
                async for more in texts:
                    text += more
                    if len(text) > 2 * LONGEST_LETTERS:
                        break
    except (TimeoutError, EngineError) as e:
        log.warning("! no better summary: %s", str(e) or "the language model was late")
        return ""
    return one_line(Marker().feed(text))  # it may think that it is talking to the caller
