"""The guard's rules: the site's own and the built-in ones, and what they find in a text."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import Connection

from appliance.access import audit
from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import LARGEST_ID, agent_of, agent_tenant
from appliance.errors import UserError
from appliance.events import Agent
from appliance.safety.findings import Context, Finding
from appliance.safety.guard import Guard
from appliance.safety.rules import Rule, RuleSet, SiteRule, builtin_texts
from appliance.safety.site_rules import checked
from appliance.store import rules_of_site as store
from appliance.store.rules_of_site import KeptRule

LONGEST_TRIED_LETTERS = 2000
MOST_OF_TENANT = 1000
MOST_PATTERNS_OF_TENANT = 60
"""Of the agents of one tenant: the site's limits are there for all of them."""

_OPERATORS = "A rule for every agent is the operator's; choose one of your agents."


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule of the site, and whether it is the actor's to change."""

    kept: KeptRule
    may_change: bool


@dataclass(frozen=True, slots=True)
class BuiltinRule:
    """A rule that comes with the appliance."""

    rule: Rule
    kind: Literal["words", "pattern"]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """What the guard says to a text."""

    agent: tuple[Finding, ...]
    """If the agent were about to say it; the gravest first."""
    caller: tuple[Finding, ...]
    """If a caller said it."""
    suspicious_document: bool
    """In a document it would read like orders to a language model."""


async def rules(console: Console, actor: Actor, agent_id: str = "") -> list[ShownRule]:
    """The rules that the actor's agents are under, or (with ``agent_id``) one of them is."""
    actor.require(Permission.FLAGS_READ)
    if agent_id:
        await agent_tenant(console, actor, agent_id)
    async with console.engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: store.list_rules(sync, agent_id, actor.tenant)
        )
    return [_shown(actor, kept) for kept in found]


def builtin_rules(actor: Actor) -> list[BuiltinRule]:
    """The rules that come with the appliance, by language and name."""
    actor.require(Permission.FLAGS_READ)
    grouped: dict[tuple[str, str], tuple[Rule, list[str]]] = {}
    words, patterns = builtin_texts()
    for kind, texts in (("words", words), ("pattern", patterns)):
        for text, rule in texts:
            grouped.setdefault((rule.name, kind), (rule, []))[1].append(text)
    return [
        BuiltinRule(rule, "words" if kind == "words" else "pattern", tuple(texts))
        for (_, kind), (rule, texts) in grouped.items()
    ]


async def add(console: Console, actor: Actor, rule: SiteRule, note: str = "") -> ShownRule:
    """Keep a new rule, whatever its ``id``. Raises NotFoundError: no such agent; ForbiddenError: a rule
    for every agent; UserError: it is none, one too many, or there already."""
    actor.require(Permission.RULES_EDIT)
    tenant = await _owner(console, actor, rule)

    def work(connection: Connection) -> KeptRule:
        _check_room(connection, actor, rule)
        number = store.add_rule(connection, rule, note.strip(), actor.name)
        audit.append_sync(connection, actor, "rule.add", str(number), _facts(rule), tenant)
        return store.get_rule(connection, number)

    async with console.engine.begin() as connection:
        return _shown(actor, await connection.run_sync(work))


async def edit(console: Console, actor: Actor, rule: SiteRule, note: str) -> ShownRule:
    """Change the rule of that id. Raises as :func:`add`, and NotFoundError: there is no such rule."""
    actor.require(Permission.RULES_EDIT)
    old = await _theirs(console, actor, rule.id)
    tenant = await _owner(console, actor, rule)

    def work(connection: Connection) -> KeptRule:
        store.edit_rule(connection, rule, note.strip())
        detail = {"before": _facts(old.rule), "after": _facts(rule)}
        audit.append_sync(connection, actor, "rule.edit", str(rule.id), detail, tenant)
        return store.get_rule(connection, rule.id)

    async with console.engine.begin() as connection:
        return _shown(actor, await connection.run_sync(work))


async def set_enabled(console: Console, actor: Actor, rule_id: int, enabled: bool) -> ShownRule:
    """Put a rule in force, or keep it for later. Raises NotFoundError, ForbiddenError."""
    actor.require(Permission.RULES_EDIT)
    old = await _theirs(console, actor, rule_id)
    tenant = await _owner(console, actor, old.rule)
    action = "rule.enable" if enabled else "rule.disable"

    def work(connection: Connection) -> KeptRule:
        store.set_enabled(connection, rule_id, enabled)
        audit.append_sync(connection, actor, action, str(rule_id), {}, tenant)
        return store.get_rule(connection, rule_id)

    async with console.engine.begin() as connection:
        return _shown(actor, await connection.run_sync(work))


