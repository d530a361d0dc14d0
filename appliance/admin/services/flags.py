"""The review queue: what was found, and what people decide. What they mend: ``flag_fixes``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.errors import UserError
from appliance.events import Severity
from appliance.review import flags as review
from appliance.review.flags import SITE_RULE, Decided, FlagView
from appliance.store import flags as store
from appliance.store.calls import read_past
from appliance.store.database import Also
from appliance.store.flags import FlagCount, FlagState, ReviewedFlag, Wanted
from appliance.store.rules_of_site import KeptRule, get_rule
from appliance.store.tenancy import tenant_of_agent

MOST_FLAGS = 200
"""Of one page."""
MOST_COUNTED = 10_000
TREND_DAYS = 30
LONGEST_ID_LETTERS = 128


@dataclass(frozen=True, slots=True)
class Queue:
    """A page of flags."""

    flags: tuple[ReviewedFlag, ...]
    total: int
    """Counted up to 10 000."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A flag with all that a reviewer needs to decide, and what they may do about it."""

    view: FlagView
    rule: KeptRule | None
    """The site's own rule that raised it, where there is one still."""
    may_change_rule: bool
    may_listen: bool
    """There is a place in a recording, and the actor may hear it."""


async def queue(
    console: Console, actor: Actor, wanted: Wanted, *, limit: int = 50, offset: int = 0
) -> Queue:
    """Flags of the actor's tenant, the gravest first and of equals the newest."""
    actor.require(Permission.FLAGS_READ)
    mine = replace(wanted, tenant=actor.tenant)
    limit, offset = min(max(limit, 1), MOST_FLAGS), min(max(offset, 0), MOST_COUNTED)
    found = await store.list_flags(console.engine, mine, limit=limit, offset=offset)
    total = await store.count_matching(console.engine, mine, MOST_COUNTED)
    return Queue(tuple(found), total)


async def counts(console: Console, actor: Actor, wanted: Wanted) -> list[FlagCount]:
    """How many flags each day had, by agent, rule, severity and state: of the last 30 days where
    ``wanted`` says no time. Days are those of ``switch.timezone``."""
    actor.require(Permission.FLAGS_READ)
    since = wanted.since or datetime.now(UTC) - timedelta(days=TREND_DAYS)
    mine = replace(wanted, tenant=actor.tenant, since=since)
    return await store.count_flags(console.engine, mine, console.settings.switch.timezone)


async def show(console: Console, actor: Actor, flag_id: str) -> Shown:
    """One flag. Raises NotFoundError."""
    actor.require(Permission.FLAGS_READ)
    flag = (await their_flag(console, actor, flag_id)).flag
    view = await review.show(console.engine, flag.id)
    rule = await site_rule(console, actor, flag.rule)
    has_place = bool(view.recording) and flag.begin_ms is not None and flag.end_ms is not None
    return Shown(
        view,
        rule,
        rule is not None and may_change(actor, rule),
        has_place and actor.may(Permission.RECORDINGS_LISTEN),
    )


async def decide(
    console: Console,
    actor: Actor,
    flag_id: str,
    state: FlagState,
    note: str = "",
    *,
    seen: FlagState = "open",
) -> Decided:
    """Confirm, dismiss or reopen (``open``) a flag that the actor has ``seen`` in that state.

    Raises NotFoundError, DecidedMeanwhileError.
    """
    actor.require(Permission.FLAGS_DECIDE)
    flag = (await their_flag(console, actor, flag_id)).flag
    work = {"confirmed": review.confirm, "dismissed": review.dismiss, "open": review.reopen}[state]
    also = await logged(console, actor, flag.agent_id, f"flag.{_VERBS[state]}", flag.id)
    return await work(console.engine, flag.id, actor.name, note, seen=seen, also=also)


_VERBS: dict[FlagState, str] = {"confirmed": "confirm", "dismissed": "dismiss", "open": "reopen"}


async def flag_turn(
    console: Console,
    actor: Actor,
    call_id: str,
    turn: int,
    note: str = "",
    severity: Severity = "medium",
) -> ReviewedFlag:
    """Put an answer of a call into the queue, which no rule has found. Raises NotFoundError; UserError:
    there is no answer in that turn."""
    actor.require(Permission.FLAGS_DECIDE)
    agent_id = await _agent_of_call(console, actor, call_id)
    also = await logged(console, actor, agent_id, "flag.add", call_id, {"turn": turn})
    return await review.flag_turn(
        console.engine, call_id, turn, actor.name, note, severity, also=also
    )


async def their_flag(console: Console, actor: Actor, flag_id: str) -> ReviewedFlag:
    """A flag of the actor's tenant, by its whole id. Raises NotFoundError."""
    found = None
    if flag_id and "\0" not in flag_id and len(flag_id) <= LONGEST_ID_LETTERS:
        found = await store.find_flag(console.engine, flag_id, actor.tenant)
    if found is None:
        raise NotFoundError("There is no such flag.")
    return found


async def filters(console: Console, actor: Actor) -> dict[str, list[str]]:
    """What the queue can be narrowed to: agents, rules and categories that flags have."""
    actor.require(Permission.FLAGS_READ)
    return await store.kinds_of_flags(console.engine, actor.tenant)


def may_change(actor: Actor, rule: KeptRule) -> bool:
    """Whether a rule is the actor's to change: those for every agent are the operator's."""
    return actor.may(Permission.RULES_EDIT) and (bool(rule.rule.agent_id) or actor.tenant is None)


async def site_rule(console: Console, actor: Actor, name: str) -> KeptRule | None:
    """The rule of the site of that name (``site.12``), as far as the actor may know of it."""
    if not (found := SITE_RULE.fullmatch(name)):
        return None
    number = int(found[1])
    async with console.engine.connect() as connection:
        try:
            return await connection.run_sync(lambda sync: get_rule(sync, number, actor.tenant))
        except UserError:  # removed
            return None


async def logged(
    console: Console,
    actor: Actor,
    agent_id: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> Also:
    """What writes a line of the audit log, under the tenant of an agent."""
    async with console.engine.connect() as connection:
        tenant = await tenant_of_agent(connection, agent_id)

    async def log(connection: AsyncConnection) -> None:
        facts = {"agent": agent_id, **(detail or {})}
        await audit.append(connection, actor, action, subject, facts, tenant)

    return log


async def _agent_of_call(console: Console, actor: Actor, call_id: str) -> str:
    """The agent of a call of theirs, by its whole id. Raises NotFoundError."""
    past = None
    if call_id and "\0" not in call_id and len(call_id) <= LONGEST_ID_LETTERS:
        past = await read_past(console.engine, call_id)
    if past is not None:
        agent_id = past[0].agent_id
        async with console.engine.connect() as connection:
            if actor.sees(await tenant_of_agent(connection, agent_id)):
                return agent_id
    raise NotFoundError("There is no such call.")
