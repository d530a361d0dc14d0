"""``ivr ask``: what an agent would say to a question."""

from __future__ import annotations

import dataclasses

from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.ops.console import console_here, passage_line, plain, print_json
from appliance.review.asking import Asked, open_asker
from appliance.settings import Settings
from appliance.store.agents import load_agent
from appliance.store.database import answer


def ask(
    settings: Settings, agent_id: str, question: str, earlier: tuple[str, ...], *, as_json: bool
) -> None:
    """Ask, and show the answer with what it rests on and what the guard found. ``earlier``: what the
    caller said before, each answered first. Raises UserError."""
    if not question.strip():
        raise UserError("There is no question.")
    asked = answer(settings, lambda engine: _ask(engine, settings, agent_id, question, earlier))
    if as_json:
        print_json(dataclasses.asdict(asked))
    else:
        show(asked)


async def _ask(
    engine: AsyncEngine, settings: Settings, agent_id: str, question: str, earlier: tuple[str, ...]
) -> Asked:
    agent = await load_agent(engine, agent_id)
    if agent is None:
        raise UserError(f"There is no agent {agent_id!r}. `ivr numbers` shows who answers.")
    async with open_asker(engine, settings) as asker:
        talk: list[tuple[str, str]] = []
        for said in earlier:
            talk.append((said, (await asker.ask(agent, said, talk)).answer))
        return await asker.ask(agent, question, talk)


def show(asked: Asked) -> None:
    """The answer, its passages and the guard's findings."""
    console = console_here()
    console.print(Text(plain(asked.answer) or "(nothing)", "green"))
    if asked.stopped:
        console.print(Text(f"written   {plain(asked.written)}", "red"))
    for passage in asked.passages:
        console.print(Text(f"passage   {passage_line(passage)}", "cyan"))
    for finding in asked.findings:
        line = f"finding   {finding.rule} ({finding.severity}, {finding.action}): {finding.phrase}"
        console.print(Text(plain(line), "yellow"))
    if asked.failure:
        console.print(Text(f"trouble   {plain(asked.failure)}", "red"))
    versions = f"agent {asked.agent_version}, knowledge {asked.knowledge_version}"
    console.print(f"{asked.source}, {versions}, {asked.total_ms:.0f} ms", style="dim")