async def remove(console: Console, actor: Actor, rule_id: int) -> None:
    """Remove a rule for good. Raises NotFoundError, ForbiddenError."""
    actor.require(Permission.RULES_EDIT)
    old = await _theirs(console, actor, rule_id)
    tenant = await _owner(console, actor, old.rule)

    def work(connection: Connection) -> None:
        store.remove_rule(connection, rule_id)
        detail = _facts(old.rule)
        audit.append_sync(connection, actor, "rule.remove", str(rule_id), detail, tenant)

    async with console.engine.begin() as connection:
        await connection.run_sync(work)


async def try_text(
    console: Console,
    actor: Actor,
    text: str,
    *,
    agent_id: str = "",
    language: str = "",
    draft: SiteRule | None = None,
) -> Tried:
    """What the guard would say to ``text`` in calls of an agent (empty: of one without rules of its
    own), with the rules in force and, where there is one, a ``draft`` that nobody has kept yet.

    Grounding is left out: nothing is said in answer to anything. Raises NotFoundError; UserError: too
    long, or the draft is no rule.
    """
    actor.require(Permission.FLAGS_READ)
    if len(text) > LONGEST_TRIED_LETTERS:
        raise UserError(f"Try at most {LONGEST_TRIED_LETTERS} letters at once.")
    agent = Agent(id="", version=0, name="", language=language or "en")
    if agent_id:
        agent, _ = await agent_of(console, actor, agent_id)
        agent = replace(agent, language=language or agent.language)
    agent = replace(agent, grounding="off")
    site = await store.load_rules(console.engine)
    mine = [rule for rule in site if rule.agent_id in ("", agent.id)]
    if draft is not None:
        mine = [rule for rule in mine if rule.id != draft.id]
        mine.append(replace(checked(draft), agent_id=agent.id))
    return await asyncio.to_thread(_try, mine, text, agent)


def _try(rules: list[SiteRule], text: str, agent: Agent) -> Tried:
    """Blocks: all rules are compiled (60 ms)."""
    guard = Guard(RuleSet(rules))
    return Tried(
        guard.check_phrase(text, Context(agent, "")),
        guard.check_caller(text, agent),
        guard.check_passage(text),
    )


async def _theirs(console: Console, actor: Actor, rule_id: int) -> KeptRule:
    """A rule that the actor may change. Raises NotFoundError; ForbiddenError: it is for every agent."""
    if not 0 < rule_id <= LARGEST_ID:
        raise NotFoundError("There is no such rule.")
    async with console.engine.connect() as connection:
        try:
            found = await connection.run_sync(
                lambda sync: store.get_rule(sync, rule_id, actor.tenant)
            )
        except UserError as e:
            raise NotFoundError("There is no such rule.") from e
    if not found.rule.agent_id and actor.tenant is not None:
        raise ForbiddenError(_OPERATORS)
    return found


async def _owner(console: Console, actor: Actor, rule: SiteRule) -> str | None:
    """Whose matter a rule is. Raises ForbiddenError where it is the operator's, NotFoundError for an
    agent that is not theirs."""
    if rule.agent_id:
        if actor.tenant is None and "\0" not in rule.agent_id:
            return await _tenant_or_none(console, actor, rule.agent_id)
        return await agent_tenant(console, actor, rule.agent_id)
    if actor.tenant is not None:
        raise ForbiddenError(_OPERATORS)
    return None


async def _tenant_or_none(console: Console, actor: Actor, agent_id: str) -> str | None:
    """The operator may remove a rule whose agent is no more."""
    try:
        return await agent_tenant(console, actor, agent_id)
    except NotFoundError:
        return None


def _check_room(connection: Connection, actor: Actor, rule: SiteRule) -> None:
    if actor.tenant is None:
        return
    own = [k for k in store.list_rules(connection, "", actor.tenant) if k.rule.agent_id]
    patterns = sum(kept.rule.kind == "pattern" for kept in own)
    if len(own) >= MOST_OF_TENANT:
        raise UserError(f"You have {MOST_OF_TENANT} rules, the most there may be; remove some.")
    if rule.kind == "pattern" and patterns >= MOST_PATTERNS_OF_TENANT:
        raise UserError(
            f"You have {MOST_PATTERNS_OF_TENANT} patterns, the most there may be; write words."
        )


def _shown(actor: Actor, kept: KeptRule) -> ShownRule:
    mine = actor.tenant is None or bool(kept.rule.agent_id)
    if not mine:  # who of the operator's people wrote it is not the tenant's business
        kept = replace(kept, created_by="", note="")
    return ShownRule(kept, mine and actor.may(Permission.RULES_EDIT))


def _facts(rule: SiteRule) -> dict[str, str]:
    return {
        "kind": rule.kind, "text": rule.text, "agent": rule.agent_id, "language": rule.language,
        "side": rule.side, "category": rule.category, "severity": rule.severity,
        "action": rule.action,
    }  # fmt: skip
