"""The review loop: look at a flag, decide, mend what was wrong, and have the question asked again.

Plain functions for `ivr flags` and for the console; each is one request. Who decides is a name that the
caller of these functions vouches for.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent, CallRecord, Flag, Severity, Turn
from appliance.knowledge.rewriting import rewrite
from appliance.review.asking import Asker, answered, open_asker
from appliance.review.corrections import correct
from appliance.review.places import Place, heard_phrases
from appliance.safety.findings import Action, Finding
from appliance.safety.flags import flag_of_turn
from appliance.settings import Settings
from appliance.store import flags as store
from appliance.store.agents import load_agent
from appliance.store.cached_answers import withdraw_text
from appliance.store.calls import read_call, read_past
from appliance.store.database import Also, nothing_else
from appliance.store.flags import BY_GOLDEN, Answered, FlagState, Retest, ReviewedFlag
from appliance.store.rules_of_site import edit_rule, get_rule, set_enabled

SITE_RULE = re.compile(r"site\.(\d{1,18})")
EARLIER_TURNS = 16
"""Asked again with so many turns before it: what is in the prompt of a call."""


@dataclass(frozen=True, slots=True)
class FlagView:
    """A flag with all that a reviewer needs to decide."""

    reviewed: ReviewedFlag
    call: CallRecord | None
    """None for a golden question, or when its row was erased."""
    turn: Turn | None
    earlier: tuple[tuple[str, str], ...]
    """The turns before it: (said, heard)."""
    recording: str
    """Relative to the recordings folder; empty: none."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and what came of it."""

    reviewed: ReviewedFlag
    withdrawn: int
    """Cached answers that are no longer said."""


async def show(engine: AsyncEngine, prefix: str) -> FlagView:
    """The flag whose id begins with ``prefix``, with its turn. Raises UserError."""
    reviewed = await store.read_flag(engine, prefix)
    flag = reviewed.flag
    past = await read_past(engine, flag.call_id) if flag.call_id else None
    if past is None:
        return FlagView(reviewed, None, None, (), "")
    call, turns = past
    turn = next((turn for turn in turns if turn.index == flag.turn), None)
    earlier = tuple(
        (turn.said, turn.heard)
        for turn in turns
        if turn.index < flag.turn and (turn.said or turn.heard)
    )
    return FlagView(reviewed, call, turn, earlier[-EARLIER_TURNS:], call.recording)


async def confirm(
    engine: AsyncEngine,
    prefix: str,
    by: str,
    note: str = "",
    *,
    seen: FlagState = "open",
    also: Also = nothing_else,
) -> Decided:
    """It was wrong: what was said is answered from no cache any more.

    Raises DecidedMeanwhileError when somebody else has decided since it was ``seen``.
    """
    flag = (await store.read_flag(engine, prefix)).flag
    reviewed = await store.decide(engine, flag.id, "confirmed", by, note, seen=seen, also=also)
    withdrawn = 0
    if flag.side == "agent":
        withdrawn = await withdraw_text(engine, flag.agent_id, flag.phrase, flag.answer)
    return Decided(reviewed, withdrawn)


async def dismiss(
    engine: AsyncEngine,
    prefix: str,
    by: str,
    note: str = "",
    *,
    seen: FlagState = "open",
    also: Also = nothing_else,
) -> Decided:
    """Nothing was wrong. Raises DecidedMeanwhileError."""
    flag = (await store.read_flag(engine, prefix)).flag
    reviewed = await store.decide(engine, flag.id, "dismissed", by, note, seen=seen, also=also)
    return Decided(reviewed, 0)


async def reopen(
    engine: AsyncEngine,
    prefix: str,
    by: str,
    note: str = "",
    *,
    seen: FlagState | None = None,
    also: Also = nothing_else,
) -> Decided:
    """To be decided again; ``seen``: how it stood, if the reviewer has looked."""
    now = await store.read_flag(engine, prefix)
    reviewed = await store.decide(
        engine, now.flag.id, "open", by, note, seen=seen or now.state, also=also
    )
    return Decided(reviewed, 0)


async def flag_turn(
    engine: AsyncEngine,
    call_prefix: str,
    index: int,
    by: str,
    note: str = "",
    severity: Severity = "medium",
    *,
    also: Also = nothing_else,
) -> ReviewedFlag:
    """A person says that an answer was wrong, which no rule has found. ``also``: written with it.
    Raises UserError."""
    call, turns = await read_call(engine, call_prefix)
    turn = next((turn for turn in turns if turn.index == index), None)
    if turn is None or not turn.heard:
        raise UserError(f"Call {call.call_id[:8]} has no answer in turn {index}.")
    following = next((turn for turn in turns if turn.index > index), None)
    agent = await load_agent(engine, call.agent_id, call.agent_version)
    phrases = heard_phrases(turn, following)
    place = (
        Place(phrases[0].place.begin_ms, phrases[-1].place.end_ms) if phrases else Place(None, None)
    )
    flag = flag_of_turn(
        Finding("person", "wrong", severity, "flag", turn.heard),
        turn,
        agent or Agent(call.agent_id, call.agent_version, ""),
        found_by="person",
        at=datetime.now(UTC),
        phrase=turn.heard,
        place=(place.begin_ms, place.end_ms),
    )
    async with engine.begin() as connection:
        await store.add_flags(connection, [flag])
        await also(connection)
    if note:
        return await store.decide(engine, flag.id, "open", by, note)
    return await store.read_flag(engine, flag.id)


