"""Calls in progress: who may see them, listen, and step in. What is done is in the audit log first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.live.gaps import percentile
from appliance.admin.live.state import CallState
from appliance.admin.live.subscription import Listener, Subscription
from appliance.admin.live.switch import NOT_RUNNING, ask_switch
from appliance.admin.live.view import LiveCallView
from appliance.admin.live.workers import WorkerLink
from appliance.errors import UserError

NO_CALL = "There is no such call now; it may have ended."
LOOKS_ONLY = "Your role may look, not act; ask an administrator."
NO_LISTENING = "Your role may read, not listen; ask an administrator."
ENDED = "The call is over."
NO_AGENT_YET = "No agent has the call yet."
A_PERSON_HAS_IT = "A person has the call, not the agent."
A_BOT_HAS_IT = "An external bot has the call: it cannot be told anything."
NOBODY_TO_COACH = "Only where a person has the call; tell the agent in writing."
WORKER_AWAY = "Its worker does not answer now."

Mode = Literal["listen", "whisper", "take-over"]
_WITH_AGENT = frozenset(
    {CallState.RINGING, CallState.LISTENING, CallState.THINKING, CallState.SPEAKING, CallState.HOLD,
     CallState.TRANSFERRING, CallState.BOT}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Controls:
    """What may be done with a call now: for each an empty string, or why it cannot be."""

    listen: str
    """In the browser."""
    ring_listen: str
    """By a telephone that rings."""
    whisper: str
    """To the person who has the call, by telephone."""
    take_over: str
    say: str
    """Tell the agent something in writing."""
    transfer: str
    hang_up: str


@dataclass(frozen=True, slots=True)
class Board:
    """The numbers above the calls."""

    live: int
    waiting: int
    """Callers who hold for a place."""
    with_person: int
    gap_p50_ms: int | None
    gap_p95_ms: int | None
    gaps: int
    """Answers of the last 15 minutes that those are of, as seen by this console."""
    workers: int
    workers_watched: int


async def list_calls(console: Console, actor: Actor) -> tuple[LiveCallView, ...]:
    """Calls in progress, the longest first."""
    actor.require(Permission.LIVE_READ)
    return console.live.snapshot(actor)


async def read_call(console: Console, actor: Actor, call_id: str) -> LiveCallView:
    """One call in progress. Raises NotFoundError."""
    actor.require(Permission.LIVE_READ)
    view = console.live.look(call_id, actor)
    if view is None:
        raise NotFoundError(NO_CALL)
    return view


async def board(console: Console, actor: Actor) -> Board:
    """How many, and how quick."""
    actor.require(Permission.LIVE_READ)
    calls = [call for call in console.live.snapshot(actor) if call.state is not CallState.ENDED]
    gaps = console.live.recent_gaps(actor)
    workers = console.live.workers()
    return Board(
        live=len(calls),
        waiting=sum(call.state is CallState.WAITING for call in calls),
        with_person=sum(call.state is CallState.PERSON for call in calls),
        gap_p50_ms=percentile(gaps, 0.5),
        gap_p95_ms=percentile(gaps, 0.95),
        gaps=len(gaps),
        workers=len(workers),
        workers_watched=sum(workers.values()),
    )


@asynccontextmanager
async def following(
    console: Console, actor: Actor, call_id: str | None = None
) -> AsyncIterator[Subscription]:
    """What changes, of all calls or of one with its words under way."""
    actor.require(Permission.LIVE_READ)
    async with console.live.subscribe(actor, call_id) as changes:
        yield changes


@asynccontextmanager
async def listening(console: Console, actor: Actor, call_id: str) -> AsyncIterator[Listener]:
    """Both sides' sound, for as long as the block lasts. Raises NotFoundError, UserError."""
    actor.require(Permission.LIVE_LISTEN)
    view = await read_call(console, actor, call_id)
    _allowed(controls(console, actor, view).listen)
    await _note(console, actor, "live.listen", view, {"by": "browser"})
    async with console.live.listen(actor, call_id) as sound:
        yield sound


