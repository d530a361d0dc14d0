"""Golden questions, answered by two releases: what the new one says worse is found before the switch.

Each release asks with its own code, one after the other, against the servers and the database of the
box; Postgres is told that both may read only. Nothing is kept of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent, Passage
from appliance.ops.console import print_json
from appliance.ops.releases.laying import run_ivr
from appliance.ops.releases.release import Place
from appliance.ops.releases.scratch import READ_ONLY
from appliance.review.asking import Asked, Asker, open_asker
from appliance.review.likeness import Said, cosine, has_changed, holds
from appliance.settings import Settings
from appliance.store.agents import load_agent
from appliance.store.database import answer
from appliance.store.golden import list_questions

MOST_ASKED = 200
QUESTION_S = 30.0
RUN_S = 600.0
"""Of one release: what is not asked by then is left out."""
MARGIN_S = 120.0
GOOD = "same"


@dataclass(frozen=True, slots=True)
class Answer:
    """One golden question, as one release answers it."""

    question: int
    """Its number."""
    agent: str
    text: str
    answer: str
    source: str
    verdict: str
    """``same`` is good; ``failed``, ``stopped``, ``wrong``, ``changed`` are not."""
    why: str
    passages: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Regression:
    """An answer that was good and is not any more."""

    question: int
    agent: str
    text: str
    verdict: str
    before: str
    now: str


# --- in the release that is asked -----------------------------------------------------------------


def print_answers(settings: Settings, against: Path | None) -> None:
    """``ivr releases replay``: ask, and print one JSON object. ``against``: what another release
    answered, as this printed it. Raises UserError."""
    before = {one.question: one for one in _read(against)} if against else {}
    answers = answer(settings, lambda engine: _ask_all(engine, settings, before))
    print_json({"answers": [asdict(one) for one in answers]})


async def _ask_all(
    engine: AsyncEngine, settings: Settings, before: dict[int, Answer]
) -> list[Answer]:
    questions = (await list_questions(engine, "", enabled_only=True))[:MOST_ASKED]
    if not questions:
        return []
    answers, until = [], time.monotonic() + RUN_S
    async with open_asker(engine, settings) as asker:
        for one in questions:
            agent = await load_agent(engine, one.agent_id)
            if agent is None or time.monotonic() > until:
                continue
            asked = await _ask(asker, agent, one.question)
            verdict, why = await _verdict(asker, agent, asked, one.expected, before.get(one.id))
            passages = tuple(asdict(passage) for passage in asked.passages)
            answers.append(
                Answer(
                    one.id,
                    agent.id,
                    one.question,
                    asked.answer,
                    asked.source,
                    verdict,
                    why,
                    passages,
                )
            )
    return answers


async def _ask(asker: Asker, agent: Agent, question: str) -> Asked:
    try:
        async with asyncio.timeout(QUESTION_S):
            return await asker.ask(agent, question)
    except TimeoutError:
        return Asked.failed(agent, question, "there was no answer in time")


async def _verdict(
    asker: Asker, agent: Agent, asked: Asked, expected: str, before: Answer | None
) -> tuple[str, str]:
    """The gravest that is true of it."""
    if asked.failure:
        return "failed", asked.failure
    if asked.stopped:
        return "stopped", "the guard put the safe phrase in its place"
    if expected and not holds(asked.answer, expected, agent.language):
        return "wrong", f"it does not hold {expected!r}"
    if before is None or before.verdict != GOOD:
        return GOOD, ""
    similarity = await cosine(asker.embedder, before.answer, asked.answer)
    passages = tuple(Passage(**passage) for passage in before.passages)
    said = Said(before.answer, before.source, passages)  # type: ignore[arg-type]  # as it was printed
    now = Said(asked.answer, asked.source, asked.passages)
    changed = has_changed(said, now, similarity, agent.language)
    return ("changed", "it says something else") if changed else (GOOD, "")


def _read(file: Path) -> list[Answer]:
    try:
        told = orjson.loads(file.read_bytes())["answers"]
        return [Answer(**one | {"passages": tuple(one["passages"])}) for one in told]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"{file} holds no answers of `ivr releases replay`: {e}.") from e


# --- in the release that upgrades -----------------------------------------------------------------


def compare(before: Sequence[Answer], now: Sequence[Answer]) -> tuple[Regression, ...]:
    """What was good and is not."""
    good = {one.question: one for one in before if one.verdict == GOOD}
    return tuple(
        Regression(
            one.question, one.agent, one.text, one.verdict, good[one.question].answer, one.answer
        )
        for one in now
        if one.question in good and one.verdict != GOOD
    )


def replay(
    place: Place, settings: Settings, old: str, new: str, folder: Path
) -> tuple[int, tuple[Regression, ...]]:
    """Ask both, with files in ``folder``; how many questions, and what is worse. Raises UserError
    where one cannot be asked."""
    before, after = folder / "before.json", folder / "after.json"
    before.write_text(_answers(place, settings, old))
    then = _read(before)
    if not then:
        return 0, ()
    after.write_text(_answers(place, settings, new, "--against", str(before)))
    return len(then), compare(then, _read(after))


def _answers(place: Place, settings: Settings, release: str, *more: str) -> str:
    said = run_ivr(
        place.ivr(release), "releases", "replay", "--json", *more,
        timeout_s=RUN_S + MARGIN_S, environment=READ_ONLY, owner_of=settings.data_dir,
    )  # fmt: skip
    return said.splitlines()[-1] if said.strip() else ""
