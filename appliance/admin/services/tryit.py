"""Trying an agent: a call from the console, spoken or typed, on its draft or its version in force."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.live.state import CallState, Line
from appliance.admin.services.theirs import agent_tenant
from appliance.admin.tryit.trial import TestCall
from appliance.errors import UserError
from appliance.events import Agent, Flag, Turn
from appliance.store.agents import load_agent
from appliance.store.drafts import load_draft

TELEPHONE_HZ, WIDEBAND_HZ = 8000, 16000
FOLLOW_S = 5.0
"""So often at least somebody who follows a call is told of it, and known to be there."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A test call that begins."""

    call_id: str
    agent_id: str
    version: int
    """0: the draft."""
    language: str
    rate_hz: int
    answer: str
    """SDP for the browser; empty: typing only."""


@dataclass(frozen=True, slots=True)
class Trying:
    """A test call as it stands."""

    call_id: str
    agent_id: str
    agent_name: str
    version: int
    draft: bool
    language: str
    state: CallState
    state_at: float
    """Unix seconds since when."""
    hearing: str
    """What is being said to the agent, so far."""
    lines: tuple[Line, ...]
    """The transcript; lines whose ``turn`` is 0 may still change."""
    turns: tuple[Turn, ...]
    """Those that are over: times of the stages, passages, what went wrong."""
    flags: tuple[Flag, ...]
    """What the guard found; they are in no review queue."""
    transfer_to: str
    """Whom a caller would have been connected to."""
    has_sound: bool
    is_over: bool
    cause: str
    """Q.850 words; empty while it lives."""
    ended_by: str
    trouble: str
    """Why it could not be, in one sentence."""


async def begin(
    console: Console,
    actor: Actor,
    agent_id: str,
    *,
    draft: bool = False,
    sdp: str | None = None,
    wideband: bool = False,
) -> Begun:
    """Call the agent: with a browser's offer of sound (SDP), or to type only.

    Raises NotFoundError, UserError (no draft, a draft that is no agent yet, no room, no worker).
    """
    _require(actor)
    tenant = await agent_tenant(console, actor, agent_id)
    agent = await _agent(console, agent_id, draft)
    if agent.bot_url and sdp is None:
        raise UserError("An external bot answers for this agent: it hears sound alone. Call it.")
    rate_hz = WIDEBAND_HZ if wideband else TELEPHONE_HZ
    call, answer = await console.test_calls.begin(
        console.settings, console.engine, console.http, actor, agent_id,
        draft=draft, sdp=sdp, rate_hz=rate_hz,
    )  # fmt: skip
    detail = {"call_id": call.trial.call_id, "draft": draft, "version": agent.version}
    try:
        async with console.engine.begin() as connection:
            await audit.append(connection, actor, "agent.try", agent_id, detail, tenant)
    except BaseException:
        await call.close()  # nothing goes on that is not in the log
        raise
    return Begun(
        call.trial.call_id, agent_id, agent.version, agent.language, rate_hz, answer
    )  # fmt: skip


async def look(console: Console, actor: Actor, call_id: str) -> Trying:
    """The call as it stands; also a sign that somebody is there. Raises NotFoundError."""
    call = _call(console, actor, call_id)
    call.touch()
    return _trying(call)


async def follow(console: Console, actor: Actor, call_id: str) -> AsyncIterator[Trying]:
    """The call now and whenever something has happened, to its end. Raises NotFoundError."""
    call = _call(console, actor, call_id)
    while True:
        call.touch()
        over = call.is_over
        yield _trying(call)
        if over:
            return
        await call.change(FOLLOW_S)


async def say(console: Console, actor: Actor, call_id: str, text: str) -> None:
    """A whole turn in writing, as if it had been said. Raises NotFoundError, UserError."""
    call = _call(console, actor, call_id)
    call.touch()
    call.type(text)


async def press(console: Console, actor: Actor, call_id: str, digit: str) -> None:
    """A key of the telephone. Raises NotFoundError, UserError."""
    call = _call(console, actor, call_id)
    call.touch()
    call.press(digit)


async def hang_up(console: Console, actor: Actor, call_id: str) -> Trying:
    """End the call. Raises NotFoundError."""
    call = _call(console, actor, call_id)
    await call.close()
    return _trying(call)


def _require(actor: Actor) -> None:
    actor.require(Permission.AGENTS_TRY)
    actor.require(Permission.AGENTS_READ)


def _call(console: Console, actor: Actor, call_id: str) -> TestCall:
    _require(actor)
    return console.test_calls.of(actor, call_id)


async def _agent(console: Console, agent_id: str, draft: bool) -> Agent:
    if draft:
        try:
            found = await load_draft(console.engine, agent_id)
        except UserError as e:
            raise UserError(f"The draft cannot be tried yet: {e}") from e
        if found is None:
            raise UserError("This agent has no draft. Edit it first, or try the version in force.")
        return found
    found = await load_agent(console.engine, agent_id)
    if found is None:
        raise NotFoundError("No version of this agent is published yet. Try its draft.")
    return found


def _trying(call: TestCall) -> Trying:
    live, trial = call.progress.call, call.trial
    return Trying(
        call_id=trial.call_id,
        agent_id=trial.agent,
        agent_name=live.agent_name,
        version=live.agent_version,
        draft=trial.draft,
        language=live.language,
        state=CallState.ENDED if call.is_over else live.state,
        state_at=live.state_at,
        hearing=live.hearing,
        lines=live.lines,
        turns=call.progress.turns,
        flags=call.progress.flags,
        transfer_to=call.transfer_to,
        has_sound=call.has_sound,
        is_over=call.is_over,
        cause=live.cause,
        ended_by=live.ended_by,
        trouble=call.trouble,
    )