def controls(console: Console, actor: Actor, view: LiveCallView) -> Controls:
    """What ``actor`` may do with a call now."""
    may_act = "" if actor.may(Permission.LIVE_ACT) else LOOKS_ONLY
    may_listen = "" if actor.may(Permission.LIVE_LISTEN) else NO_LISTENING
    over = ENDED if view.state is CallState.ENDED else ""
    phone = over or ("" if view.on_switch else NOT_RUNNING)
    agent = over or _with_agent(view)
    reached = "" if _reaches(console, view) else WORKER_AWAY
    person = "" if view.state is CallState.PERSON else NOBODY_TO_COACH
    bot = A_BOT_HAS_IT if view.state is CallState.BOT else ""
    return Controls(
        listen=may_listen or agent or ("" if _link(console, view) else WORKER_AWAY),
        ring_listen=may_listen or phone,
        whisper=may_act or phone or person,
        take_over=may_act or phone or agent,
        say=may_act or agent or bot or reached,
        transfer=may_act or phone or (A_PERSON_HAS_IT if not person else ""),
        hang_up=may_act or over or reached,
    )


async def say(console: Console, actor: Actor, call_id: str, text: str) -> None:
    """Tell the agent something, for its replies from now on; the caller does not hear it."""
    view = await _may(console, actor, call_id)
    text = " ".join(text.split())
    if not text:
        raise UserError("There is nothing to tell: write a line first.")
    _allowed(controls(console, actor, view).say)
    await _note(console, actor, "live.say", view, {"letters": len(text)})
    if view.on_switch:
        await _switch(console, view, "whisper", {"text": text})
    else:
        await _worker(console, view).whisper(call_id, text)


async def hang_up(console: Console, actor: Actor, call_id: str) -> None:
    """End the call."""
    view = await _may(console, actor, call_id)
    _allowed(controls(console, actor, view).hang_up)
    await _note(console, actor, "live.hangup", view, {})
    if view.on_switch:
        await _switch(console, view, "hangup", {})
    else:
        await _worker(console, view).hang_up(call_id)


async def transfer(
    console: Console, actor: Actor, call_id: str, to: str, mode: Literal["attended", "blind"]
) -> None:
    """Send the caller to a queue, an extension or a number."""
    view = await _may(console, actor, call_id)
    _allowed(controls(console, actor, view).transfer)
    if not to.strip():
        raise UserError("Say to whom: queue:NAME, an extension or a number.")
    await _note(console, actor, "live.transfer", view, {"to": to.strip(), "mode": mode})
    await _switch(console, view, "transfer", {"to": to.strip(), "mode": mode})


async def supervise(
    console: Console, actor: Actor, call_id: str, extension: str, mode: Mode
) -> None:
    """Ring ``extension`` and connect it: to listen, to be heard by the person who has the call, or to
    take the caller over."""
    actor.require(Permission.LIVE_LISTEN if mode == "listen" else Permission.LIVE_ACT)
    view = await read_call(console, actor, call_id)
    may = controls(console, actor, view)
    _allowed({"listen": may.ring_listen, "whisper": may.whisper, "take-over": may.take_over}[mode])
    if not extension.strip():
        raise UserError("Say which telephone is to ring: an extension such as 2001.")
    detail = {"extension": extension.strip(), "mode": mode}
    await _note(console, actor, f"live.{mode}", view, detail)
    await _switch(console, view, "supervise", detail)


# --- inside ---------------------------------------------------------------------------------------


async def _may(console: Console, actor: Actor, call_id: str) -> LiveCallView:
    actor.require(Permission.LIVE_ACT)
    return await read_call(console, actor, call_id)


def _with_agent(view: LiveCallView) -> str:
    if view.state is CallState.PERSON:
        return A_PERSON_HAS_IT
    if view.state is CallState.LOST:
        return WORKER_AWAY
    return "" if view.state in _WITH_AGENT and view.worker else NO_AGENT_YET


def _link(console: Console, view: LiveCallView) -> WorkerLink | None:
    link = console.live.link(view.worker)
    return link if link is not None and link.is_up else None


def _reaches(console: Console, view: LiveCallView) -> bool:
    return view.on_switch or _link(console, view) is not None


def _worker(console: Console, view: LiveCallView) -> WorkerLink:
    link = _link(console, view)
    if link is None:
        raise UserError(WORKER_AWAY)
    return link


def _allowed(why_not: str) -> None:
    if why_not:
        raise UserError(why_not)


async def _switch(console: Console, view: LiveCallView, verb: str, body: dict[str, Any]) -> None:
    path = f"/v1/calls/{view.call_id}/{verb}"
    if await ask_switch(console.settings, console.http, "POST", path, body) is None:
        raise UserError(NOT_RUNNING)


async def _note(
    console: Console, actor: Actor, action: str, view: LiveCallView, detail: dict[str, Any]
) -> None:
    """Before it is done: what cannot be written down is not done."""
    async with console.engine.begin() as connection:
        about = {"agent": view.agent_id, **detail}
        await audit.append(connection, actor, action, view.call_id, about, view.tenant)
