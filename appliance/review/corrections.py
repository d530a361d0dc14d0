"""A reviewer's corrections: questions with their right answers, in a document of the knowledge base.

There is one document for each language (and each set of tags that agents are held to), in Markdown, so
that anybody can read and mend it by `ivr knowledge`.
"""

from __future__ import annotations

import asyncio
import re
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.engines.base import Embedder
from appliance.errors import UserError
from appliance.events import Agent
from appliance.knowledge import ingest
from appliance.knowledge.work import read_one
from appliance.languages import primary
from appliance.settings import Settings
from appliance.store.corrections import edit_document, hidden_headings, progress_of
from appliance.store.documents import AT_WORK, NewDocument, State
from appliance.turn.words import normal

TITLE = "# Corrections"
SOURCE = "corrections"
LONGEST_ANSWER_LETTERS = 1000
LONGEST_QUESTION_LETTERS = 300
WAIT_S = 60.0
"""For a background job that has taken the document up before us."""
LOOK_EVERY_S = 0.2
_OPENING_MARKUP = re.compile(r"^[#>*+\-\s|`~=]+")
_MARKUP = re.compile(r"[<>`\[\]|]")


async def correct(
    engine: AsyncEngine,
    settings: Settings,
    embedder: Embedder,
    agent: Agent,
    question: str,
    answer: str,
    by: str,
) -> str:
    """Have ``question`` answered by ``answer``, and put that in force as a new version of the agent's
    knowledge. Returns the name of the document that it stands in.

    Raises UserError: the agent has no knowledge base, an empty or too long text, a document that
    cannot be read or an embedding server that is away.
    """
    if not agent.knowledge:
        raise UserError(
            f"Agent {agent.id} has no knowledge base to correct. Change its prompt instead, and ask"
            " again with `ivr flags retest`."
        )
    question, answer = (
        _line(question, LONGEST_QUESTION_LETTERS),
        _line(answer, LONGEST_ANSWER_LETTERS),
    )
    language = _language(agent)
    name = "-".join(["corrections", language, *sorted(agent.knowledge_tags)]) + ".md"
    new = NewDocument(
        name, b"", "text/markdown", SOURCE, tuple(sorted(agent.knowledge_tags)), language, by
    )
    added = await edit_document(
        engine, agent.knowledge, new, lambda content: with_entry(content, question, answer)
    )
    if added.outcome != "unchanged":
        await _read(engine, settings, embedder, added.document_id)
    await ingest.publish(engine, agent.knowledge)
    if question in await hidden_headings(engine, added.document_id):
        raise UserError(
            f"The correction reads like orders to a language model, and is kept out of searches."
            f" Put it in other words; it stands in {name}."
        )
    return name


async def _read(
    engine: AsyncEngine, settings: Settings, embedder: Embedder, document_id: int
) -> None:
    """Read the document now, or wait for the job that does."""
    options = ingest.options_of(settings.knowledge)
    until = monotonic() + WAIT_S
    while monotonic() < until:
        outcome = await read_one(engine, embedder, options, document_id)
        if outcome is not None and outcome.state in (State.FAILED, State.REFUSED):
            raise UserError(f"The correction is stored, and not yet in force: {outcome.error}")
        now = await progress_of(engine, document_id)
        if now is None or now.state in (State.FAILED, State.REFUSED, State.REMOVED):
            why = now.error if now and now.error else "somebody has removed it"
            raise UserError(f"The correction is not in force: {why}")
        if now.state not in (State.WAITING, *AT_WORK):
            return
        await asyncio.sleep(LOOK_EVERY_S)
    raise UserError(
        "The correction is stored, and will be in force when `ivr jobs` has read it. Ask again then:"
        " `ivr flags retest`."
    )


def _language(agent: Agent) -> str:
    """Of the document: one that this agent looks at."""
    own = primary(agent.language)
    looked_at = [primary(code) for code in agent.knowledge_languages]
    return own if own in looked_at or not looked_at else looked_at[0]


def _line(text: str, longest: int) -> str:
    """``text`` on one line, without what Markdown or HTML would take for markup."""
    line = _MARKUP.sub(" ", " ".join(text.split()))
    line = _OPENING_MARKUP.sub("", " ".join(line.split())).strip()
    if not normal(line):
        raise UserError("A correction needs words: both the question and its right answer.")
    if len(line) > longest:
        raise UserError(f"That is too long: {len(line)} letters of at most {longest}.")
    return line


def entries(content: bytes) -> dict[str, str]:
    """The corrections of a document: question -> answer, in order."""
    found: dict[str, str] = {}
    question = ""
    for line in content.decode("utf-8", "replace").splitlines():
        if line.startswith("## "):
            question = line.removeprefix("## ").strip()
        elif question and line.strip():
            found[question] = f"{found.get(question, '')} {line.strip()}".strip()
    return found


def with_entry(content: bytes, question: str, answer: str) -> bytes:
    """``content`` with this correction: in the place of an earlier one of the same question."""
    wanted = normal(question)
    kept = {q: a for q, a in entries(content).items() if normal(q) != wanted}
    kept[question] = answer
    parts = [TITLE, *(f"## {q}\n\n{a}" for q, a in kept.items())]
    return ("\n\n".join(parts) + "\n").encode()
