"""How much of each prompt a real vLLM finds in its prefix cache, for ways of laying out a conversation.

    python -m bench.prefixes http://127.0.0.1:7501 --model NAME [--turns 20]

Asks the sample agent's questions of a server that runs already (`ivr llm`), one call a layout, and
reads its counters. What is not found is computed: that is what a caller waits for. Prints a table; the
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex

import aiohttp

from appliance.call.digest import digest
from appliance.call.history import WINDOW_TURNS, History, Leaving
from appliance.engines.key import headers_of
from appliance.engines.pool import Pool, Server
from appliance.engines.writer import OpenAiWriter
from appliance.events import Agent, Message, Passage
from appliance.knowledge.answers import extract
from appliance.knowledge.memory import Memory
from appliance.knowledge.search import LIMIT
from appliance.ops.seed import sample_agent
from appliance.settings import Llm
from appliance.store.passages import StoredPassage
from tests.drafts_kit import drafts_of
from tests.sunrise_questions import CALIBRATION

SAMPLES = Path("appliance/samples")
COUNTER = re.compile(r"^vllm:prefix_cache_(queries|hits)_total\S* (\S+)$", re.MULTILINE)

Turns = Sequence[tuple[str, str, Sequence[Passage]]]
"""(said, heard, passages)."""
Layout = Callable[[Agent, Turns, Sequence[Passage], str], list[Message]]
"""(agent, turns, passages, question) -> the prompt."""


@dataclass(frozen=True)
class Count:
    """Tokens of prompts since the server's start, and those of them that were found."""

    asked: float
    found: float


def in_steps(agent: Agent, turns: Turns, known: Sequence[Passage], said: str) -> list[Message]:
    """What the appliance does; the summary is a digest."""
    history = _stepped(turns, lambda leaving: digest(leaving.memory, leaving.turns))
    return history.messages(agent, known, said)


def forgetting(agent: Agent, turns: Turns, known: Sequence[Passage], said: str) -> list[Message]:
    """The same steps without a summary of what has left."""
    return _stepped(turns, lambda leaving: "").messages(agent, known, said)


def _stepped(turns: Turns, memory: Callable[[Leaving], str]) -> History:
    history = History()
    for asked, heard, _ in turns:
        history.add(asked, heard)
        if (leaving := history.leaving()) is not None:
            history.remember(leaving, memory(leaving))
    return history


def each_turn(agent: Agent, turns: Turns, known: Sequence[Passage], said: str) -> list[Message]:
    """A window of eight turns that slides with each one, and forgets the others."""
    return _stepped(deque(turns, maxlen=WINDOW_TURNS), lambda leaving: "").messages(
        agent, known, said
    )


def passages_first(
    agent: Agent, turns: Turns, known: Sequence[Passage], said: str
) -> list[Message]:
    """Passages in the system message, as many retrieval chains do."""
    text = "\n".join(f"- {p.heading}: {p.text}" for p in known)
    return in_steps(replace(agent, prompt=f"{agent.prompt}\n{text}"), turns, (), said)


def passages_stay(agent: Agent, turns: Turns, known: Sequence[Passage], said: str) -> list[Message]:
    """Each turn keeps its passages: all is found again, and the prompt is four times as long."""
    history = History()
    for asked, heard, had in turns:
        alone = History().messages(agent, had, asked)[-1].content
        history.add(alone, heard)
    return history.messages(agent, known, said)


LAYOUTS: dict[str, Layout] = {
    "in steps (ours)": in_steps,
    "in steps, forgetting": forgetting,
    "slides each turn": each_turn,
    "passages in the system message": passages_first,
    "passages stay in the turns": passages_stay,
}


def _memory() -> Memory:
    drafts = drafts_of((SAMPLES / "sunrise-broadband.md").read_text("utf-8"))
    return Memory(
        [StoredPassage(str(n), "sample", d.heading, d.text, "en") for n, d in enumerate(drafts)]
    )


def _key() -> str:
    return os.environ.get("IVR_ENGINES__LLM__API_KEY", "")


async def _count(http: aiohttp.ClientSession, url: str) -> Count:
    async with http.get(f"{url}/metrics", headers=headers_of(_key())) as response:
        found = dict(COUNTER.findall(await response.text()))
    return Count(float(found["queries"]), float(found["hits"]))


async def _converse(
    writer: OpenAiWriter, server: Server, layout: Layout, agent: Agent, turns: int
) -> None:
    memory = _memory()
    past: list[tuple[str, str, Sequence[Passage]]] = [("", agent.greeting, ())]
    for number in range(turns):
        said = CALIBRATION[number % len(CALIBRATION)][0]
        known = memory.search(said, LIMIT)
        await writer.warm(server, layout(agent, past, known, said))  # one token: the prompt is all
        past.append((said, extract(said, known) or agent.unknown_answer, known))


async def measure(url: str, model: str, turns: int) -> dict[str, dict[str, float]]:
    """Per layout: tokens of a prompt, share found, tokens computed; means of a turn."""
    found = {}
    agent = sample_agent(SAMPLES)
    async with aiohttp.ClientSession() as http:
        pool = Pool("llm", (url,), http, lambda url: _key())
        await pool.check()
        settings = Llm(urls=(url,), model=model, api_key=_key(), priorities=True)
        writer = OpenAiWriter(pool, http, settings)
        for name, layout in LAYOUTS.items():
            fresh = replace(
                agent, prompt=f"{name} {token_hex(8)}\n{agent.prompt}"
            )  # finds nothing of others
            before = await _count(http, url)
            await _converse(writer, pool.servers[0], layout, fresh, turns)
            after = await _count(http, url)
            asked, hits = after.asked - before.asked, after.found - before.found
            found[name] = {
                "prompt_tokens": round(asked / turns, 1),
                "found": round(hits / asked, 3),
                "computed_tokens": round((asked - hits) / turns, 1),
            }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--model", required=True)
    parser.add_argument("--turns", type=int, default=12)
    options = parser.parse_args()
    found = asyncio.run(measure(options.url, options.model, options.turns))
    print(f"{'layout':<34}{'tokens':>8}{'found':>8}{'computed':>10}")
    for name, row in found.items():
        print(
            f"{name:<34}{row['prompt_tokens']:8.0f}{row['found']:8.0%}{row['computed_tokens']:10.0f}"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
