"""``ivr rules``: the site's own rules of the guard, and what all rules find in a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from time import perf_counter
from typing import Any

from sqlalchemy import Connection

from appliance.access.commandline import Act, changing
from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.console import plain, print_json, print_table, who
from appliance.safety.findings import Context, Finding
from appliance.safety.guard import Guard
from appliance.safety.rules import RuleSet, SiteRule
from appliance.settings import Settings
from appliance.store import rules_of_site as store
from appliance.store.agents import load_agent
from appliance.store.database import answer, in_database

SHOWN_LETTERS = 60
TIMEOUT_S = 10.0
IN_FORCE = "In force within some seconds."


def print_list(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """The site's rules."""
    kept = in_database(settings, lambda connection: store.list_rules(connection, agent_id))
    if as_json:
        print_json({"rules": [_flat(one) for one in kept]})
        return
    print_table(
        ("id", "kind", "text", "agent", "language", "side", "category", "severity", "action", "state"),
        [
            (
                one.rule.id, one.rule.kind, one.rule.text[:SHOWN_LETTERS], one.rule.agent_id or "all",
                one.rule.language or "all", one.rule.side, one.rule.category, one.rule.severity,
                one.rule.action, "in force" if one.enabled else "disabled",
            )
            for one in kept
        ],
        "The site has no rules of its own; the built-in ones are in force.",
    )  # fmt: skip


def add(settings: Settings, rule: SiteRule, note: str, by: str, *, as_json: bool) -> None:
    """Raises UserError when the rule is none."""
    rule_id = changing(
        settings,
        lambda c: store.add_rule(c, rule, note, who(by)),
        lambda made: _act("rule.add", made, rule, _facts(rule)),
    )
    _tell("added", rule_id, as_json)


def edit(
    settings: Settings, rule_id: int, changes: dict[str, Any], note: str | None, *, as_json: bool
) -> None:
    """Change some fields of a rule. Raises UserError when that would be none."""

    def work(connection: Connection) -> tuple[SiteRule, SiteRule]:
        kept = store.get_rule(connection, rule_id)
        rule = dataclasses.replace(kept.rule, **changes)
        store.edit_rule(connection, rule, kept.note if note is None else note)
        return kept.rule, rule

    def act(done: tuple[SiteRule, SiteRule]) -> Act:
        before, after = done
        detail = {"before": _facts(before), "after": _facts(after)}
        return _act("rule.edit", rule_id, after, detail)

    if not changes and note is None:
        raise UserError("Nothing is changed; say what, such as --severity high.")
    changing(settings, work, act)
    _tell("changed", rule_id, as_json)


def disable(settings: Settings, rule_id: int, *, as_json: bool) -> None:
    """Keep a rule, but not in force."""
    _set_enabled(settings, rule_id, False)
    _tell("disabled", rule_id, as_json)


def enable(settings: Settings, rule_id: int, *, as_json: bool) -> None:
    """Put a disabled rule in force again."""
    _set_enabled(settings, rule_id, True)
    _tell("enabled", rule_id, as_json)


def remove(settings: Settings, rule_id: int, *, as_json: bool) -> None:
    """Remove a rule for good."""

    def work(connection: Connection) -> SiteRule:
        was = store.get_rule(connection, rule_id).rule
        store.remove_rule(connection, rule_id)
        return was

    changing(settings, work, lambda was: _act("rule.remove", rule_id, was, _facts(was)))
    _tell("removed", rule_id, as_json)


def _set_enabled(settings: Settings, rule_id: int, enabled: bool) -> None:
    def work(connection: Connection) -> SiteRule:
        rule = store.get_rule(connection, rule_id).rule
        store.set_enabled(connection, rule_id, enabled)
        return rule

    action = "rule.enable" if enabled else "rule.disable"
    changing(settings, work, lambda rule: _act(action, rule_id, rule, {}))


def _act(action: str, rule_id: int, rule: SiteRule, detail: dict[str, Any]) -> Act:
    return Act(action, str(rule_id), detail, agent=rule.agent_id)


def _facts(rule: SiteRule) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(rule).items() if name != "id"}


def check(settings: Settings, text: str, agent_id: str, language: str, *, as_json: bool) -> None:
    """What would be found in ``text`` if the agent said it, if a caller did, if a document did; and
    how long it took. Grounding is left out: nothing is said in answer to anything."""
    rules = RuleSet(answer(settings, store.load_rules, TIMEOUT_S))
    agent = Agent(id="", version=0, name="", language=language or "en", grounding="off")
    if agent_id:
        found = answer(settings, lambda engine: load_agent(engine, agent_id), TIMEOUT_S)
        if found is None:
            raise UserError(f"There is no agent {agent_id!r}.")
        agent = dataclasses.replace(found, grounding="off", language=language or found.language)
    guard = Guard(rules)
    guard.check_phrase(text, Context(agent, ""))  # builds what the first phrase of a worker builds
    said, agent_us = _timed(lambda: guard.check_phrase(text, Context(agent, "")))
    heard, caller_us = _timed(lambda: guard.check_caller(text, agent))
    suspicious = guard.check_passage(text)
    if as_json:
        print_json(
            {
                "agent": [dataclasses.asdict(finding) for finding in said],
                "caller": [dataclasses.asdict(finding) for finding in heard],
                "suspicious_document": suspicious,
                "agent_us": agent_us,
                "caller_us": caller_us,
            }
        )
        return
    for speaker, findings, took_us in (("agent", said, agent_us), ("caller", heard, caller_us)):
        print(
            f"Said by the {speaker} ({took_us} µs): {'nothing found.' if not findings else ''}".strip()
        )
        for one in findings:
            print(f"  {one.action} {one.severity} {one.category} {one.rule}: {plain(one.phrase)}")
    if suspicious:
        print("In a document: it reads like orders to a language model.")


def _timed(work: Callable[[], tuple[Finding, ...]]) -> tuple[tuple[Finding, ...], int]:
    begun = perf_counter()
    found = work()
    return found, round((perf_counter() - begun) * 1e6)


def _tell(action: str, rule_id: int, as_json: bool) -> None:
    if as_json:
        print_json({"action": action, "id": rule_id})
    else:
        print(f"Rule {rule_id} is {action}. {IN_FORCE}")


def _flat(kept: store.KeptRule) -> dict[str, Any]:
    return dataclasses.asdict(kept.rule) | {
        "enabled": kept.enabled, "note": kept.note, "created_by": kept.created_by,
        "updated_at": kept.updated_at,
    }  # fmt: skip