async def retest(engine: AsyncEngine, settings: Settings, prefix: str, by: str) -> ReviewedFlag:
    """Ask the flag's question again, of the agent and the knowledge as they are now, and keep the
    answer beside the one that was flagged. Raises UserError: nothing was asked, the agent is gone."""
    view = await show(engine, prefix)
    agent = await _agent(engine, view)
    async with open_asker(engine, settings) as asker:
        return await _ask_again(engine, asker, view, agent, by, "")


async def fix_answer(
    engine: AsyncEngine, settings: Settings, prefix: str, answer: str, by: str, question: str = ""
) -> ReviewedFlag:
    """Correct the knowledge: this question (by default the flag's, made whole by what was said before)
    has this answer from now on; then ask it again. Raises UserError."""
    view = await show(engine, prefix)
    agent = await _agent(engine, view)
    whole = question or rewrite(view.reviewed.flag.question, view.earlier, agent.language)
    async with open_asker(engine, settings) as asker:
        name = await correct(engine, settings, asker.embedder, agent, whole, answer, by)
        agent = await _agent(engine, view)  # with the new version of its knowledge
        fix = f"{whole}: {answer} ({name}, version {agent.knowledge_version})"
        return await _ask_again(engine, asker, view, agent, by, fix)


async def fix_rule(
    engine: AsyncEngine,
    settings: Settings,
    prefix: str,
    by: str,
    text: str = "",
    *,
    also: Also = nothing_else,
) -> ReviewedFlag:
    """Give the site's rule that raised a flag another text, or (empty) switch it off; then ask the
    question again under the rules as they are then. Raises UserError: a built-in rule."""
    view = await show(engine, prefix)
    agent = await _agent(engine, view)
    rule = view.reviewed.flag.rule
    if not (found := SITE_RULE.fullmatch(rule)):
        raise UserError(
            f"{rule} is no rule of the site's own, and cannot be changed here. An agent's guard_checks"
            " and grounding say which of the built-in ones it is under."
        )
    number = int(found[1])
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: _change_rule(sync, number, text))
        await also(connection)
    fix = f"rule {number} now: {text}" if text else f"rule {number} switched off"
    async with open_asker(engine, settings) as asker:
        return await _ask_again(engine, asker, view, agent, by, fix)


def _change_rule(connection: Connection, number: int, text: str) -> None:
    if not text:
        set_enabled(connection, number, False)
        return
    kept = get_rule(connection, number)
    edit_rule(connection, dataclasses.replace(kept.rule, text=text), kept.note)


async def _agent(engine: AsyncEngine, view: FlagView) -> Agent:
    flag = view.reviewed.flag
    if not flag.question:
        raise UserError(
            f"Flag {flag.id[:8]} belongs to no question: there is nothing to ask again."
        )
    agent = await load_agent(engine, flag.agent_id)
    if agent is None:
        raise UserError(f"There is no agent {flag.agent_id!r} any more to be asked again.")
    return agent


async def _ask_again(
    engine: AsyncEngine, asker: Asker, view: FlagView, agent: Agent, by: str, fix: str
) -> ReviewedFlag:
    flag = view.reviewed.flag
    asked = await asker.ask(agent, flag.question, view.earlier)
    kept = Retest(datetime.now(UTC), by, fix, _before(view), answered(asked, flag.side))
    return await store.keep_retest(engine, flag.id, kept)


def _before(view: FlagView) -> Answered:
    """The answer that was flagged."""
    flag, known = view.reviewed.flag, view.reviewed.retest
    if known is not None:  # a golden question's flag is born with the answer before it
        return known.after if known.by == BY_GOLDEN else known.before
    turn = view.turn
    return Answered(
        answer=turn.heard if turn else flag.answer,
        source=turn.source if turn else "llm",
        passages=turn.passages if turn else (),
        findings=(_finding(flag),),
        agent_version=flag.agent_version,
        knowledge_version=flag.knowledge_version,
    )


def _finding(flag: Flag) -> Finding:
    action: Action = "stop" if flag.action == "stopped" else "flag"
    return Finding(flag.rule, flag.category, flag.severity, action, flag.phrase)
